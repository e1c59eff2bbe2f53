// OutputPump: the thread that drains a guest's console and its VMM's stderr into bounded tails, so
// that neither waits for a reader. A flood costs no memory, and is slowed to 10 MiB/s.
//
// TRUST: both streams are hostile bytes. They are kept as they are, escaped when shown.

#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/io.h"
#include "base/result.h"
#include "base/tail_buffer.h"
#include "base/unique_fd.h"

namespace nv::host::backend::qemu {

class OutputPump {
 public:
  static constexpr std::size_t kTailBytes = 64 * 1024;  // of each stream

  // Takes the reading ends.
  [[nodiscard]] static base::Result<std::unique_ptr<OutputPump>> Start(base::UniqueFd console,
                                                                       base::UniqueFd stderr_pipe);
  ~OutputPump();

  // The console's last lines, then the VMM's own last stderr lines, each marked; escaped for a
  // terminal.
  [[nodiscard]] std::string Tail(std::size_t lines) const;
  // Waits until both streams have ended and all their bytes are in the tails, or until the
  // deadline. For a VMM that is gone: its last words may still be in the pipe.
  void AwaitEnd(base::Deadline deadline) const;

 private:
  OutputPump(base::UniqueFd console, base::UniqueFd stderr_pipe, base::UniqueFd wake_read,
             base::UniqueFd wake_write);
  void Loop();

  base::UniqueFd console_;
  base::UniqueFd stderr_;
  base::UniqueFd wake_read_;
  base::UniqueFd wake_write_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool ended_ = false;                         // mutex_; the loop is over
  base::TailBuffer console_tail_{kTailBytes};  // mutex_
  base::TailBuffer stderr_tail_{kTailBytes};   // mutex_
  std::jthread thread_;
};

}  // namespace nv::host::backend::qemu
