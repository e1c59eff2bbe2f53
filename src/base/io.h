// Small wrappers over file descriptors: whole reads and writes, pairs, pipes, polls with a
// deadline.
//
// Called by every layer, from any thread. All descriptors made here are O_CLOEXEC. Every wait has a
// deadline.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::base {

using Deadline = std::chrono::steady_clock::time_point;

struct FdPair {
  UniqueFd first;
  UniqueFd second;
};

// socketpair(AF_UNIX, type | SOCK_CLOEXEC). type: SOCK_STREAM or SOCK_SEQPACKET.
[[nodiscard]] Result<FdPair> MakeSocketPair(int type);
// pipe2(O_CLOEXEC): first is the read end.
[[nodiscard]] Result<FdPair> MakePipe();
[[nodiscard]] Status SetNonBlocking(int fd, bool on);

// Writes everything. EINTR is retried; on a non-blocking descriptor it polls until `deadline`
// (kDeadlineExceeded after). SIGPIPE: the caller ignores it; EPIPE comes back as error_number().
[[nodiscard]] Status WriteAll(int fd, std::span<const std::byte> bytes,
                              Deadline deadline = Deadline::max());
[[nodiscard]] Status WriteAll(int fd, std::string_view text, Deadline deadline = Deadline::max());
// Reads exactly bytes.size() bytes; kUnavailable "end of file" when the peer ends before.
[[nodiscard]] Status ReadExactly(int fd, std::span<std::byte> bytes,
                                 Deadline deadline = Deadline::max());
// Reads a whole file of at most max_bytes (kResourceExhausted when larger). Errors name the path.
[[nodiscard]] Result<std::string> ReadFile(const std::string& path, std::size_t max_bytes);
// Same, from an open descriptor, until end of file.
[[nodiscard]] Result<std::string> ReadUntilEof(int fd, std::size_t max_bytes);
// Writes path.tmp-<pid>, fsyncs, renames: readers see the old or the new file, never half of it.
[[nodiscard]] Status WriteFileAtomically(const std::string& path, std::string_view bytes,
                                         unsigned mode = 0644);

// Waits until fd has one of `events` (poll(2)). True when ready (errors and hang-ups count), false
// at the deadline.
[[nodiscard]] Result<bool> PollUntil(int fd, short events, Deadline deadline);
// Milliseconds for poll(2) until the deadline: rounded up, 0 when past, -1 for Deadline::max().
[[nodiscard]] int PollTimeout(Deadline deadline);

// openat(2) with O_CLOEXEC added; the error names the path.
[[nodiscard]] Result<UniqueFd> OpenFile(const std::string& path, int flags, unsigned mode = 0);

}  // namespace nv::base
