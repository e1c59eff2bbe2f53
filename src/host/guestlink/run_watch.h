// RunWatch: the host's clock over one run. Calls `expired` once, on its own thread, when the time
// is up.
//
// Time in which the receiver of the output did not take it (Hold to Release) does not count: a
// pager that nobody scrolls is not the guest's fault. What the guest does or sends never stops the
// clock.

#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/io.h"

namespace nv::host::guestlink {

class RunWatch {
 public:
  RunWatch(base::Deadline deadline, std::function<void()> expired);

  void Hold();
  void Release();
  // Never later than this from now on.
  void Shorten(base::Deadline deadline);
  [[nodiscard]] bool expired() const;

 private:
  void Watch(const std::stop_token& stop);

  const std::function<void()> on_expired_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  base::Deadline deadline_;                   // guarded by mutex_
  std::optional<base::Deadline> held_since_;  // guarded by mutex_
  bool expired_ = false;                      // guarded by mutex_
  std::jthread thread_;                       // last: it uses all of the above
};

}  // namespace nv::host::guestlink
