#include "guest/runner/reaper.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/limits.h"
#include "guest/runner/cell_view.h"
#include "guest/runner/program_exec.h"

namespace nv::guest::runner {
namespace {

constexpr std::size_t kMaxStringBytes = 2 * (base::kMaxArgsBytes + base::kMaxEnvBytes);

// Without an own PID namespace kill(-1) would reach the whole machine. As a subreaper this process
// inherits the orphans, so killing and reaping its children again and again gets them all, unless
// they fork faster than that: good enough for tests without root.
void KillChildren() {
  const auto children = base::ReadFile("/proc/thread-self/children", 64 * 1024);
  if (!children) return;
  const char* at = children->c_str();
  char* end = nullptr;
  for (long pid = std::strtol(at, &end, 10); pid > 1; pid = std::strtol(at, &end, 10)) {
    kill(static_cast<pid_t>(pid), SIGKILL);
    at = end;
  }
}

class Reaper {
 public:
  Reaper(const MakeCell& cell, base::UniqueFd control, base::UniqueFd work_dir)
      : cell_(cell), control_(std::move(control)), work_dir_(std::move(work_dir)) {}

  void Serve(int signal_fd) {
    for (;;) {
      pollfd entries[] = {{.fd = control_.get(), .events = POLLIN, .revents = 0},
                          {.fd = signal_fd, .events = POLLIN, .revents = 0}};
      if (poll(entries, 2, -1) < 0 && errno != EINTR) return;
      if (entries[1].revents != 0) {
        signalfd_siginfo ignored;
        while (read(signal_fd, &ignored, sizeof(ignored)) > 0) {
        }
        ReapEnded();
      }
      if (entries[0].revents != 0 && !HandleCommand()) return;
    }
  }

  // Ends when not one process of the cell is left. A killed process in an uninterruptible wait can
  // hold this up; the agent then kills the reaper, and the kernel does the same work.
  void KillAll() {
    for (;;) {
      if (cell_.namespaces && getpid() == 1) {
        kill(-1, SIGKILL);
      } else {
        KillChildren();
      }
      int status = 0;
      const pid_t pid = waitpid(-1, &status, 0);
      if (pid > 0) OnEnded(pid, status);
      if (pid < 0 && errno == ECHILD) break;
      if (pid > 0 && ReapEnded()) return;
    }
    SayEmpty();
  }

 private:
  // False: the agent is gone.
  bool HandleCommand() {
    Command command;
    auto fds = Receive(control_.get(), command);
    if (!fds) return false;
    switch (command.kind) {
      case CommandKind::kStart:
        StartProgram(command, std::move(*fds));
        return true;
      case CommandKind::kKillAll:
        KillAll();
        return true;
    }
    return false;
  }

  void StartProgram(const Command& command, std::vector<base::UniqueFd> fds) {
    if (fds.size() != 4) return SayNotStarted("descriptors", EINVAL);
    lseek(fds[3].get(), 0, SEEK_SET);
    auto text = base::ReadUntilEof(fds[3].get(), kMaxStringBytes);
    if (!text) return SayNotStarted("read the arguments", text.error().error_number());
    fds[3].Reset();

    std::vector<char*> strings;
    for (std::size_t at = 0; at < text->size(); at += std::strlen(&(*text)[at]) + 1) {
      strings.push_back(&(*text)[at]);
    }
    if (command.argument_count == 0 ||
        strings.size() != std::size_t{command.argument_count} + command.environment_count) {
      return SayNotStarted("count the arguments", EINVAL);
    }
    strings.insert(strings.begin() + command.argument_count, nullptr);
    strings.push_back(nullptr);

    // A pipe belongs to who made it; its user may open it by name too (> /dev/stderr).
    for (std::size_t i = 0; cell_.change_user && i < 3; ++i) {
      struct stat status {};
      if (fstat(fds[i].get(), &status) == 0 && S_ISFIFO(status.st_mode) &&
          fchown(fds[i].get(), cell_.uid, cell_.gid) != 0) {
        return SayNotStarted("chown a pipe", errno);
      }
    }

    const ExecPlan plan{.argv = strings.data(),
                        .envp = strings.data() + command.argument_count + 1,
                        .fds = {fds[0].get(), fds[1].get(), fds[2].get()},
                        .work_dir = work_dir_.get(),
                        .change_user = cell_.change_user,
                        .uid = cell_.uid,
                        .gid = cell_.gid};
    const std::int64_t began = MonotonicNs();
    const ExecResult result = SpawnProgram(plan);
    if (result.pid < 0) return SayNotStarted(result.failed_step, result.error_number);
    program_ = result.pid;
    Say({.kind = EventKind::kStarted, .monotonic_ns = began});
  }

  // True when that left nothing, and kEmpty was told.
  bool ReapEnded() {
    for (;;) {
      int status = 0;
      const pid_t pid = waitpid(-1, &status, WNOHANG);
      if (pid > 0) {
        OnEnded(pid, status);
      } else if (pid == 0 || errno != EINTR) {
        if (pid == 0 || errno != ECHILD) return false;
        if (!told_empty_) SayEmpty();
        return true;
      }
    }
  }

  void OnEnded(pid_t pid, int status) {
    told_empty_ = false;
    if (pid != program_) return;
    program_ = -1;
    Say({.kind = EventKind::kExited, .wait_status = status, .monotonic_ns = MonotonicNs()});
  }

  void SayEmpty() {
    told_empty_ = true;
    Say({.kind = EventKind::kEmpty, .monotonic_ns = MonotonicNs()});
  }

  void SayNotStarted(std::string_view what, int error_number) {
    Event event{.kind = EventKind::kNotStarted,
                .error_number = error_number,
                .monotonic_ns = MonotonicNs()};
    SetWhat(event, what);
    Say(event);
  }

  void Say(Event event) {
    rusage usage{};
    getrusage(RUSAGE_CHILDREN, &usage);
    event.cpu_us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 +
                   usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    event.max_rss_bytes = usage.ru_maxrss * 1024;
    // An agent that is gone is noticed by the next receive.
    static_cast<void>(Send(control_.get(), event));
  }

  const MakeCell& cell_;
  base::UniqueFd control_;
  base::UniqueFd work_dir_;
  pid_t program_ = -1;
  bool told_empty_ = true;
};

}  // namespace

void RunReaper(const MakeCell& cell, base::UniqueFd control) {
  // A signal of its own, from a parent outside the namespace, does reach a PID 1.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, "nv-reaper");
  if (!cell.namespaces) prctl(PR_SET_CHILD_SUBREAPER, 1);
  signal(SIGCHLD, SIG_DFL);
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, nullptr);
  const int signal_fd = signalfd(-1, &child_ended, SFD_CLOEXEC | SFD_NONBLOCK);

  auto work_dir = MakeView(cell);
  if (!work_dir || signal_fd < 0) {
    Event event{.kind = EventKind::kFailed, .monotonic_ns = MonotonicNs()};
    event.error_number = work_dir ? errno : work_dir.error().error_number();
    SetWhat(event, work_dir ? "signalfd" : work_dir.error().message());
    static_cast<void>(Send(control.get(), event));
    _exit(1);
  }
  const Event ready{.kind = EventKind::kReady, .monotonic_ns = MonotonicNs()};
  const int work_dir_fd = work_dir->get();
  if (!Send(control.get(), ready, std::span(&work_dir_fd, 1))) _exit(1);

  Reaper reaper(cell, std::move(control), std::move(*work_dir));
  reaper.Serve(signal_fd);
  reaper.KillAll();
  _exit(0);
}

std::int64_t MonotonicNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

void SetWhat(Event& event, std::string_view what) {
  const std::size_t length = std::min(what.size(), event.what.size() - 1);
  std::memcpy(event.what.data(), what.data(), length);
  event.what[length] = '\0';
}

}  // namespace nv::guest::runner
