// gRPC over a descriptor that we dialled or accepted ourselves. The only file that knows how; grpc
// headers stay out of here.
//
// Traps (measured with 1.51): WaitForConnected aborts on such a channel, GetState says SHUTDOWN, it
// never reconnects; a server hangs on a blocking descriptor; only keepalive notices a frozen peer.
// So: probe with an RPC and a deadline.

#pragma once

#include <memory>

#include "base/unique_fd.h"

namespace grpc {
class Channel;
class Server;
class ServerBuilder;
}  // namespace grpc

namespace nv::wire {

inline constexpr int kKeepaliveMs = 10'000;
inline constexpr int kGrpcWindowBytes = 256 * 1024;  // of one HTTP/2 stream

// Whether silence of the peer ends the channel: 10 s + 10 s while calls are open. A guest may
// freeze without closing anything. A process on this machine closes its socket when it ends, and a
// client that blocks on its own output (a pager) has no thread that would see the answer to a ping.
enum class Keepalive { kOn, kOff };

// Client channel; gRPC owns and closes the descriptor. Messages at most kMaxMessageBytes each way,
// stream window 256 KiB without bandwidth probing (that is what bounds memory on both ends).
[[nodiscard]] std::shared_ptr<grpc::Channel> ChannelFromFd(base::UniqueFd fd,
                                                           Keepalive keepalive = Keepalive::kOn);

// Before BuildAndStart: the same message limit and window, and leave for the client's keepalive (by
// default a server answers such pings with GOAWAY).
void ConfigureServer(grpc::ServerBuilder& builder);

// Adds an accepted connection to a running server. Sets O_NONBLOCK.
void ServeFd(grpc::Server& server, base::UniqueFd fd);

}  // namespace nv::wire
