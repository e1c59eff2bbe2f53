#include "guest/runner/program_run.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "base/io.h"
#include "base/limits.h"
#include "guest/runner/reaper.h"

namespace nv::guest::runner {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLinger{200};  // for background children, after the end
constexpr std::chrono::milliseconds kReaperPatience{
    2'000};  // then its namespace is killed under it
constexpr int kPipeBytes = 256 * 1024;

struct OutputPipe {
  base::UniqueFd fd;  // read end, non-blocking
  std::uint64_t delivered = 0;
  std::uint64_t discarded = 0;
};

struct Pipes {
  base::UniqueFd child_stdin;
  base::UniqueFd child_stdout;
  base::UniqueFd child_stderr;
};

class Loop {
 public:
  Loop(Cell& cell, const ProgramSpec& spec, RunControl& control, OutputSink& sink)
      : cell_(cell),
        spec_(spec),
        control_(control),
        sink_(sink),
        buffer_(std::make_unique_for_overwrite<char[]>(base::kStreamChunkBytes)) {}

  base::Result<ProgramReport> Run() {
    auto pipes = MakePipes();
    if (!pipes) return base::Fail(std::move(pipes.error()));
    if (auto ok = cell_.Start({.argv = spec_.argv,
                               .environment = spec_.environment,
                               .stdin_fd = pipes->child_stdin.get(),
                               .stdout_fd = pipes->child_stdout.get(),
                               .stderr_fd = pipes->child_stderr.get()});
        !ok) {
      return base::Fail(std::move(ok.error()).WithContext("start the program"));
    }
    *pipes = {};  // our copies would keep the pipes open
    while (!Done()) {
      if (auto ok = Step(); !ok) return base::Fail(std::move(ok.error()));
    }
    control_.CloseStdin();
    return Report();
  }

 private:
  base::Result<Pipes> MakePipes() {
    Pipes pipes;
    for (OutputPipe* output : {&outputs_[0], &outputs_[1]}) {
      auto pipe = base::MakePipe();
      if (!pipe) return base::Fail(std::move(pipe.error()));
      fcntl(pipe->first.get(), F_SETPIPE_SZ, kPipeBytes);  // fewer, larger chunks; no matter if not
      if (auto ok = base::SetNonBlocking(pipe->first.get(), true); !ok) {
        return base::Fail(std::move(ok.error()));
      }
      output->fd = std::move(pipe->first);
      (output == &outputs_[0] ? pipes.child_stdout : pipes.child_stderr) = std::move(pipe->second);
    }
    if (spec_.stdin_follows) {
      auto pipe = base::MakePipe();
      if (!pipe) return base::Fail(std::move(pipe.error()));
      if (auto ok = base::SetNonBlocking(pipe->second.get(), true); !ok) {
        return base::Fail(std::move(ok.error()));
      }
      pipes.child_stdin = std::move(pipe->first);
      stdin_ = std::move(pipe->second);
    } else {
      control_.CloseStdin();
      auto null = base::OpenFile("/dev/null", O_RDONLY);
      if (!null) return base::Fail(std::move(null.error()));
      pipes.child_stdin = std::move(*null);
    }
    return pipes;
  }

  [[nodiscard]] bool Done() const {
    return exited_ && empty_ && !outputs_[0].fd.valid() && !outputs_[1].fd.valid();
  }

  base::Status Step() {
    std::array<pollfd, 5> entries{};
    entries[0] = {.fd = reaper_gone_ ? -1 : cell_.event_fd(), .events = POLLIN, .revents = 0};
    entries[1] = {.fd = control_.wake_fd(), .events = POLLIN, .revents = 0};
    const bool deliver = sink_.Ready();
    for (std::size_t i = 0; i < 2; ++i) {
      const bool read = deliver || cancelled_ || AtLimit(outputs_[i]);
      entries[2 + i] = {.fd = read ? outputs_[i].fd.get() : -1, .events = POLLIN, .revents = 0};
    }
    // An empty queue still watches for the reader's end, so that a sender is not held for nothing.
    const short want = control_.has_stdin() ? short{POLLOUT} : short{0};
    entries[4] = {.fd = stdin_.get(), .events = want, .revents = 0};

    const auto wait = NextDeadline();
    if (poll(entries.data(), entries.size(), base::PollTimeout(wait)) < 0 && errno != EINTR) {
      return base::FailErrno("poll");
    }
    if (entries[1].revents != 0) control_.ClearWake();
    if (entries[0].revents != 0) {
      if (auto ok = TakeEvents(); !ok) return ok;
    }
    // Reads may have been chosen by a sink that one Write has filled: ask again for each.
    for (std::size_t i = 0; i < 2; ++i) {
      if (entries[2 + i].revents != 0) MoveOutput(i);
    }
    if (entries[4].revents != 0) MoveStdin();
    return Enforce();
  }

  [[nodiscard]] steady_clock::time_point NextDeadline() const {
    auto next = steady_clock::time_point::max();
    if (started_ && !exited_ && !verdict_) next = std::min(next, timeout_at_);
    if (exited_ && !empty_ && !killed_at_) next = std::min(next, linger_until_);
    if (killed_at_ && !empty_) next = std::min(next, *killed_at_ + kReaperPatience);
    return next;
  }

  base::Status Enforce() {
    const auto now = steady_clock::now();
    if (!cancelled_ && control_.cancelled()) {
      cancelled_ = true;
      if (!exited_) verdict_ = verdict_.value_or(base::Outcome::kCancelled);
      Kill(now);
    }
    if (started_ && !exited_ && !verdict_ && now >= timeout_at_) {
      verdict_ = base::Outcome::kTimeout;
      Kill(now);
    }
    if (exited_ && !empty_ && !killed_at_ && now >= linger_until_) Kill(now);
    if (killed_at_ && !empty_ && !reaper_gone_ && now >= *killed_at_ + kReaperPatience) {
      cell_.KillHard();
      killed_at_ = now;
    }
    return {};
  }

  void Kill(steady_clock::time_point now) {
    if (killed_at_) return;
    killed_at_ = now;
    cell_.KillAll();
  }

  base::Status TakeEvents() {
    for (;;) {
      auto event = cell_.NextEvent();
      if (!event) {
        // Killed under our hands (KillHard, cgroup.kill, the OOM killer) and all the rest with it.
        reaper_gone_ = true;
        if (!started_ && !killed_at_) return base::Fail(std::move(event.error()));
        if (!exited_ && !verdict_) return base::Fail(std::move(event.error()));
        exited_ = empty_ = true;
        return {};
      }
      if (!event->has_value()) return {};
      if (auto ok = TakeEvent(**event); !ok) return ok;
    }
  }

  base::Status TakeEvent(const Event& event) {
    cpu_us_ = std::max(cpu_us_, event.cpu_us);
    max_rss_bytes_ = std::max(max_rss_bytes_, event.max_rss_bytes);
    switch (event.kind) {
      case EventKind::kStarted:
        started_ = true;
        started_ns_ = event.monotonic_ns;
        // steady_clock is CLOCK_MONOTONIC: the same clock as the reaper's.
        timeout_at_ =
            steady_clock::time_point(std::chrono::nanoseconds(started_ns_)) + spec_.timeout;
        return {};
      case EventKind::kNotStarted:
        return base::Fail(base::Error::FromErrno(
            event.error_number, "start " + spec_.argv.front() + " (" + event.what.data() + ")"));
      case EventKind::kExited:
        exited_ = true;
        wait_status_ = event.wait_status;
        ended_ns_ = event.monotonic_ns;
        linger_until_ = steady_clock::now() + kLinger;
        JudgeEnd();
        return {};
      case EventKind::kEmpty:
        empty_ = exited_;  // one from before this program's start does not count
        return {};
      case EventKind::kCreated:
      case EventKind::kReady:
      case EventKind::kFailed:
        return {};
    }
    return {};
  }

  // The cgroup's counter knows about memory; SIGKILL alone could be the program's own doing.
  void JudgeEnd() {
    const Cgroup* group = cell_.cgroup();
    const bool oom = WIFSIGNALED(wait_status_) && group != nullptr && group->OomKills() > 0;
    if (oom && !verdict_) verdict_ = base::Outcome::kOom;
  }

  [[nodiscard]] bool AtLimit(const OutputPipe& output) const {
    return spec_.max_output_bytes != 0 && output.delivered >= spec_.max_output_bytes;
  }

  void MoveOutput(std::size_t index) {
    OutputPipe& output = outputs_[index];
    const bool drop = cancelled_ || AtLimit(output);
    if (!drop && !sink_.Ready()) return;
    std::size_t room = base::kStreamChunkBytes;
    if (!drop && spec_.max_output_bytes != 0) {
      room = std::min<std::uint64_t>(room, spec_.max_output_bytes - output.delivered);
    }
    const ssize_t got = read(output.fd.get(), buffer_.get(), room);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
      output.fd.Reset();
      return;
    }
    const auto bytes = static_cast<std::size_t>(got);
    if (drop) {
      output.discarded += bytes;
      return;
    }
    output.delivered += bytes;
    sink_.Write(static_cast<OutputStream>(index), {buffer_.get(), bytes});
  }

  void MoveStdin() {
    if (control_.WriteStdin(stdin_.get()) == RunControl::StdinState::kEnded || ReaderGone()) {
      stdin_.Reset();
      control_.CloseStdin();
    }
    sink_.OnStdinRoom();
  }

  [[nodiscard]] bool ReaderGone() const {
    pollfd entry{.fd = stdin_.get(), .events = 0, .revents = 0};
    return poll(&entry, 1, 0) > 0 && (entry.revents & POLLERR) != 0;
  }

  [[nodiscard]] ProgramReport Report() const {
    ProgramReport report;
    report.discarded = {outputs_[0].discarded, outputs_[1].discarded};
    const int own_code = WIFEXITED(wait_status_) ? WEXITSTATUS(wait_status_) : 0;
    report.signal = WIFSIGNALED(wait_status_) ? WTERMSIG(wait_status_) : 0;
    if (verdict_) {
      report.outcome = *verdict_;
    } else if (report.signal != 0) {
      report.outcome = base::Outcome::kSignal;
    } else if (report.discarded[0] + report.discarded[1] > 0 && !cancelled_) {
      report.outcome = base::Outcome::kOutputLimit;
    } else {
      report.outcome = own_code == 0 ? base::Outcome::kSuccess : base::Outcome::kError;
    }
    report.exit_code = base::ExitCodeFor(report.outcome, own_code, report.signal);
    const std::int64_t ended = ended_ns_ != 0 ? ended_ns_ : MonotonicNs();
    if (started_) report.run_time = std::chrono::nanoseconds(ended - started_ns_);
    const Cgroup* group = cell_.cgroup();
    const std::int64_t group_us =
        group == nullptr ? 0 : static_cast<std::int64_t>(group->CpuMicroseconds());
    report.cpu_time = std::chrono::microseconds(std::max(cpu_us_, group_us));
    report.max_rss_bytes = static_cast<std::uint64_t>(max_rss_bytes_);
    return report;
  }

  Cell& cell_;
  const ProgramSpec& spec_;
  RunControl& control_;
  OutputSink& sink_;
  std::unique_ptr<char[]> buffer_;

  std::array<OutputPipe, 2> outputs_;
  base::UniqueFd stdin_;

  bool started_ = false;
  bool exited_ = false;     // the program itself
  bool empty_ = false;      // and everything it started
  bool cancelled_ = false;  // output goes nowhere
  bool reaper_gone_ = false;
  std::optional<base::Outcome> verdict_;  // ours; without it the wait status speaks
  std::optional<steady_clock::time_point> killed_at_;
  steady_clock::time_point timeout_at_{};
  steady_clock::time_point linger_until_{};
  std::int64_t started_ns_ = 0;
  std::int64_t ended_ns_ = 0;
  std::int64_t cpu_us_ = 0;
  std::int64_t max_rss_bytes_ = 0;
  int wait_status_ = 0;
};

}  // namespace

base::Result<ProgramReport> RunProgram(Cell& cell, const ProgramSpec& spec, RunControl& control,
                                       OutputSink& sink) {
  return Loop(cell, spec, control, sink).Run();
}

}  // namespace nv::guest::runner
