// Records: one message with its descriptors over a SOCK_SEQPACKET socket. Both ends use it, and
// nothing else touches the socket.
//
// A record arrives whole or marked as cut; descriptors arrive close-on-exec and owned, so that a
// refused record leaks none (unix(7), SCM_RIGHTS).

#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/io.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::host::jail {

// Most descriptors that Linux passes in one message (SCM_MAX_FD): room for all of them, so that a
// hostile peer's surplus is closed here and not lost in the table.
inline constexpr std::size_t kMaxPassedFds = 253;

struct Record {
  std::size_t bytes = 0;  // 0 and no descriptors: the peer has closed
  bool cut = false;       // the record was longer than the buffer, or lost descriptors
  std::vector<base::UniqueFd> fds;
};

// Receives one record without waiting; kDeadlineExceeded when there is none.
[[nodiscard]] base::Result<Record> ReceiveRecord(int socket, std::span<std::byte> buffer);

// Sends one record; waits for room until the deadline (kDeadlineExceeded; a past one means: do not
// wait). The descriptors are borrowed. kUnavailable when the peer has closed.
[[nodiscard]] base::Status SendRecord(int socket, std::span<const std::byte> bytes,
                                      std::span<const int> fds, base::Deadline deadline);

}  // namespace nv::host::jail
