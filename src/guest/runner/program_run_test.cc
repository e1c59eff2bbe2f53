// RunProgram with real processes: what a program gets, what is left of it. No gRPC.

#include "guest/runner/program_run.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/io.h"

namespace nv::guest::runner {
namespace {

using base::Outcome;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

// Forked before main, and so before any thread.
std::unique_ptr<Spawner> shared_spawner = [] {
  signal(SIGPIPE, SIG_IGN);
  return Spawner::Start().value_or(nullptr);
}();

class Collector final : public OutputSink {
 public:
  bool Ready() override { return ready; }
  void Write(OutputStream stream, std::string_view bytes) override {
    text[static_cast<std::size_t>(stream)] += bytes;
    largest = std::max(largest, bytes.size());
  }
  std::array<std::string, 2> text;
  std::size_t largest = 0;
  bool ready = true;
};

class ProgramRunTest : public testing::Test {
 protected:
  static bool IsRoot() { return geteuid() == 0; }

  void SetUp() override { MakeNewCell(1000); }

  void MakeNewCell(std::uint32_t uid) {
    cell_.reset();
    CellOptions options;
    options.shape = {.namespaces = IsRoot(), .change_user = IsRoot(), .uid = uid, .gid = uid};
    options.owns_work_directory = !IsRoot();
    std::string path = "/tmp/sandbox";
    if (!IsRoot()) path += "-test-" + std::to_string(getpid());
    std::ranges::copy(path, options.shape.work_path.begin());
    auto cell = Cell::Create(*shared_spawner, *CgroupTree::None(), "run", options);
    ASSERT_TRUE(cell) << cell.error().message();
    cell_ = std::move(*cell);
    control_ = *RunControl::Create();
  }

  ProgramReport Bash(const std::string& code, milliseconds timeout = seconds(60)) {
    const ProgramSpec spec{.argv = {"/bin/bash", "-c", code},
                           .environment = {"PATH=/usr/bin:/bin"},
                           .timeout = timeout,
                           .stdin_follows = stdin_follows_};
    auto report = RunProgram(*cell_, spec, *control_, sink_);
    EXPECT_TRUE(report) << report.error().message();
    return report.value_or(ProgramReport{});
  }

  std::unique_ptr<Cell> cell_;
  std::shared_ptr<RunControl> control_;
  Collector sink_;
  bool stdin_follows_ = false;
};

TEST_F(ProgramRunTest, ProgramHasNoRightsAndNoDescriptorsButThree) {
  if (!IsRoot()) GTEST_SKIP() << "changing the user needs root";
  Bash("id -u; id -G; grep -E 'Cap|NoNewPrivs|SigIgn|SigBlk' /proc/self/status; ls /proc/self/fd");
  EXPECT_EQ(sink_.text[0],
            "1000\n1000\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
            "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
            "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n0\n1\n2\n3\n")
      << sink_.text[1];  // 3 is the listed directory
}

TEST_F(ProgramRunTest, ProgramIsNotPidOneAndSeesOnlyItsOwnProcesses) {
  if (!IsRoot()) GTEST_SKIP() << "a PID namespace needs root";
  Bash("echo $$; set -- /proc/[0-9]*; echo $#; cat /proc/1/comm; kill -9 1; kill -0 1");
  EXPECT_EQ(sink_.text[0], "2\n2\nnv-reaper\n");  // reaper and bash
  EXPECT_THAT(sink_.text[1], HasSubstr("not permitted"));
}

TEST_F(ProgramRunTest, WorkAndTmpAreFreshAndGoWithTheCell) {
  if (!IsRoot()) GTEST_SKIP() << "a mount namespace needs root";
  Bash("pwd; ls -A; ls -A /tmp; touch /tmp/mark here; ls; ls /dev/shm");
  EXPECT_EQ(sink_.text[0], "/tmp/sandbox\nsandbox\nhere\n");
  EXPECT_NE(access("/tmp/mark", F_OK), 0);
}

TEST_F(ProgramRunTest, StandardStreamsCanBeOpenedByName) {
  stdin_follows_ = true;
  control_->PushStdin("in");
  control_->EndStdin();
  Bash("cat /dev/stdin > /dev/stdout; echo err > /proc/self/fd/2");
  EXPECT_EQ(sink_.text[0], "in");
  EXPECT_EQ(sink_.text[1], "err\n");
}

TEST_F(ProgramRunTest, CellRunsProgramsInTurn) {
  EXPECT_EQ(Bash("echo one > file").outcome, Outcome::kSuccess);
  EXPECT_EQ(Bash("cat file; exit 3").exit_code, 3);
  EXPECT_EQ(sink_.text[0], "one\n");
}

TEST_F(ProgramRunTest, MissingProgramIsOurErrorAndTheCellLivesOn) {
  const ProgramSpec spec{.argv = {"/no/such/interpreter"}, .environment = {}};
  const auto report = RunProgram(*cell_, spec, *control_, sink_);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), base::Code::kNotFound);
  EXPECT_THAT(report.error().message(), HasSubstr("/no/such/interpreter"));
  EXPECT_EQ(Bash("exit 0").outcome, Outcome::kSuccess);
}

TEST_F(ProgramRunTest, ForkBombEndsAtItsTimeoutAndNothingIsLeft) {
  if (!IsRoot()) GTEST_SKIP() << "the limit counts a user's processes; this user has others";
  MakeNewCell(1099);  // a user that no test running beside this one has
  const auto report = Bash("bomb() { bomb | bomb & }; bomb; sleep 60", milliseconds(1500));
  EXPECT_EQ(report.outcome, Outcome::kTimeout);
  EXPECT_EQ(Bash("set -- /proc/[0-9]*; echo $#").outcome, Outcome::kSuccess);
  EXPECT_EQ(sink_.text[0], "2\n");  // reaper and bash
}

TEST_F(ProgramRunTest, DaemonThatLeftSessionAndOutputIsKilled) {
  const auto report = Bash("setsid setsid sleep 600 >/dev/null 2>&1 </dev/null & exit 0");
  EXPECT_EQ(report.outcome, Outcome::kSuccess);
  if (!IsRoot()) return;
  Bash("set -- /proc/[0-9]*; echo $#");
  EXPECT_EQ(sink_.text[0], "2\n");  // reaper and bash
}

// Not ready until somebody has waited for half a second of the program's time.
class LateSink final : public OutputSink {
 public:
  explicit LateSink(RunControl& control)
      : opener_([this, &control] {
          static_cast<void>(base::PollUntil(-1, 0, std::chrono::steady_clock::now() + seconds(1)));
          ready_ = true;
          control.Wake();
        }) {}
  bool Ready() override { return ready_; }
  void Write(OutputStream, std::string_view bytes) override { bytes_ += bytes.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::atomic<bool> ready_{false};
  std::size_t bytes_ = 0;
  std::jthread opener_;
};

TEST_F(ProgramRunTest, ProgramWaitsWhileTheSinkIsNotReadyAndItsTimeGoesOn) {
  LateSink sink(*control_);
  const ProgramSpec spec{.argv = {"/usr/bin/head", "-c", "100000000", "/dev/zero"},
                         .environment = {},
                         .timeout = milliseconds(400)};
  const auto report = RunProgram(*cell_, spec, *control_, sink);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->outcome, Outcome::kTimeout);
  EXPECT_GT(sink.bytes(), 0U);            // what was in the pipe is kept
  EXPECT_LE(sink.bytes(), 1024U * 1024);  // and no more than a pipe was ever read
}

TEST_F(ProgramRunTest, ChunksAreAtMost64KiB) {
  const auto report = Bash("head -c 5000000 /dev/zero");
  EXPECT_EQ(report.outcome, Outcome::kSuccess);
  EXPECT_EQ(sink_.text[0].size(), 5'000'000U);
  EXPECT_LE(sink_.largest, 64U * 1024);
}

TEST_F(ProgramRunTest, StdinEndsWhereItsSenderEndsIt) {
  stdin_follows_ = true;
  control_->PushStdin("first ");
  control_->PushStdin("second");
  control_->EndStdin();
  Bash("cat");
  EXPECT_EQ(sink_.text[0], "first second");
}

TEST_F(ProgramRunTest, CancelBeforeTheStartRunsNothingToItsEnd) {
  control_->Cancel();
  const auto report = Bash("sleep 600");
  EXPECT_EQ(report.outcome, Outcome::kCancelled);
  EXPECT_EQ(report.exit_code, 130);
}

TEST_F(ProgramRunTest, UsageCountsChildrenToo) {
  const auto report = Bash("for i in 1 2; do bash -c 'for ((i=0;i<30000;i++)); do :; done'; done");
  EXPECT_GT(report.cpu_time.count(), 0);
  EXPECT_GT(report.run_time.count(), 0);
  EXPECT_GT(report.max_rss_bytes, 1'000'000U);
}

}  // namespace
}  // namespace nv::guest::runner
