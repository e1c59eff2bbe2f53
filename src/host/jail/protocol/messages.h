// Engine <-> neurovisor-jail: fixed-size records over one SOCK_SEQPACKET pair, descriptors by
// SCM_RIGHTS.
//
// The engine's main() starts the jail before it has threads and keeps one end. The jail is one
// thread: it checks a record against the bounds below, starts at most kMaxChildren programs, kills
// them on request or when the socket closes, and reports ends. Host-private: both sides are built
// together and compare kVersion in the first record.
//
// TRUST: the jail (root) does not believe the engine: sizes, counts, NUL termination, descriptor
// numbers and program kinds are checked; the program to exec is chosen by kind from the jail's own
// table, never by a path in a request.

#pragma once

#include <cstdint>
#include <type_traits>

namespace nv::host::jail {

inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::uint32_t kMaxChildren = 1024;
inline constexpr std::uint32_t kMaxArguments = 128;
inline constexpr std::uint32_t kMaxArgumentBytes = 16 * 1024;  // all arguments with their NULs
inline constexpr std::uint32_t kMaxFds = 24;                   // descriptors given to one program
inline constexpr std::int32_t kMaxFdNumber = 63;               // highest number a program sees

enum class RequestType : std::uint32_t {
  kHello = 1,  // version check; answered by kHelloReply
  kStart = 2,  // answered by kStarted or kRefused
  kKill =
      3,  // SIGKILL to a child by id; no answer but its kExited. Unknown id: ignored (it has ended)
  kOpenVsock = 4,  // opens /dev/vhost-vsock and claims a free CID; answered by kVsock (with the
                   // descriptor) or kRefused
};

// What may be started. The path comes from the jail's command line (--qemu PATH), fixed at its
// start.
enum class ProgramKind : std::uint32_t {
  kQemu = 1,
};

// Flags of a start.
inline constexpr std::uint32_t kNeedsKvm = 1u << 0;  // add the group that owns /dev/kvm

struct Limits {
  std::uint64_t open_files;     // RLIMIT_NOFILE, 8..4096
  std::uint64_t address_space;  // RLIMIT_AS in bytes, 0 = unlimited
  std::uint64_t file_size;      // RLIMIT_FSIZE in bytes (0 = may write no file)
  std::uint64_t
      processes;  // RLIMIT_NPROC, threads of that uid, 1..4096; applied only under a uid of its own
};

struct Request {
  std::uint32_t version;  // kVersion
  RequestType type;
  std::uint64_t id;  // chosen by the engine, unique in this jail's life; echoed in replies
  ProgramKind program;
  std::uint32_t flags;
  Limits limits;
  std::uint32_t argument_count;  // argv[1..]; argv[0] is the jail's
  std::uint32_t argument_bytes;
  std::uint32_t fd_count;            // descriptors attached to this record, in order
  std::int32_t fd_numbers[kMaxFds];  // number of each in the program: 0..kMaxFdNumber, no two alike
  char arguments[kMaxArgumentBytes];  // NUL-terminated strings, one after the other
};

enum class ReplyType : std::uint32_t {
  kHelloReply = 1,
  kStarted = 2,  // one descriptor attached: the child's pidfd (a witness: poll it; it carries no
                 // right to kill)
  kRefused = 3,
  kExited = 4,  // after the child was reaped
  kVsock = 5,   // one descriptor attached
};

struct Reply {
  std::uint32_t version;
  ReplyType type;
  std::uint64_t id;
  std::int32_t error_number;  // kRefused: errno, or 0
  std::int32_t exit_code;     // kExited
  std::int32_t signal;        // kExited
  std::uint32_t value;  // kVsock: the CID; kStarted: the pid (for people; never used to signal)
  std::uint32_t uid;  // kStarted: the uid it runs under; kHelloReply: the jail's own (0: each child
                      // gets a uid of its own)
  char stage[160];    // kRefused: what failed, one printable line, NUL-terminated
};

static_assert(std::is_trivially_copyable_v<Request> && std::is_trivially_copyable_v<Reply>);

}  // namespace nv::host::jail
