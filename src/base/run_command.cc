// RunCommand of child_process.h: output line by line, and an end of the whole session.

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <memory>

#include "base/child_process.h"
#include "base/pidfd.h"

namespace nv::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kMaxLineBytes = 4096;
constexpr milliseconds kStopGrace{2000};  // from SIGTERM to SIGKILL
constexpr milliseconds kReapBound{5000};  // for a killed process stuck in the kernel
constexpr int kMaxKillRounds = 50;        // a fork bomb must not keep us here for ever

// Splits a stream into lines.
class LineSplitter {
 public:
  void Append(std::string_view bytes, const std::function<void(std::string_view)>& on_line) {
    while (!bytes.empty()) {
      const std::size_t newline = bytes.find('\n');
      const std::string_view piece = bytes.substr(0, newline);
      line_ += piece.substr(0, kMaxLineBytes - line_.size());
      started_ = true;
      if (newline == std::string_view::npos) return;
      Finish(on_line);
      bytes.remove_prefix(newline + 1);
    }
  }
  // The last line may have no newline.
  void Finish(const std::function<void(std::string_view)>& on_line) {
    if (started_ && on_line) on_line(line_);
    line_.clear();
    started_ = false;
  }

 private:
  std::string line_;
  bool started_ = false;
};

struct Output {
  UniqueFd read_end;
  LineSplitter lines;
};

// Reads what is there now; closes the descriptor at the end of the stream.
void Drain(Output& output, const std::function<void(std::string_view)>& on_line) {
  std::array<char, 16 * 1024> buffer{};
  // Bounded, so that endless output does not hide a deadline or the child's end.
  for (int reads = 0; reads < 16 && output.read_end.valid(); ++reads) {
    const ssize_t got = ::read(output.read_end.get(), buffer.data(), buffer.size());
    if (got > 0) {
      output.lines.Append({buffer.data(), static_cast<std::size_t>(got)}, on_line);
    } else if (got < 0 && errno == EINTR) {
      continue;
    } else if (got < 0 && errno == EAGAIN) {
      return;
    } else {
      output.read_end.Reset();
    }
  }
}

// Session id of a process, from /proc/PID/stat (proc(5)): the fourth field after the name, which
// ends at the last ')'. -1 when there is no such process.
pid_t SessionOf(pid_t pid) {
  const Result<std::string> stat = ReadFile("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat) return -1;
  std::size_t at = stat->rfind(')');
  for (int field = 0; field < 4 && at != std::string::npos; ++field) at = stat->find(' ', at + 1);
  pid_t session = -1;
  if (at == std::string::npos) return -1;
  std::from_chars(stat->data() + at + 1, stat->data() + stat->size(), session);
  return session;
}

// One pass over /proc. Returns how many members, the leader aside, got the signal.
int SignalMembers(pid_t session, int number) {
  int signalled = 0;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (proc == nullptr) return 0;
  while (const dirent* entry = ::readdir(proc.get())) {
    const std::string_view name = entry->d_name;
    pid_t pid = -1;
    std::from_chars(name.data(), name.data() + name.size(), pid);
    if (pid <= 0 || pid == session || SessionOf(pid) != session) continue;
    // The number may be another process by now: bind it first, then look again.
    const UniqueFd pidfd(::pidfd_open(pid, 0));
    if (!pidfd.valid() || SessionOf(pid) != session) continue;
    pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, 0) != 0) continue;  // a zombie: nothing left to kill
    if (::pidfd_send_signal(pidfd.get(), number, nullptr, 0) == 0) ++signalled;
  }
  return signalled;
}

// Kills what is left of the session. `leader` is not reaped yet, so its number still names it.
void KillSession(pid_t leader) {
  ::kill(-leader, SIGKILL);
  // A member may have forked while we looked; those with process groups of their own are found
  // here.
  for (int round = 0; round < kMaxKillRounds && SignalMembers(leader, SIGKILL) > 0; ++round) {
  }
}

// Asks first, so that a builder can remove its work directory; then kills.
void StopSession(ChildProcess& child) {
  ::kill(-child.pid(), SIGTERM);
  SignalMembers(child.pid(), SIGTERM);
  static_cast<void>(PollUntil(child.pidfd(), POLLIN, steady_clock::now() + kStopGrace));
  KillSession(child.pid());
  static_cast<void>(child.Wait(steady_clock::now() + kReapBound));
}

Result<Output> Capture(SpawnOptions& options, int number, UniqueFd& write_end) {
  Output output;
  for (const auto& [source, target] : options.fds) {
    if (target == number) return output;  // the caller has a place for it
  }
  Result<FdPair> pipe = MakePipe();
  if (!pipe) return Fail(std::move(pipe.error()));
  if (Status done = SetNonBlocking(pipe->first.get(), true); !done) return Fail(done.error());
  write_end = std::move(pipe->second);
  options.fds.emplace_back(write_end.get(), number);
  output.read_end = std::move(pipe->first);
  return output;
}

}  // namespace

Result<ExitStatus> RunCommand(SpawnOptions options,
                              const std::function<void(std::string_view line)>& on_line,
                              Deadline deadline, int cancel_fd) {
  options.new_session = true;
  std::array<UniqueFd, 2> write_ends;
  Result<Output> out = Capture(options, STDOUT_FILENO, write_ends[0]);
  if (!out) return Fail(std::move(out.error()));
  Result<Output> err = Capture(options, STDERR_FILENO, write_ends[1]);
  if (!err) return Fail(std::move(err.error()));

  Result<ChildProcess> child = ChildProcess::Spawn(options);
  if (!child) return Fail(std::move(child.error()));
  for (UniqueFd& write_end : write_ends) write_end.Reset();

  while (true) {
    // poll(2) passes over negative descriptors.
    std::array<pollfd, 4> polled = {{{child->pidfd(), POLLIN, 0},
                                     {cancel_fd, POLLIN, 0},
                                     {out->read_end.get(), POLLIN, 0},
                                     {err->read_end.get(), POLLIN, 0}}};
    const int ready = ::poll(polled.data(), polled.size(), PollTimeout(deadline));
    if (ready < 0 && errno != EINTR) {
      Error failed = Error::FromErrno(errno, "poll");
      StopSession(*child);
      return Fail(std::move(failed));
    }
    if (ready < 0) continue;
    Drain(*out, on_line);
    Drain(*err, on_line);
    if (polled[0].revents != 0) break;
    if (polled[1].revents != 0) {
      StopSession(*child);
      return Fail(Code::kCancelled, "'" + options.argv[0] + "' was cancelled");
    }
    if (steady_clock::now() >= deadline) {
      StopSession(*child);
      return Fail(Code::kDeadlineExceeded, "'" + options.argv[0] + "' did not end in time");
    }
  }
  // A background child that keeps the pipes open must not keep us: it goes with the session.
  KillSession(child->pid());
  Drain(*out, on_line);
  Drain(*err, on_line);
  out->lines.Finish(on_line);
  err->lines.Finish(on_line);
  const Result<std::optional<ExitStatus>> ended = child->Wait(steady_clock::now() + kReapBound);
  if (!ended) return Fail(ended.error());
  if (!*ended) return Fail(Code::kInternal, "'" + options.argv[0] + "' could not be reaped");
  return **ended;
}

}  // namespace nv::base
