// Qmp: QEMU's machine protocol (docs/interop/qmp-spec of QEMU) over a socketpair: one command at a
// time, each with a deadline.
//
// Called by QemuGuest under its lock. The JSON library stays in qmp.cc.
// TRUST: the VMM may be taken over. A line has at most kMaxLineBytes, a reply is waited for past at
// most kMaxSkippedLines events, the nesting depth is bounded; anything else ends the connection
// (kDataLoss).

#pragma once

#include <string>
#include <string_view>

#include "base/io.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::host::backend::qemu {

class Qmp {
 public:
  static constexpr std::size_t kMaxLineBytes = 1 << 20;
  static constexpr int kMaxSkippedLines = 1000;

  // Takes our end of the socket. Nothing is sent until the first Execute, which also negotiates
  // capabilities.
  explicit Qmp(base::UniqueFd fd) : fd_(std::move(fd)) {}

  // Sends a command without arguments and waits for its reply. kDeadlineExceeded; kUnavailable when
  // QEMU is gone or refuses (its words, escaped); kDataLoss on a broken rule.
  [[nodiscard]] base::Status Execute(std::string_view command, base::Deadline deadline);

 private:
  base::Status Send(std::string_view command, base::Deadline deadline);
  base::Result<std::string> ReadLine(base::Deadline deadline);
  base::Status ReadReply(base::Deadline deadline);

  base::UniqueFd fd_;
  std::string pending_;
  bool negotiated_ = false;
};

}  // namespace nv::host::backend::qemu
