// Real gRPC over descriptors of ours: a plain socket pair, and a stream of the multiplexer.

#include "wire/grpc_fd.h"

#include <poll.h>
#include <sys/socket.h>

#include <csignal>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "neurovisor/guest.grpc.pb.h"
#include "wire/mux.h"

namespace nv::wire {
namespace {

namespace proto = neurovisor::guest::v1;

// As every program of ours does.
const auto kIgnoresSigpipe = std::signal(SIGPIPE, SIG_IGN);

class EchoService final : public proto::Guest::Service {
 public:
  grpc::Status Ping(grpc::ServerContext*, const proto::PingRequest*,
                    proto::PingResponse* answer) override {
    answer->set_protocol(42);
    return grpc::Status::OK;
  }
  // Answers with as many bytes as it got.
  grpc::Status Prepare(grpc::ServerContext*, const proto::PrepareRequest* request,
                       proto::PrepareResponse* answer) override {
    answer->set_reseeded(request->entropy().size() > 0);
    return grpc::Status::OK;
  }
};

class GrpcFd : public ::testing::Test {
 protected:
  GrpcFd() {
    grpc::ServerBuilder builder;
    ConfigureServer(builder);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
  }
  ~GrpcFd() override {
    // Without a deadline a silent client holds this for 20 s.
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds{300});
  }
  static grpc::Status Ping(proto::Guest::Stub& stub, std::uint32_t* protocol = nullptr) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds{30});
    proto::PingResponse answer;
    const grpc::Status status = stub.Ping(&context, {}, &answer);
    if (protocol != nullptr) *protocol = answer.protocol();
    return status;
  }

  EchoService service_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(GrpcFd, CallsTravelOverASocketPair) {
  // The server's half blocks: ServeFd must change that, or gRPC hangs.
  base::FdPair pair = base::MakeSocketPair(SOCK_STREAM).value();
  ServeFd(*server_, std::move(pair.second));
  proto::Guest::Stub stub(ChannelFromFd(std::move(pair.first)));
  std::uint32_t protocol = 0;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Ping(stub, &protocol).ok());
  EXPECT_EQ(protocol, 42U);
}

TEST_F(GrpcFd, CallsTravelThroughTheMultiplexer) {
  base::FdPair port = base::MakeSocketPair(SOCK_STREAM).value();
  const auto guest =
      Mux::Start(Mux::Role::kGuest, std::move(port.second), [&](std::uint32_t, base::UniqueFd fd) {
        ServeFd(*server_, std::move(fd));
      }).value();
  const auto host = Mux::Start(Mux::Role::kHost, std::move(port.first), nullptr).value();
  for (int connection = 0; connection < 40; ++connection) {
    base::Result<base::UniqueFd> fd = base::Fail(base::Code::kInternal, "");
    // A closed stream is free again when both ends have said so.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{30};
    while (!(fd = host->Dial(6000)) && std::chrono::steady_clock::now() < deadline) {
    }
    ASSERT_TRUE(fd) << fd.error().message();
    proto::Guest::Stub stub(ChannelFromFd(std::move(*fd)));
    ASSERT_TRUE(Ping(stub).ok());
  }
  EXPECT_EQ(host->EndReason(), "");
}

TEST_F(GrpcFd, MessagesUpToTheLimitPassAndLargerOnesAreRefused) {
  base::FdPair pair = base::MakeSocketPair(SOCK_STREAM).value();
  ServeFd(*server_, std::move(pair.second));
  proto::Guest::Stub stub(ChannelFromFd(std::move(pair.first)));
  for (const bool fits : {true, false}) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds{30});
    proto::PrepareRequest request;
    request.set_entropy(std::string(base::kMaxMessageBytes - (fits ? 1000 : 0), 'e'));
    proto::PrepareResponse answer;
    const grpc::Status status = stub.Prepare(&context, request, &answer);
    EXPECT_EQ(status.error_code(),
              fits ? grpc::StatusCode::OK : grpc::StatusCode::RESOURCE_EXHAUSTED);
  }
  EXPECT_TRUE(Ping(stub).ok()) << "the channel outlives a refused message";
}

TEST_F(GrpcFd, GonePeerFailsACallAtOnce) {
  base::FdPair pair = base::MakeSocketPair(SOCK_STREAM).value();
  pair.second.Reset();
  proto::Guest::Stub stub(ChannelFromFd(std::move(pair.first)));
  EXPECT_EQ(Ping(stub).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcFd, PeerThatSpeaksNoHttpIsDropped) {
  base::FdPair pair = base::MakeSocketPair(SOCK_STREAM).value();
  ServeFd(*server_, std::move(pair.second));
  ASSERT_TRUE(base::WriteAll(pair.first.get(), std::string(100, 'g')));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{30};
  char byte = 0;
  ssize_t count = 1;
  while (count > 0 && base::PollUntil(pair.first.get(), POLLIN, deadline).value()) {
    count = ::recv(pair.first.get(), &byte, 1, MSG_DONTWAIT);
  }
  EXPECT_LE(count, 0) << "the server closes";
}

}  // namespace
}  // namespace nv::wire
