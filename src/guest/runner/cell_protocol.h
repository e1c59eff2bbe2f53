// What the agent, the spawner and the reapers say to each other: fixed-size messages over
// SOCK_SEQPACKET pairs, between processes of one binary.
//
//     agent (threads, gRPC) --MakeCell--> spawner (one thread) --clone3--> reaper (PID 1 of a cell)
//     agent <================ control socket: commands down, events up ================> reaper
//     reaper --exec--> the program (uid 1000; never PID 1, never holds the control socket)
//
// A cell is what one run lives in: PID, mount and IPC namespaces, a cgroup, a working directory. It
// can stand ready before a program is known, and can run several in turn (compile, then run).

#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::guest::runner {

inline constexpr std::size_t kMaxCellPath = 96;

// Agent to spawner. Descriptors: the cell's end of the control socket, then the cgroup's directory
// if has_cgroup.
struct MakeCell {
  // Own PID, mount and IPC namespaces; needs root. Without: same view as the agent (tests only).
  bool namespaces = false;
  bool has_cgroup = false;
  bool change_user = false;  // become uid and gid; needs root
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  // The programs' working directory. With namespaces an own tmpfs is mounted on it if it exists;
  // below /tmp it is made in the cell's own /tmp. Without namespaces it exists already.
  std::array<char, kMaxCellPath> work_path{};
};

enum class CommandKind : std::uint32_t {
  kStart = 1,  // descriptors: stdin, stdout, stderr, memfd with the strings
  kKillAll,    // everything but the reaper; answered by kExited (if a program ran) and kEmpty
};

// Agent to reaper. The strings of kStart are argv then environment, each ended by NUL.
struct Command {
  CommandKind kind = CommandKind::kStart;
  std::uint32_t argument_count = 0;
  std::uint32_t environment_count = 0;
};

enum class EventKind : std::uint32_t {
  kCreated = 1,  // from the spawner; descriptor: the reaper's pidfd
  kReady,        // from the reaper; descriptor: the working directory
  kFailed,       // the cell cannot be made: `what`, error_number
  kStarted,      // the program was exec'ed
  kNotStarted,   // it was not: `what`, error_number
  kExited,       // the program has ended: wait_status
  kEmpty,        // no process is left but the reaper; always follows kExited, at once or later
};

// Usage covers every process of the cell that has ended and was waited for.
struct Event {
  EventKind kind = EventKind::kFailed;
  std::int32_t error_number = 0;
  std::int32_t wait_status = 0;
  std::int64_t monotonic_ns = 0;  // when it happened
  std::int64_t cpu_us = 0;        // user and system time
  std::int64_t max_rss_bytes = 0;
  std::array<char, 48> what{};
};

static_assert(std::is_trivially_copyable_v<MakeCell> && std::is_trivially_copyable_v<Command> &&
              std::is_trivially_copyable_v<Event>);

// One message with descriptors. EINTR is retried; kUnavailable when the peer is gone.
[[nodiscard]] base::Status SendMessage(int socket, std::span<const std::byte> bytes,
                                       std::span<const int> fds);
// Receives one message of exactly bytes.size() bytes and at most four descriptors. `flags`:
// MSG_DONTWAIT or 0. kUnavailable at end of file; error_number() EAGAIN when there is none.
[[nodiscard]] base::Result<std::vector<base::UniqueFd>> ReceiveMessage(int socket,
                                                                       std::span<std::byte> bytes,
                                                                       int flags);

template <typename T>
[[nodiscard]] base::Status Send(int socket, const T& message, std::span<const int> fds = {}) {
  return SendMessage(socket, std::as_bytes(std::span(&message, 1)), fds);
}
template <typename T>
[[nodiscard]] base::Result<std::vector<base::UniqueFd>> Receive(int socket, T& message,
                                                                int flags = 0) {
  return ReceiveMessage(socket, std::as_writable_bytes(std::span(&message, 1)), flags);
}

}  // namespace nv::guest::runner
