#include "host/gateway/private_gateway.h"

#include <fcntl.h>
#include <poll.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include "host/gateway/sandboxes_service.h"
#include "wire/grpc_fd.h"

namespace nv::host::gateway {
namespace {

// A client that asks for more than this at once is refused, not served from our memory.
constexpr std::size_t kQuotaBytes = 32 * 1024 * 1024;
constexpr std::chrono::milliseconds kShutdownPatience{200};

class OneClientGateway final : public PrivateGateway {
 public:
  OneClientGateway(base::UniqueFd witness, pool::LeaseSource& source, const base::Clock& clock)
      : witness_(std::move(witness)), service_(source, clock) {}

  ~OneClientGateway() override {
    service_.CancelAll();
    if (!server_) return;
    // Without a deadline gRPC waits 20 s for a peer that says nothing.
    server_->Shutdown(std::chrono::system_clock::now() + kShutdownPatience);
    server_->Wait();
  }

  base::Status Serve(base::UniqueFd client) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    wire::ConfigureServer(builder);
    builder.SetResourceQuota(grpc::ResourceQuota("private-gateway").Resize(kQuotaBytes));
    server_ = builder.BuildAndStart();
    if (!server_) return base::Fail(base::Code::kInternal, "gRPC did not start a server");
    wire::ServeFd(*server_, std::move(client));
    return {};
  }

  void WaitUntilClientGone() override {
    // POLLRDHUP: the client has closed; nothing is read here, that is gRPC's.
    pollfd fd{.fd = witness_.get(), .events = POLLRDHUP, .revents = 0};
    while (::poll(&fd, 1, -1) < 0 && errno == EINTR) {
    }
  }

 private:
  base::UniqueFd witness_;  // the client's socket once more: gRPC closes its own when it likes
  SandboxesService service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

base::Result<std::unique_ptr<PrivateGateway>> PrivateGateway::Start(base::UniqueFd client,
                                                                    pool::LeaseSource& source,
                                                                    const base::Clock& clock) {
  base::UniqueFd witness(::fcntl(client.get(), F_DUPFD_CLOEXEC, 3));
  if (!witness.valid()) {
    return base::FailErrno(fmt::format("duplicate the client's descriptor {}", client.get()));
  }
  auto gateway = std::make_unique<OneClientGateway>(std::move(witness), source, clock);
  if (auto status = gateway->Serve(std::move(client)); !status) return base::Fail(status.error());
  return gateway;
}

}  // namespace nv::host::gateway
