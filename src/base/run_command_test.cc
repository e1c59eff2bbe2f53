#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/child_process.h"
#include "base/text.h"

namespace nv::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

Deadline In(milliseconds time) { return steady_clock::now() + time; }

SpawnOptions Program(std::vector<std::string> argv) {
  return {.argv = std::move(argv),
          .environment = HelperEnvironment(),
          .fds = {},
          .working_directory = ""};
}
SpawnOptions Shell(const std::string& script) { return Program({"bash", "-c", script}); }

struct ScriptRun {
  Result<ExitStatus> status = Fail(Code::kInternal, "not run");
  std::vector<std::string> lines;
};

ScriptRun RunScript(const std::string& script, Deadline deadline = In(seconds{60}),
                    int cancel_fd = -1) {
  ScriptRun run;
  run.status = RunCommand(
      Shell(script), [&](std::string_view line) { run.lines.emplace_back(line); }, deadline,
      cancel_fd);
  return run;
}

// True when the process ends soon (somebody else reaps it), or is gone.
bool EndsSoon(const std::string& pid) {
  const Deadline deadline = In(seconds{20});
  while (steady_clock::now() < deadline) {
    const auto stat = ReadFile("/proc/" + pid + "/stat", 4096);
    if (!stat || stat->find(") Z ") != std::string::npos) return true;
    ::usleep(1000);
  }
  return false;
}

TEST(RunCommand, LinesOfBothStreamsArriveWhole) {
  const ScriptRun run = RunScript("echo one; echo two >&2; printf 'three\\n\\nlast'; exit 4");
  ASSERT_TRUE(run.status);
  EXPECT_EQ(run.status->exit_code, 4);
  for (const char* line : {"one", "two", "three", "", "last"}) {
    EXPECT_EQ(std::ranges::count(run.lines, line), 1) << line;
  }
  EXPECT_EQ(run.lines.size(), 5U);
}

TEST(RunCommand, LongLinesAreCutAndTheNextIsWhole) {
  const ScriptRun run = RunScript("head -c 100000 /dev/zero | tr '\\0' x; echo; echo next");
  ASSERT_EQ(run.lines.size(), 2U);
  EXPECT_EQ(run.lines[0], std::string(4096, 'x'));
  EXPECT_EQ(run.lines[1], "next");
}

TEST(RunCommand, LargeOutputIsReadToTheEnd) {
  const ScriptRun run = RunScript("seq 1 100000");
  ASSERT_EQ(run.lines.size(), 100'000U);
  EXPECT_EQ(run.lines.back(), "100000");
}

TEST(RunCommand, StandardInputIsEmptyAndStreamsCanBeTheCallers) {
  FdPair pipe = MakePipe().value();
  SpawnOptions options = Shell("cat; echo to-pipe; echo seen >&2");
  options.fds = {{pipe.second.get(), STDOUT_FILENO}};
  std::vector<std::string> lines;
  const auto status = RunCommand(
      options, [&](std::string_view line) { lines.emplace_back(line); }, In(seconds{60}));
  ASSERT_TRUE(status);
  EXPECT_TRUE(status->ok());
  pipe.second.Reset();
  EXPECT_EQ(ReadUntilEof(pipe.first.get(), 100).value(), "to-pipe\n");
  EXPECT_EQ(lines, std::vector<std::string>{"seen"});
}

TEST(RunCommand, MissingProgramIsNotFound) {
  const auto status = RunCommand(Program({"no-such-program-here"}), nullptr, In(seconds{60}));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kNotFound);
}

TEST(RunCommand, NoHandlerIsFine) {
  EXPECT_TRUE(RunCommand(Shell("echo x"), nullptr, In(seconds{60})).value().ok());
}

TEST(RunCommand, DeadlineEndsTheProgram) {
  const ScriptRun run = RunScript("exec sleep 1000", In(milliseconds{50}));
  ASSERT_FALSE(run.status);
  EXPECT_EQ(run.status.error().code(), Code::kDeadlineExceeded);
}

TEST(RunCommand, DeadlineHoldsAgainstEndlessOutput) {
  const ScriptRun run = RunScript("exec yes", In(milliseconds{50}));
  ASSERT_FALSE(run.status);
  EXPECT_EQ(run.status.error().code(), Code::kDeadlineExceeded);
}

TEST(RunCommand, CancelKillsAProgramThatIgnoresSigtermAndItsJobs) {
  // `set -m` gives the job a process group of its own: only the session still finds it.
  FdPair cancel = MakePipe().value();
  std::vector<std::string> pids;
  const auto status = RunCommand(
      Shell("trap '' TERM; set -m; (trap '' TERM; while :; do sleep 1000; done) & "
            "echo $!; echo $$; while :; do sleep 1000; done"),
      [&](std::string_view line) {
        pids.emplace_back(line);
        if (pids.size() == 2) cancel.second.Reset();
      },
      In(seconds{60}), cancel.first.get());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kCancelled);
  ASSERT_EQ(pids.size(), 2U);
  for (const std::string& pid : pids) EXPECT_TRUE(EndsSoon(pid)) << pid;
}

TEST(RunCommand, ProgramCanCleanUpOnSigterm) {
  const std::string marker =
      ::testing::TempDir() + "run_command_test." + std::to_string(::getpid());
  FdPair cancel = MakePipe().value();
  const auto status = RunCommand(
      Shell("trap 'echo cleaned > " + marker +
            "; exit' TERM; echo ready; while :; do sleep 0.01; done"),
      [&](std::string_view) { cancel.second.Reset(); }, In(seconds{60}), cancel.first.get());
  ASSERT_FALSE(status);
  EXPECT_TRUE(ReadFile(marker, 100)) << "SIGTERM came before SIGKILL";
  ::unlink(marker.c_str());
}

TEST(RunCommand, BackgroundChildThatKeepsTheOutputOpenDoesNotKeepUs) {
  const ScriptRun run = RunScript("sleep 1000 & echo $!");
  ASSERT_TRUE(run.status);
  EXPECT_TRUE(run.status->ok());
  ASSERT_EQ(run.lines.size(), 1U);
  EXPECT_TRUE(EndsSoon(run.lines[0]));
}

TEST(RunCommand, NoDescriptorIsLeftBehind) {
  const auto count = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto before = count();
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(RunScript("echo x").status);
    EXPECT_FALSE(RunScript("exec sleep 1000", In(milliseconds{1})).status);
  }
  EXPECT_EQ(count(), before);
}

}  // namespace
}  // namespace nv::base
