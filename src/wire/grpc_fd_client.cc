#include <grpcpp/create_channel_posix.h>
#include <grpcpp/support/channel_arguments.h>

#include "base/io.h"
#include "base/limits.h"
#include "wire/grpc_fd.h"

namespace nv::wire {
namespace {

constexpr int kMaxMetadataBytes = 64 * 1024;

}  // namespace

std::shared_ptr<grpc::Channel> ChannelFromFd(base::UniqueFd fd, Keepalive keepalive) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(static_cast<int>(base::kMaxMessageBytes));
  arguments.SetMaxSendMessageSize(static_cast<int>(base::kMaxMessageBytes));
  if (keepalive == Keepalive::kOn) {
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMs);
    // A call that only waits (a program that prints nothing) is pinged for as long as it lasts.
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kGrpcWindowBytes);
  // Errors carry console lines as trailing metadata; the default of 8 KiB would drop the call.
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  // On failure the channel fails its first call; there is no error to return here.
  static_cast<void>(base::SetNonBlocking(fd.get(), true));
  return grpc::CreateCustomInsecureChannelFromFd("fd", fd.Release(), arguments);
}

}  // namespace nv::wire
