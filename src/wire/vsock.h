// AF_VSOCK sockets (vsock(7)). Host: dials a guest's port. Guest: listens. Loopback (CID 1) where
// the host has it, for tests.

#pragma once

#include <cstdint>

#include "base/io.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::wire {

// Connects, again and again every few milliseconds while the guest is not listening yet
// (ECONNRESET, ENODEV, ETIMEDOUT), until the deadline (kDeadlineExceeded) or until cancel_fd (or
// -1) becomes readable (kCancelled). The result is non-blocking. kUnimplemented when the kernel has
// no vsock at all.
[[nodiscard]] base::Result<base::UniqueFd> DialVsock(std::uint32_t cid, std::uint32_t port,
                                                     base::Deadline deadline, int cancel_fd);
// Listens on VMADDR_CID_ANY, non-blocking. kUnimplemented when the kernel has no vsock transport
// (guest, host or loopback), so that nobody waits for connections that cannot come.
[[nodiscard]] base::Result<base::UniqueFd> ListenVsock(std::uint32_t port);

}  // namespace nv::wire
