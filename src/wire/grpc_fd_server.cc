#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>

#include "base/io.h"
#include "base/limits.h"
#include "wire/grpc_fd.h"

namespace nv::wire {

void ConfigureServer(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(base::kMaxMessageBytes));
  builder.SetMaxSendMessageSize(static_cast<int>(base::kMaxMessageBytes));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kGrpcWindowBytes);
  // By default a server ends a connection that pings more often than every five minutes.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kKeepaliveMs / 2);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
}

void ServeFd(grpc::Server& server, base::UniqueFd fd) {
  // A server hangs on a blocking descriptor: rather lose the connection.
  if (!base::SetNonBlocking(fd.get(), true)) return;
  grpc::AddInsecureChannelFromFd(&server, fd.Release());
}

}  // namespace nv::wire
