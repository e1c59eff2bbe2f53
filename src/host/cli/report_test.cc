#include "host/cli/report.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "host/cli/daemon.h"
#include "host/cli/help.h"
#include "host/cli/private_engine.h"
#include "host/cli/stdio.h"

namespace nv::host::cli {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

client::RunReport Report(const std::string& outcome) {
  client::RunReport report;
  report.outcome = outcome;
  return report;
}

TEST(Report, JsonHasExactlyTheContractsFields) {
  client::RunReport report = Report("timeout");
  report.exit_code = 124;
  report.trace_id = "t";
  report.stdout_truncated = 5;
  report.total_ms = 1.23456;
  report.max_rss_bytes = 7;
  const json object = json::parse(ReportAsJson(report, "o\n", "e"));
  EXPECT_EQ(object, json::parse(R"({
    "stdout": "o\n", "stderr": "e", "exit_code": 124, "duration_ms": 0.0, "timed_out": true,
    "outcome": "timeout", "signal": 0, "truncated": {"stdout_bytes": 5, "stderr_bytes": 0},
    "trace_id": "t",
    "timings_ms": {"acquire": 0.0, "prepare": 0.0, "compile": 0.0, "run": 0.0, "total": 1.235},
    "usage": {"cpu_ms": 0.0, "max_rss_bytes": 7}})"));
}

TEST(Report, JsonKeepsTheTruthAboutBytesThatAreNotUtf8) {
  const json object = json::parse(ReportAsJson(Report("success"), "a\xff\n", "\xc3\xa4"));
  EXPECT_EQ(object["stdout"], "a\xef\xbf\xbd\n");
  EXPECT_EQ(object["stdout_base64"], "Yf8K");
  EXPECT_EQ(object["stderr"], "\xc3\xa4");
  EXPECT_FALSE(object.contains("stderr_base64"));
}

TEST(Report, JsonIsOneLineWhateverTheOutput) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const std::string text = ReportAsJson(Report("success"), all, all);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_TRUE(json::accept(text));
}

TEST(Report, PlainEndsHaveNoNotice) {
  for (const char* outcome : {"success", "error", "compile_error"}) {
    EXPECT_EQ(Notices({}, Report(outcome)), "") << outcome;
  }
}

TEST(Report, OtherEndsSayWhatHappenedAndWhatHelps) {
  client::RunRequest request;
  request.timeout_secs = 5;
  request.size = "small";
  request.max_output_bytes = 1000;
  EXPECT_EQ(Notices(request, Report("timeout")),
            "neurovisor: timed out after 5 s; allow more with --timeout\n");
  EXPECT_THAT(
      Notices(request, Report("oom")),
      testing::AllOf(HasSubstr("out of memory"), HasSubstr("'small'"), HasSubstr("--size")));
  client::RunReport killed = Report("signal");
  killed.signal = 11;
  EXPECT_EQ(Notices(request, killed),
            "neurovisor: the program was killed by signal 11 (SIGSEGV)\n");
  client::RunReport cut = Report("output_limit");
  cut.stderr_truncated = 3;
  EXPECT_THAT(Notices(request, cut), HasSubstr("past 1000 bytes a stream was discarded"));
}

TEST(Report, HintOfTheGuestCannotDriveTheTerminal) {
  client::RunReport report = Report("error");
  report.hint = "no network\x1b[2J\nneurovisor: fake";
  EXPECT_EQ(Notices({}, report), "neurovisor: hint: no network\\x1b[2J\\x0aneurovisor: fake\n");
}

TEST(Printable, KeepsScriptsAndEscapesControls) {
  EXPECT_EQ(Printable("Gr\xc3\xbc\xc3\x9f"), "Gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m");  // CSI as one C1 character
  EXPECT_EQ(Printable("\x7f\r\t"), "\\x7f\\x0d\\x09");
  EXPECT_EQ(Printable("a\xff"), "a\xef\xbf\xbd");
  EXPECT_EQ(Printable("a\n\tb", Lines::kMany), "a\n\tb");
}

TEST(Printable, ErrorShowsRemedyAndDetails) {
  const auto error = base::Error(base::Code::kNotFound, "no image")
                         .WithRemedy("build one")
                         .WithDetails("line 1\nline 2");
  EXPECT_EQ(DescribeError(error),
            "neurovisor: no image\n  try: build one\n  | line 1\n  | line 2\n");
}

TEST(Daemon, SocketsAreLookedForInTheContractsOrder) {
  const auto environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "NEUROVISOR_SOCKET") return "/env.sock";
    if (name == "XDG_RUNTIME_DIR") return "/run/user/7";
    return std::nullopt;
  };
  EXPECT_THAT(DaemonSockets("/flag.sock", environment),
              ElementsAre("/flag.sock", "/env.sock", "/run/user/7/neurovisor/api.sock",
                          "/run/neurovisor/api.sock"));
  EXPECT_THAT(DaemonSockets("", [](const std::string&) { return std::nullopt; }),
              ElementsAre("/run/neurovisor/api.sock"));
}

TEST(PrivateEngine, GetsOnlyTheVariablesThatArePassedOnPurpose) {
  const char* const environment[] = {
      "PATH=/bin", "HOME=/h",       "SECRET=1",    "XDG_DATA_HOME=/d", "NEUROVISOR_X=y", "LANG=C",
      "TMPDIR=/t", "LD_PRELOAD=/x", "PATHOLOGY=1", "LANGUAGE=de",      nullptr};
  EXPECT_THAT(EngineEnvironment(environment),
              ElementsAre("PATH=/bin", "HOME=/h", "XDG_DATA_HOME=/d", "NEUROVISOR_X=y", "LANG=C",
                          "TMPDIR=/t"));
}

TEST(PrivateEngine, MissingProgramSaysHowToGetOne) {
  const auto engine = PrivateEngine::Start("/nonexistent");
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code(), base::Code::kNotFound);
  EXPECT_THAT(engine.error().remedy(), HasSubstr("NEUROVISOR_LIBEXEC_DIR"));
}

}  // namespace
}  // namespace nv::host::cli
