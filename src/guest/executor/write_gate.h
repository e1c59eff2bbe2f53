// WriteGate: at most one message of a call is on its way; the program waits behind it. That is the
// back-pressure from the client's connection to the program's pipes.
//
// One per call that streams. gRPC's threads call OnWritten, the run's thread the rest.

#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "guest/runner/program_run.h"

namespace nv::guest::executor {

class WriteGate {
 public:
  explicit WriteGate(std::shared_ptr<runner::RunControl> control) : control_(std::move(control)) {}

  [[nodiscard]] bool Ready() const { return !busy_.load(std::memory_order_acquire); }
  // The run's thread, before it gives a message to gRPC. Only when Ready.
  void Begin() { busy_.store(true, std::memory_order_relaxed); }
  // gRPC's thread: the message has left, or never will (then the call is over).
  void OnWritten(bool ok) {
    busy_.store(false, std::memory_order_release);
    if (!ok) control_->Cancel();
    busy_.notify_all();
    control_->Wake();
  }
  // The run's thread, after the program: until the last message has left.
  void Drain() const { busy_.wait(true, std::memory_order_acquire); }

 private:
  const std::shared_ptr<runner::RunControl> control_;
  std::atomic<bool> busy_{false};
};

}  // namespace nv::guest::executor
