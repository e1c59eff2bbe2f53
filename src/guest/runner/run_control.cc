#include "guest/runner/run_control.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace nv::guest::runner {

base::Result<std::shared_ptr<RunControl>> RunControl::Create() {
  base::UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) return base::FailErrno("eventfd");
  // Shared: the call may end before the run's thread has noticed, and the other way round.
  return std::shared_ptr<RunControl>(new RunControl(std::move(fd)));
}

void RunControl::PushStdin(std::string bytes) {
  if (bytes.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    if (stdin_closed_ || stdin_ended_) return;
    pending_bytes_ += bytes.size();
    stdin_.push_back(std::move(bytes));
  }
  Wake();
}

void RunControl::EndStdin() {
  {
    const std::lock_guard lock(mutex_);
    stdin_ended_ = true;
  }
  Wake();
}

void RunControl::Cancel() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
  }
  Wake();
}

void RunControl::Wake() {
  const std::uint64_t one = 1;
  // Full (2^64 - 2 wakes unread) is as good as written.
  if (write(wake_fd_.get(), &one, sizeof(one)) < 0) return;
}

bool RunControl::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

std::size_t RunControl::pending_stdin_bytes() const {
  const std::lock_guard lock(mutex_);
  return pending_bytes_;
}

void RunControl::ClearWake() {
  std::uint64_t count;
  if (read(wake_fd_.get(), &count, sizeof(count)) < 0) return;  // EAGAIN: nothing to clear
}

bool RunControl::has_stdin() const {
  const std::lock_guard lock(mutex_);
  return !stdin_.empty() || stdin_ended_;
}

RunControl::StdinState RunControl::WriteStdin(int fd) {
  const std::lock_guard lock(mutex_);
  while (!stdin_.empty()) {
    const std::string& front = stdin_.front();
    const ssize_t wrote = write(fd, front.data() + front_offset_, front.size() - front_offset_);
    if (wrote < 0) {
      if (errno == EINTR) continue;
      // EPIPE: the program has closed its stdin.
      return errno == EAGAIN ? StdinState::kMore : StdinState::kEnded;
    }
    front_offset_ += static_cast<std::size_t>(wrote);
    pending_bytes_ -= static_cast<std::size_t>(wrote);
    if (front_offset_ == front.size()) {
      stdin_.pop_front();
      front_offset_ = 0;
    }
  }
  return stdin_ended_ ? StdinState::kEnded : StdinState::kDrained;
}

void RunControl::CloseStdin() {
  const std::lock_guard lock(mutex_);
  stdin_closed_ = true;
  stdin_.clear();
  front_offset_ = 0;
  pending_bytes_ = 0;
}

}  // namespace nv::guest::runner
