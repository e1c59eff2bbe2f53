// The serial-port multiplexer: many byte streams over one virtio-serial port, for hosts without
// vhost-vsock.
//
// Both ends of one port run a Mux on a thread of its own: the host's end sits on QEMU's chardev
// socket, the guest's on /dev/vportNpM. OPEN carries a port number, so that the host dials "port
// 6000" as it would over vsock; only the host opens. Each stream is a socketpair: the other half
// goes to gRPC. docs/wire-mux.md has the frames.
//
// Why not a raw byte bridge: a guest cannot see the host close and reopen the port, so stale bytes
// of one connection run into the next (measured: 2 of 120 recover). RESET with a nonce starts a
// session; a side that gets it drops all streams.
//
// TRUST: the other end is hostile. A frame has at most kMaxPayload bytes; a stream has a receive
// window (kWindowBytes) and a peer that sends past it, opens a stream towards the host, uses an
// unknown type or an unknown stream ends the session: all streams close. Memory is at most
// kMaxStreams * 2 * kWindowBytes. Frames without end cost time, not memory; the owner's deadlines
// end the guest.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/io.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::wire {

inline constexpr std::size_t kMaxPayload = 32 * 1024;  // bytes of data in a frame
inline constexpr std::size_t kWindowBytes =
    256 * 1024;  // unacknowledged bytes of one stream and direction
inline constexpr std::size_t kMaxStreams = 16;

// The program ignores SIGPIPE. A stream has no half-closed state: shutting one direction of its
// socket ends both (what was written before still arrives).
class Mux {
 public:
  enum class Role { kHost, kGuest };
  // Guest only, on the mux's thread: a stream to `port` was opened. Takes the descriptor, or
  // refuses by dropping it.
  using AcceptHandler = std::function<void(std::uint32_t port, base::UniqueFd stream)>;

  // Takes the port's descriptor and starts the thread. The host sends RESET at once.
  [[nodiscard]] static base::Result<std::unique_ptr<Mux>> Start(Role role, base::UniqueFd port_fd,
                                                                AcceptHandler on_open);
  // Closes the streams, ends the thread (at most about 100 ms).
  virtual ~Mux() = default;

  // Host only, any thread, does not wait for the guest: bytes written early travel when the session
  // is up. The descriptor is a non-blocking SOCK_STREAM socket. kUnavailable when the session has
  // ended, kResourceExhausted past kMaxStreams.
  [[nodiscard]] virtual base::Result<base::UniqueFd> Dial(std::uint32_t port) = 0;
  // Why the session ended ("guest sent a frame of unknown type 77"), or empty.
  [[nodiscard]] virtual std::string EndReason() const = 0;
};

}  // namespace nv::wire
