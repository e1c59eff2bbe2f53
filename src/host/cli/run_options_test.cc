#include "host/cli/run_options.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nv::host::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::optional<std::string> NoVariables(std::string_view) { return std::nullopt; }

base::Result<RunOptions> Parse(std::vector<std::string> args) {
  return ParseRunOptions(args, NoVariables);
}

// The refusal's message; "accepted" when there is none.
std::string Refusal(std::vector<std::string> args) {
  const auto options = Parse(std::move(args));
  if (options) return "accepted";
  EXPECT_NE(options.error().remedy(), "") << options.error().message();
  return options.error().message();
}

TEST(RunOptions, DefaultsAreTheContracts) {
  const auto options = Parse({"x.py"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->file, "x.py");
  EXPECT_EQ(options->timeout_secs, 30U);
  EXPECT_EQ(options->max_output_bytes, 10U * 1024 * 1024);
  EXPECT_FALSE(options->json || options->timings || options->cold || options->standalone);
  EXPECT_EQ(options->stdin_path, std::nullopt);
}

TEST(RunOptions, EveryFlagIsUnderstood) {
  const auto options =
      Parse({"-l",        "node",   "-c",      "1",    "-t",           "5",       "-e",
             "A=1",       "-e",     "B=",      "-e",   "A=2=3",        "--stdin", "f",
             "--size",    "lg",     "--image", "mini", "--max-output", "2K",      "--json",
             "--timings", "--cold", "--accel", "tcg",  "--backend",    "qemu",    "--data-dir",
             "d",         "--",     "x",       "-y"});
  ASSERT_TRUE(options) << options.error().message();
  EXPECT_EQ(options->language, "javascript");
  EXPECT_EQ(options->code, "1");
  EXPECT_EQ(options->timeout_secs, 5U);
  EXPECT_THAT(options->env, ElementsAre(std::pair("A", "2=3"), std::pair("B", "")));
  EXPECT_EQ(options->stdin_path, "f");
  EXPECT_EQ(options->size, "large");
  EXPECT_EQ(options->image, "mini");
  EXPECT_EQ(options->max_output_bytes, 2048U);
  EXPECT_TRUE(options->json && options->timings && options->cold);
  EXPECT_TRUE(options->standalone) << "only a private engine obeys --accel";
  EXPECT_THAT(options->args, ElementsAre("x", "-y"));
}

TEST(RunOptions, TimeoutIsWholeSecondsFromOneToADay) {
  EXPECT_EQ(Refusal({"-t", "1", "x"}), "accepted");
  EXPECT_EQ(Refusal({"-t", "86400", "x"}), "accepted");
  for (const char* bad :
       {"0", "-1", "1e9", "abc", "", "86401", "1.5", " 5", "5s", "99999999999999999999999"}) {
    EXPECT_THAT(Refusal({"-t", bad, "x"}),
                testing::AllOf(HasSubstr("-t: '"), HasSubstr("whole seconds from 1 to 86400")))
        << bad;
  }
}

TEST(RunOptions, MaxOutputTakesUnitsAndRefusesTheRest) {
  for (const auto& [text, bytes] : std::vector<std::pair<std::string, std::uint64_t>>{
           {"0", 0}, {"1", 1}, {"3M", 3U << 20}, {"2G", std::uint64_t{2} << 30}}) {
    const auto options = Parse({"--max-output", text, "x"});
    ASSERT_TRUE(options) << text;
    EXPECT_EQ(options->max_output_bytes, bytes);
  }
  for (const char* bad : {"", "-1", "K", "1KB", "many", "99999999999999999G"}) {
    EXPECT_THAT(Refusal({"--max-output", bad, "x"}), HasSubstr("--max-output: '")) << bad;
  }
}

TEST(RunOptions, BadValuesNameFlagAndAcceptedValues) {
  EXPECT_THAT(Refusal({"--size", "huge", "x"}),
              testing::AllOf(HasSubstr("--size: "), HasSubstr("'huge'"), HasSubstr("medium")));
  EXPECT_THAT(Refusal({"-l", "ruby", "x"}), testing::AllOf(HasSubstr("-l: "), HasSubstr("'ruby'"),
                                                           HasSubstr("python (python3)")));
  EXPECT_THAT(Refusal({"--accel", "xen", "x"}), HasSubstr("accepted: auto, kvm, tcg"));
  EXPECT_THAT(Refusal({"--backend", "firecracker", "x"}), HasSubstr("accepted: auto, qemu"));
  EXPECT_THAT(Refusal({"--image", "", "x"}), HasSubstr("--image"));
  EXPECT_THAT(Refusal({"--stdin", "", "x"}), HasSubstr("--stdin needs a path"));
  EXPECT_THAT(Refusal({"-e", "NAME", "x"}), HasSubstr("-e: 'NAME' has no '='"));
  EXPECT_THAT(Refusal({"-e", "=1", "x"}), HasSubstr("has no name before '='"));
  EXPECT_THAT(Refusal({"-e", "\xff=1", "x"}), HasSubstr("not UTF-8"));
}

TEST(RunOptions, LaterFlagsSayThatTheyAreLater) {
  for (const char* flag : {"--put", "-p", "--get", "-g", "--main"}) {
    const auto options = Parse({flag, "x", "y.py"});
    ASSERT_FALSE(options);
    EXPECT_EQ(options.error().code(), base::Code::kUnimplemented);
    EXPECT_THAT(options.error().message(), HasSubstr(flag));
    EXPECT_THAT(options.error().message(), HasSubstr("not in this version yet"));
  }
}

TEST(RunOptions, EnvironmentIsTakenToItsLimitAndNotPast) {
  std::vector<std::string> args{"x"};
  for (int i = 0; i < 256; ++i) {
    args.insert(args.end(), {"-e", "V" + std::to_string(i) + "=1"});
  }
  EXPECT_EQ(Refusal(args), "accepted");
  args.insert(args.end(), {"-e", "ONE_MORE=1"});
  EXPECT_THAT(Refusal(args), HasSubstr("257 variables; the limit is 256"));

  const std::size_t limit = 128 * 1024;
  EXPECT_EQ(Refusal({"-e", "A=" + std::string(limit - 1, 'x'), "x"}), "accepted");
  EXPECT_THAT(Refusal({"-e", "A=" + std::string(limit, 'x'), "x"}),
              HasSubstr("131073 bytes in all; the limit is 131072"));
}

TEST(RunOptions, ArgumentsAreTakenToTheirLimitAndNotPast) {
  std::vector<std::string> args{"x", "--"};
  args.insert(args.end(), 256, "a");
  EXPECT_EQ(Refusal(args), "accepted");
  args.emplace_back("a");
  EXPECT_THAT(Refusal(args), HasSubstr("257 arguments after '--'; the limit is 256"));
  EXPECT_EQ(Refusal({"x", "--", std::string(128 * 1024, 'a')}), "accepted");
  EXPECT_THAT(Refusal({"x", "--", std::string(128 * 1024 + 1, 'a')}), HasSubstr("131073 bytes"));
  EXPECT_THAT(Refusal({"x", "--", "ok", "\xff"}), HasSubstr("argument 2 after '--' is not UTF-8"));
}

TEST(RunOptions, TwoSourcesOfCodeOrWordsWithoutDashesAreRefused) {
  EXPECT_THAT(Refusal({"-c", "1", "x.py"}), HasSubstr("both -c and 'x.py'"));
  EXPECT_THAT(Refusal({"x.py", "word"}), HasSubstr("unexpected 'word' after 'x.py'"));
  EXPECT_THAT(Refusal({""}), HasSubstr("empty text"));
}

TEST(RunOptions, FlagsForDaemonAndPrivateEngineExcludeEachOther) {
  EXPECT_THAT(Refusal({"--socket", "s", "--accel", "tcg", "x"}), HasSubstr("--accel"));
  EXPECT_THAT(Refusal({"--socket", "s", "--standalone", "x"}), HasSubstr("--standalone"));
  EXPECT_EQ(Parse({"--socket", "s", "x"})->socket, "s");
}

TEST(RunOptions, VariablesAreCheckedUnderTheirOwnName) {
  const VariableReader bad_size = [](std::string_view flag) -> std::optional<std::string> {
    if (flag == "size") return "huge";
    return std::nullopt;
  };
  const std::vector<std::string> args{"x"};
  const auto refused = ParseRunOptions(args, bad_size);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("NEUROVISOR_SIZE: "));

  const VariableReader accel = [](std::string_view flag) -> std::optional<std::string> {
    if (flag == "accel") return "tcg";
    return std::nullopt;
  };
  const auto taken = ParseRunOptions(args, accel);
  ASSERT_TRUE(taken);
  EXPECT_FALSE(taken->standalone) << "a variable may be meant for the daemon";
}

TEST(RunOptions, HelpIsHelpWhateverElseIsSaid) {
  const auto options = Parse({"--size", "huge", "-h"});
  ASSERT_TRUE(options);
  EXPECT_TRUE(options->help);
}

}  // namespace
}  // namespace nv::host::cli
