#include "host/guestlink/run_watch.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace nv::host::guestlink {

RunWatch::RunWatch(base::Deadline deadline, std::function<void()> expired)
    : on_expired_(std::move(expired)),
      deadline_(deadline),
      thread_([this](const std::stop_token& stop) { Watch(stop); }) {}

void RunWatch::Hold() {
  const std::scoped_lock lock(mutex_);
  held_since_ = std::chrono::steady_clock::now();
}

void RunWatch::Release() {
  {
    const std::scoped_lock lock(mutex_);
    if (!held_since_) return;
    deadline_ += std::chrono::steady_clock::now() - *held_since_;
    held_since_.reset();
  }
  changed_.notify_one();
}

void RunWatch::Shorten(base::Deadline deadline) {
  {
    const std::scoped_lock lock(mutex_);
    deadline_ = std::min(deadline_, deadline);
  }
  changed_.notify_one();
}

bool RunWatch::expired() const {
  const std::scoped_lock lock(mutex_);
  return expired_;
}

void RunWatch::Watch(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (held_since_) {
      changed_.wait(lock, stop, [this] { return !held_since_; });
      continue;
    }
    if (std::chrono::steady_clock::now() >= deadline_) {
      expired_ = true;
      lock.unlock();
      on_expired_();
      return;
    }
    const base::Deadline until = deadline_;
    changed_.wait_until(lock, stop, until, [&] { return held_since_ || deadline_ != until; });
  }
}

}  // namespace nv::host::guestlink
