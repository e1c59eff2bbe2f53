#include "base/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <set>

#include "base/check.h"
#include "base/pidfd.h"

namespace nv::base {
namespace {

constexpr std::chrono::seconds kReapBound{5};  // for a killed child stuck in the kernel
constexpr int kMaxChildFd = 255;

// posix_spawn's two argument objects, destroyed on every path.
class SpawnArguments {
 public:
  SpawnArguments() {
    NV_CHECK(::posix_spawn_file_actions_init(&actions_) == 0);
    NV_CHECK(::posix_spawnattr_init(&attributes_) == 0);
  }
  SpawnArguments(const SpawnArguments&) = delete;
  SpawnArguments& operator=(const SpawnArguments&) = delete;
  ~SpawnArguments() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  posix_spawn_file_actions_t* actions() { return &actions_; }
  posix_spawnattr_t* attributes() { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

// The child gets exactly the wanted descriptors. Two phases, because a target may be the number of
// another source (and dup2 onto the same number would leave O_CLOEXEC set): all sources go to
// numbers above every source and target, then down to their places; then the rest is closed.
int AddDescriptors(posix_spawn_file_actions_t* actions,
                   const std::vector<std::pair<int, int>>& fds) {
  int error = 0;
  const auto add = [&error](int result) {
    if (error == 0) error = result;
  };
  int highest_target = STDERR_FILENO;
  int above = STDERR_FILENO;
  std::set<int> targets;
  for (const auto& [source, target] : fds) {
    highest_target = std::max(highest_target, target);
    above = std::max({above, source, target});
    targets.insert(target);
  }
  int parked = above;
  for (const auto& [source, target] : fds) {
    add(::posix_spawn_file_actions_adddup2(actions, source, ++parked));
  }
  parked = above;
  for (const auto& [source, target] : fds) {
    add(::posix_spawn_file_actions_adddup2(actions, ++parked, target));
  }
  for (int fd = 0; fd <= highest_target; ++fd) {
    if (targets.contains(fd)) continue;
    if (fd <= STDERR_FILENO) {
      add(::posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0));
    } else {
      add(::posix_spawn_file_actions_addclose(actions, fd));
    }
  }
  add(::posix_spawn_file_actions_addclosefrom_np(actions, highest_target + 1));
  return error;
}

int AddAttributes(posix_spawnattr_t* attributes, bool new_session) {
  int flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
  if (new_session) flags |= POSIX_SPAWN_SETSID;
  // Ignored SIGPIPE and blocked signals of ours are not the child's business.
  sigset_t all;
  sigset_t none;
  sigfillset(&all);
  sigemptyset(&none);
  if (const int error = ::posix_spawnattr_setsigdefault(attributes, &all); error != 0) return error;
  if (const int error = ::posix_spawnattr_setsigmask(attributes, &none); error != 0) return error;
  return ::posix_spawnattr_setflags(attributes, static_cast<short>(flags));
}

Status CheckOptions(const SpawnOptions& options) {
  if (options.argv.empty() || options.argv[0].empty()) {
    return Fail(Code::kInvalidArgument, "no program to start");
  }
  std::set<int> targets;
  for (const auto& [source, target] : options.fds) {
    if (source < 0 || target < 0 || target > kMaxChildFd || !targets.insert(target).second) {
      return Fail(Code::kInvalidArgument, "cannot start '" + options.argv[0] + "': descriptor " +
                                              std::to_string(source) + " as " +
                                              std::to_string(target));
    }
  }
  return {};
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  // exec's prototype predates const; nothing writes through it.
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

std::string ExitStatus::Describe() const {
  if (signal == 0) return "exit status " + std::to_string(exit_code);
  std::string text = "killed by signal " + std::to_string(signal);
  if (const char* name = ::sigabbrev_np(signal); name != nullptr) {
    text += std::string(" (SIG") + name + ")";
  }
  return text;
}

ExitStatus ExitStatusFromWait(int wait_status) {
  if (WIFSIGNALED(wait_status)) return {.exit_code = 0, .signal = WTERMSIG(wait_status)};
  return {.exit_code = WEXITSTATUS(wait_status), .signal = 0};
}

Result<ChildProcess> ChildProcess::Spawn(const SpawnOptions& options) {
  if (Status valid = CheckOptions(options); !valid) return Fail(std::move(valid.error()));
  SpawnArguments arguments;
  int error = AddDescriptors(arguments.actions(), options.fds);
  if (error == 0) error = AddAttributes(arguments.attributes(), options.new_session);
  if (error == 0 && !options.working_directory.empty()) {
    error = ::posix_spawn_file_actions_addchdir_np(arguments.actions(),
                                                   options.working_directory.c_str());
  }
  pid_t pid = -1;
  if (error == 0) {
    error =
        ::posix_spawnp(&pid, options.argv[0].c_str(), arguments.actions(), arguments.attributes(),
                       Pointers(options.argv).data(), Pointers(options.environment).data());
  }
  if (error != 0) {
    std::string what = "cannot start '" + options.argv[0] + "'";
    if (!options.working_directory.empty()) what += " in '" + options.working_directory + "'";
    return Fail(Error::FromErrno(error, what));
  }
  // Not reaped yet, so the number still means our child.
  UniqueFd pidfd(::pidfd_open(pid, 0));
  if (!pidfd.valid()) {
    Error failed = Error::FromErrno(errno, "cannot watch '" + options.argv[0] + "'");
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return Fail(std::move(failed));
  }
  return ChildProcess(pid, std::move(pidfd));
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      ended_(std::exchange(other.ended_, std::nullopt)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    KillAndReap();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    ended_ = std::exchange(other.ended_, std::nullopt);
  }
  return *this;
}

ChildProcess::~ChildProcess() { KillAndReap(); }

void ChildProcess::KillAndReap() {
  if (pid_ < 0 || ended_) return;
  // Nothing to be done about an error here; a child that does not die in time stays a zombie.
  static_cast<void>(Signal(SIGKILL));
  static_cast<void>(Wait(std::chrono::steady_clock::now() + kReapBound));
}

Status ChildProcess::Signal(int number) {
  if (ended_) return {};
  if (::pidfd_send_signal(pidfd_.get(), number, nullptr, 0) != 0 && errno != ESRCH) {
    return FailErrno("cannot signal process " + std::to_string(pid_));
  }
  return {};
}

Result<std::optional<ExitStatus>> ChildProcess::Wait(Deadline deadline) {
  if (ended_) return ended_;
  const Result<bool> ready = PollUntil(pidfd_.get(), POLLIN, deadline);
  if (!ready) return Fail(ready.error());
  if (!*ready) return std::optional<ExitStatus>();
  int wait_status = 0;
  while (::waitpid(pid_, &wait_status, 0) < 0) {
    if (errno != EINTR) return FailErrno("cannot reap process " + std::to_string(pid_));
  }
  ended_ = ExitStatusFromWait(wait_status);
  return ended_;
}

std::vector<std::string> HelperEnvironment() {
  constexpr std::array kNames = {
      "PATH",       "HOME",       "LANG",        "TMPDIR",      "SOURCE_DATE_EPOCH",
      "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ftp_proxy",
      "FTP_PROXY",  "all_proxy",  "ALL_PROXY",   "no_proxy",    "NO_PROXY"};
  std::vector<std::string> environment;
  for (const char* name : kNames) {
    if (const char* value = std::getenv(name); value != nullptr) {
      environment.push_back(std::string(name) + "=" + value);
    }
  }
  return environment;
}

}  // namespace nv::base
