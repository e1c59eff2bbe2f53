// Interrupts: SIGINT, SIGTERM and SIGHUP as a readable descriptor.
//
// Made once by `run`. The first signal makes fd() readable for good and everybody who waits leaves
// in order; the second ends the process at once with 128+N (the engine sees its socket close).
// Handlers, not a thread: nothing to join, and gRPC's threads need no signal mask. SIGPIPE is
// ignored from here on: a closed pipe is an error code where it is written.

#pragma once

#include "base/result.h"

namespace nv::host::cli {

class Interrupts {
 public:
  // Installs the handlers. A signal that is ignored when we start (nohup, a background job of a
  // script) stays ignored.
  [[nodiscard]] static base::Result<Interrupts> Install();

  // Readable after the first signal. Open until the process ends.
  [[nodiscard]] int fd() const { return fd_; }
  // The first signal's number, or 0.
  [[nodiscard]] int signal_number() const;

 private:
  explicit Interrupts(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace nv::host::cli
