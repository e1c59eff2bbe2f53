#include "base/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include <gtest/gtest.h>

namespace nv::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

Deadline In(milliseconds time) { return steady_clock::now() + time; }

SpawnOptions Shell(const std::string& script) {
  return {.argv = {"sh", "-c", script},
          .environment = HelperEnvironment(),
          .fds = {},
          .working_directory = ""};
}

// Runs a script with its stdout on a pipe of ours.
std::string OutputOf(SpawnOptions options) {
  FdPair pipe = MakePipe().value();
  options.fds.emplace_back(pipe.second.get(), STDOUT_FILENO);
  Result<ChildProcess> child = ChildProcess::Spawn(options);
  if (!child) return "not started: " + child.error().message();
  pipe.second.Reset();
  std::string text = ReadUntilEof(pipe.first.get(), 100'000).value();
  EXPECT_TRUE(child->Wait(In(seconds{30})).value().has_value());
  return text;
}

long OpenDescriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

TEST(ChildProcess, ExitStatusAndSignalAreTold) {
  ChildProcess exits = ChildProcess::Spawn(Shell("exit 7")).value();
  const auto exited = exits.Wait(In(seconds{30})).value();
  ASSERT_TRUE(exited);
  EXPECT_EQ(exited->exit_code, 7);
  EXPECT_EQ(exited->Describe(), "exit status 7");
  ChildProcess dies = ChildProcess::Spawn(Shell("kill -9 $$")).value();
  const auto died = dies.Wait(In(seconds{30})).value();
  ASSERT_TRUE(died);
  EXPECT_EQ(died->signal, SIGKILL);
  EXPECT_EQ(died->Describe(), "killed by signal 9 (SIGKILL)");
}

TEST(ChildProcess, MissingProgramAndFolderAreNotFound) {
  const auto missing = ChildProcess::Spawn(
      {.argv = {"no-such-program-here"}, .environment = {}, .fds = {}, .working_directory = ""});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_NE(missing.error().message().find("no-such-program-here"), std::string::npos);
  SpawnOptions elsewhere = Shell("true");
  elsewhere.working_directory = "/no/such/folder";
  const auto nowhere = ChildProcess::Spawn(elsewhere);
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code(), Code::kNotFound);
  EXPECT_NE(nowhere.error().message().find("/no/such/folder"), std::string::npos);
}

TEST(ChildProcess, FileThatIsNoProgramIsRefused) {
  const auto refused = ChildProcess::Spawn(
      {.argv = {"/etc/passwd"}, .environment = {}, .fds = {}, .working_directory = ""});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kPermissionDenied);
}

TEST(ChildProcess, NothingButTheNamedDescriptorsAndEnvironmentReachesTheChild) {
  const UniqueFd inherited(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC, on purpose
  SpawnOptions options =
      Shell("for fd in /proc/$$/fd/*; do [ -e $fd ] && echo ${fd##*/}; done; env");
  options.environment = {"ONLY=this", "PATH=/usr/bin:/bin"};
  const UniqueFd extra = OpenFile("/dev/zero", O_RDONLY).value();
  options.fds = {{extra.get(), 9}};
  const std::string output = OutputOf(options);
  EXPECT_TRUE(output.starts_with("0\n1\n2\n9\n")) << output;
  EXPECT_NE(output.find("ONLY=this"), std::string::npos);
  EXPECT_EQ(output.find("HOME="), std::string::npos);
}

TEST(ChildProcess, DescriptorsMaySwapNumbers) {
  const UniqueFd zero = OpenFile("/dev/zero", O_RDONLY).value();
  const UniqueFd full = OpenFile("/dev/full", O_RDONLY).value();
  SpawnOptions options = Shell("readlink /proc/$$/fd/" + std::to_string(zero.get()) +
                               " /proc/$$/fd/" + std::to_string(full.get()));
  options.fds = {{zero.get(), full.get()}, {full.get(), zero.get()}};
  EXPECT_EQ(OutputOf(options), "/dev/full\n/dev/zero\n");
}

TEST(ChildProcess, DescriptorMayKeepItsNumberAndGoTwice) {
  const UniqueFd zero = OpenFile("/dev/zero", O_RDONLY).value();  // O_CLOEXEC is set on it
  const std::string number = std::to_string(zero.get());
  SpawnOptions options = Shell("readlink /proc/$$/fd/" + number + " /proc/$$/fd/20");
  options.fds = {{zero.get(), zero.get()}, {zero.get(), 20}};
  EXPECT_EQ(OutputOf(options), "/dev/zero\n/dev/zero\n");
}

TEST(ChildProcess, BadDescriptorsAreErrors) {
  for (const std::pair<int, int>& bad :
       {std::pair{-1, 3}, std::pair{0, -1}, std::pair{0, 100'000}}) {
    SpawnOptions options = Shell("true");
    options.fds = {bad};
    EXPECT_FALSE(ChildProcess::Spawn(options));
  }
  SpawnOptions twice = Shell("true");
  twice.fds = {{0, 5}, {1, 5}};
  EXPECT_FALSE(ChildProcess::Spawn(twice));
  SpawnOptions closed = Shell("true");
  closed.fds = {{200, 5}};
  EXPECT_FALSE(ChildProcess::Spawn(closed));
  EXPECT_FALSE(ChildProcess::Spawn({}));
}

TEST(ChildProcess, SignalsOfOursAreNotTheChilds) {
  struct sigaction ignore {};
  struct sigaction before {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &before);
  sigset_t block;
  sigset_t old_mask;
  sigemptyset(&block);
  sigaddset(&block, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &block, &old_mask);
  // Not through a shell: one that starts a program blocks signals for a moment.
  SpawnOptions options = Shell("");
  options.argv = {"grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"};
  const std::string output = OutputOf(options);
  ::pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
  ::sigaction(SIGPIPE, &before, nullptr);
  // Signals 32 and 33 are glibc's own; its posix_spawn leaves them ignored.
  const bool none = output == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n" ||
                    output == "SigBlk:\t0000000000000000\nSigIgn:\t0000000180000000\n";
  EXPECT_TRUE(none) << output;
}

TEST(ChildProcess, NewSessionIsOnlyMadeWhenAsked) {
  SpawnOptions options =
      Shell("read -r _ _ _ _ _ session _ < /proc/$$/stat; test $session = $$ && echo own");
  EXPECT_EQ(OutputOf(options), "");
  options.new_session = true;
  EXPECT_EQ(OutputOf(options), "own\n");
}

TEST(ChildProcess, WaitReturnsAtTheDeadlineAndTheProcessGoesOn) {
  ChildProcess child = ChildProcess::Spawn(Shell("exec sleep 1000")).value();
  EXPECT_FALSE(child.Wait(In(milliseconds{10})).value().has_value());
  EXPECT_FALSE(PollUntil(child.pidfd(), POLLIN, steady_clock::now()).value());
  EXPECT_TRUE(child.Signal(SIGTERM));
  const auto ended = child.Wait(In(seconds{30})).value();
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->signal, SIGTERM);
  EXPECT_TRUE(child.Signal(SIGKILL)) << "ended already: success";
  EXPECT_EQ(child.Wait(In(seconds{30})).value()->signal, SIGTERM) << "the status is kept";
}

TEST(ChildProcess, DestructorKillsAndReaps) {
  pid_t pid = -1;
  {
    ChildProcess child =
        ChildProcess::Spawn(Shell("trap '' TERM; while :; do sleep 1000; done")).value();
    pid = child.pid();
    ChildProcess moved = std::move(child);
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(ChildProcess, AssignmentEndsTheOldChild) {
  ChildProcess child = ChildProcess::Spawn(Shell("exec sleep 1000")).value();
  const pid_t old_pid = child.pid();
  child = ChildProcess::Spawn(Shell("exit 3")).value();
  EXPECT_EQ(::kill(old_pid, 0), -1);
  EXPECT_EQ(child.Wait(In(seconds{30})).value()->exit_code, 3);
}

TEST(ChildProcess, NoDescriptorIsLeftBehind) {
  const long before = OpenDescriptors();
  for (int i = 0; i < 20; ++i) {
    ChildProcess child = ChildProcess::Spawn(Shell("exit 0")).value();
    ASSERT_TRUE(child.Wait(In(seconds{30})).value());
    ASSERT_FALSE(ChildProcess::Spawn(
        {.argv = {"/no/such"}, .environment = {}, .fds = {}, .working_directory = ""}));
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST(HelperEnvironment, HoldsOnlyWhatHelpersNeed) {
  ::setenv("NV_SECRET_FOR_TEST", "x", 1);
  ::setenv("SOURCE_DATE_EPOCH", "12", 1);
  const std::vector<std::string> environment = HelperEnvironment();
  EXPECT_EQ(std::ranges::count(environment, "SOURCE_DATE_EPOCH=12"), 1);
  for (const std::string& entry : environment) EXPECT_FALSE(entry.starts_with("NV_SECRET"));
  ::unsetenv("SOURCE_DATE_EPOCH");
}

}  // namespace
}  // namespace nv::base
