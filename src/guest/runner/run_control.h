// RunControl: what the outside does to a run while it goes on: feed stdin, end it, cancel, and say
// that output can be taken again.
//
// Shared by a call (gRPC's threads) and the run's own thread; every function is thread-safe.
// Bounded by the caller: it pushes no more stdin while pending_stdin_bytes() is kMaxPendingStdin or
// more.

#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::guest::runner {

class RunControl {
 public:
  static constexpr std::size_t kMaxPendingStdin = 256 * 1024;

  [[nodiscard]] static base::Result<std::shared_ptr<RunControl>> Create();

  // Any thread.
  void PushStdin(std::string bytes);  // after CloseStdin it is dropped
  void EndStdin();                    // the program sees end of file behind what was pushed
  void Cancel();
  void Wake();  // the sink is ready again
  [[nodiscard]] bool cancelled() const;
  [[nodiscard]] std::size_t pending_stdin_bytes() const;

  // The run's thread.
  [[nodiscard]] int wake_fd() const { return wake_fd_.get(); }
  void ClearWake();
  [[nodiscard]] bool has_stdin() const;
  // Writes to a non-blocking pipe what fits.
  enum class StdinState { kMore, kDrained, kEnded };
  [[nodiscard]] StdinState WriteStdin(int fd);
  // Nobody reads any more: what is pending and what comes is dropped, so that the sender goes on.
  void CloseStdin();

 private:
  explicit RunControl(base::UniqueFd wake_fd) : wake_fd_(std::move(wake_fd)) {}

  const base::UniqueFd wake_fd_;  // eventfd
  mutable std::mutex mutex_;
  std::deque<std::string> stdin_;
  std::size_t front_offset_ = 0;
  std::size_t pending_bytes_ = 0;
  bool stdin_ended_ = false;
  bool stdin_closed_ = false;
  bool cancelled_ = false;
};

}  // namespace nv::guest::runner
