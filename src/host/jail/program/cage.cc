#include "host/jail/program/cage.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace nv::host::jail {
namespace {

// Steps by number: the child sends two integers through the error pipe, never a pointer or a text.
enum Step : int {
  kSession,
  kDescriptors,
  kLimits,
  kGroups,
  kGid,
  kUid,
  kBoundingSet,
  kAmbientSet,
  kCapabilities,
  kParentDeath,
  kNoNewPrivs,
  kSignals,
  kDirectory,
  kExec,
  kSteps,
};
constexpr const char* kStepTexts[kSteps] = {
    "cannot make a session",
    "cannot place the descriptors",
    "cannot set the resource limits",
    "cannot set the supplementary groups",
    "cannot change the gid",
    "cannot change the uid",
    "cannot empty the capability bounding set",
    "cannot empty the ambient capabilities",
    "cannot drop the capabilities",
    "cannot ask for the parent-death signal",
    "cannot set no-new-privs",
    "cannot reset the signal mask",
    "cannot change to the root directory",
    "cannot execute the program",
};

struct Failure {
  int step;
  int error_number;
};

bool SetCapabilities(std::uint64_t kept) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  for (int i = 0; i < 2; ++i) {
    const auto half = static_cast<std::uint32_t>(kept >> (32 * i));
    data[i].effective = half;
    data[i].permitted = half;
  }
  return ::syscall(SYS_capset, &header, data) == 0;
}

bool DropBoundingSet(std::uint64_t kept) {
  for (unsigned long cap = 0; cap < 64; ++cap) {
    if ((kept >> cap & 1) != 0) continue;
    if (::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) < 0) break;  // EINVAL: past the last one
    if (::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) return false;
  }
  return true;
}

bool SetLimit(__rlimit_resource_t resource, std::uint64_t value) {
  rlimit now{};
  if (::getrlimit(resource, &now) != 0) return false;
  // Only root can raise a hard limit; what is lower already stays.
  const rlim_t wanted = std::min<rlim_t>(value, now.rlim_max);
  const rlimit limit{wanted, wanted};
  return ::setrlimit(resource, &limit) == 0;
}

// Everything from here to execveat runs in the child of a one-threaded program: system calls only,
// no allocation.
class Child {
 public:
  Child(const CageOptions& options, int program, int errors, pid_t jail)
      : options_(options), program_(program), errors_(errors), jail_(jail) {}

  [[noreturn]] void Run() {
    Require(::setsid() >= 0, kSession);
    ::umask(077);
    Require(::chdir("/") == 0, kDirectory);
    PlaceDescriptors();
    SetLimits();
    if (options_.uid) {
      BecomeOther(*options_.uid);
    } else {
      // The caller's own uid: capabilities that a root-owned caller kept must still go.
      Require(SetCapabilities(0), kCapabilities);
    }
    // A change of credentials clears the parent-death signal (prctl(2)), so it is asked for after.
    // The jail sends it while it dies and needs CAP_KILL for that: the uids differ.
    Require(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, kParentDeath);
    if (::getppid() != jail_) ::_exit(127);  // it died before the signal was armed
    Require(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, kNoNewPrivs);
    // Handlers are cleared by CLONE_CLEAR_SIGHAND; what is ignored stays so, and the mask of the
    // jail's signalfd too. By the kernel's own call: libc hides two signals. All zero is SIG_DFL.
    constexpr std::uint64_t kDefault[4] = {};
    for (int number = 1; number <= 64; ++number) {
      ::syscall(SYS_rt_sigaction, number, kDefault, nullptr, sizeof(std::uint64_t));
    }
    sigset_t none;
    sigemptyset(&none);
    Require(::sigprocmask(SIG_SETMASK, &none, nullptr) == 0, kSignals);

    const char* const no_environment[] = {nullptr};
    ::syscall(SYS_execveat, program_, "", options_.argv, no_environment, AT_EMPTY_PATH);
    Fail(kExec);
  }

 private:
  [[noreturn]] void Fail(Step step) const {
    const Failure failure{step, errno};
    // 8 bytes into an empty pipe are written whole or, when the jail is gone, not at all.
    [[maybe_unused]] const ssize_t written = ::write(errors_, &failure, sizeof failure);
    ::_exit(127);
  }
  void Require(bool ok, Step step) const {
    if (!ok) Fail(step);
  }

  void PlaceDescriptors() {
    // First everything above the numbers that will be used, so that no dup2 overwrites a source.
    constexpr int kAbove = kMaxFdNumber + 1;
    program_ = ::fcntl(program_, F_DUPFD_CLOEXEC, kAbove);
    Require(program_ >= 0, kDescriptors);
    const int errors = ::fcntl(errors_, F_DUPFD_CLOEXEC, kAbove);
    Require(errors >= 0, kDescriptors);
    errors_ = errors;

    std::array<int, kMaxFdNumber + 1> sources;
    sources.fill(-1);
    for (const FdPlacement& fd : options_.fds) {
      const int high = ::fcntl(fd.ours, F_DUPFD_CLOEXEC, kAbove);
      Require(high >= 0, kDescriptors);
      sources[static_cast<std::size_t>(fd.number)] = high;
    }
    for (std::size_t number = 0; number < 3; ++number) {
      if (sources[number] >= 0) continue;
      const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
      Require(null >= 0, kDescriptors);
      sources[number] = ::fcntl(null, F_DUPFD_CLOEXEC, kAbove);
      Require(sources[number] >= 0, kDescriptors);
    }
    for (int number = 0; number <= kMaxFdNumber; ++number) {
      const int source = sources[static_cast<std::size_t>(number)];
      if (source >= 0) {
        Require(::dup2(source, number) == number, kDescriptors);
      } else {
        ::close(number);
      }
    }
    // All the rest, our own copies included, goes at exec.
    Require(::syscall(SYS_close_range, kAbove, ~0u, CLOSE_RANGE_CLOEXEC) == 0, kDescriptors);
  }

  void SetLimits() const {
    const Limits& limits = options_.limits;
    Require(SetLimit(RLIMIT_CORE, 0), kLimits);
    Require(SetLimit(RLIMIT_NOFILE, limits.open_files), kLimits);
    Require(SetLimit(RLIMIT_FSIZE, limits.file_size), kLimits);
    if (limits.address_space != 0) {
      Require(SetLimit(RLIMIT_AS, limits.address_space), kLimits);
    }
    // Counted per uid: under a shared one it would count the caller's own processes.
    if (options_.uid) Require(SetLimit(RLIMIT_NPROC, limits.processes), kLimits);
  }

  void BecomeOther(std::uint32_t uid) const {
    // The bounding set needs CAP_SETPCAP, so it goes before the uid takes the capabilities away.
    Require(DropBoundingSet(0), kBoundingSet);
    const gid_t group = options_.extra_group.value_or(0);
    Require(::setgroups(options_.extra_group ? 1 : 0, &group) == 0, kGroups);
    Require(::setresgid(uid, uid, uid) == 0, kGid);
    Require(::setresuid(uid, uid, uid) == 0, kUid);
    Require(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0, kAmbientSet);
    Require(SetCapabilities(0), kCapabilities);
  }

  const CageOptions& options_;
  int program_;
  int errors_;
  pid_t jail_;
};

Caged Failed(const char* stage, int error_number) {
  Caged caged;
  caged.stage = stage;
  caged.error_number = error_number;
  return caged;
}

}  // namespace

Caged StartCaged(const CageOptions& options) {
  base::UniqueFd program(::open(options.program, O_PATH | O_CLOEXEC));
  if (!program.valid()) return Failed("cannot open the program", errno);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Failed("cannot make a pipe", errno);
  base::UniqueFd read_end(ends[0]);
  base::UniqueFd write_end(ends[1]);

  const pid_t jail = ::getpid();
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
  if (pid == 0) Child(options, program.get(), write_end.get(), jail).Run();
  if (pid < 0) return Failed("cannot make a process", errno);

  Caged caged;
  caged.pidfd.Reset(pidfd);
  write_end.Reset();
  // End of file: the pipe was closed by a successful exec (or by the child's sudden death, which
  // its exit report will tell).
  Failure failure{};
  ssize_t received;
  do {
    received = ::read(read_end.get(), &failure, sizeof failure);
  } while (received < 0 && errno == EINTR);
  if (received == 0) {
    caged.pid = pid;
    return caged;
  }
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  const bool known = received == sizeof failure && failure.step >= 0 && failure.step < kSteps;
  return known ? Failed(kStepTexts[failure.step], failure.error_number)
               : Failed("cannot start the process", 0);
}

const char* ReduceOwnPrivileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "cannot set no-new-privs";
  if (::geteuid() != 0) return nullptr;
  constexpr std::uint64_t kKept = 1ull << CAP_SETUID | 1ull << CAP_SETGID | 1ull << CAP_SETPCAP |
                                  1ull << CAP_KILL | 1ull << CAP_SYS_RESOURCE;
  // What this jail was not given itself (a container's root) stays missing; asking for it fails.
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return "cannot read the capabilities";
  const std::uint64_t held = std::uint64_t{data[1].permitted} << 32 | data[0].permitted;
  if (!DropBoundingSet(kKept)) return "cannot reduce the bounding set";
  if (!SetCapabilities(held & kKept)) return "cannot reduce the capabilities";
  return nullptr;
}

}  // namespace nv::host::jail
