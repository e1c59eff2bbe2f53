#include "host/guestlink/guest_link.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include <fmt/format.h>
#include <grpcpp/channel.h>

#include "base/sha256.h"
#include "base/version.h"
#include "host/guestlink/guest_calls.h"
#include "host/guestlink/guest_run.h"
#include "neurovisor/guest.grpc.pb.h"
#include "wire/grpc_fd.h"

namespace nv::host::guestlink {
namespace {

namespace proto = neurovisor::guest::v1;

constexpr std::size_t kEntropyBytes = 64;
constexpr int kMaxListed = 64;        // languages, or things lacking, that are kept
constexpr std::size_t kMaxName = 64;  // characters of each
constexpr std::chrono::nanoseconds kLongestUptime = std::chrono::hours{24 * 365};

std::string Entropy() {
  std::array<char, kEntropyBytes> bytes;
  base::FillRandom(bytes.data(), bytes.size());
  return {bytes.data(), bytes.size()};
}

std::string NewMachineId() {
  std::array<std::uint8_t, 16> bytes;
  base::FillRandom(bytes.data(), bytes.size());
  return base::Hex(bytes);
}

std::chrono::nanoseconds Uptime(std::int64_t guest_says) {
  return std::clamp(std::chrono::nanoseconds{guest_says}, std::chrono::nanoseconds{0},
                    kLongestUptime);
}

GuestFacts FactsFrom(const proto::PingResponse& answer) {
  GuestFacts facts;
  facts.agent_version = GuestText(answer.agent_version(), kMaxName);
  facts.protocol = answer.protocol();
  facts.kernel = GuestText(answer.kernel(), kMaxName);
  facts.boottime = Uptime(answer.boottime_ns());
  facts.agent_start_boottime = std::min(Uptime(answer.agent_start_boottime_ns()), facts.boottime);
  for (int i = 0; i < std::min(answer.languages_size(), kMaxListed); ++i) {
    facts.languages.push_back({GuestText(answer.languages(i).name(), kMaxName),
                               GuestText(answer.languages(i).version(), kMaxName)});
  }
  for (int i = 0; i < std::min(answer.lacks_size(), kMaxListed); ++i) {
    facts.lacks.push_back(GuestText(answer.lacks(i), kMaxName));
  }
  return facts;
}

class GrpcGuestLink final : public GuestLink {
 public:
  GrpcGuestLink(base::UniqueFd fd, LinkOptions options)
      : options_(options),
        channel_(wire::ChannelFromFd(std::move(fd))),
        stub_(proto::Guest::NewStub(channel_)) {}

  base::Result<GuestFacts> Ping(base::Deadline deadline, std::stop_token stop) override {
    grpc::ClientContext context;
    SetDeadline(context, deadline);
    const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
    proto::PingResponse answer;
    if (const auto status = stub_->Ping(&context, {}, &answer); !status.ok()) {
      return base::Fail(ErrorFromGuest(status, "wait for the guest agent"));
    }
    GuestFacts facts = FactsFrom(answer);
    if (facts.protocol != base::kGuestProtocol) {
      return base::Fail(
          base::Error(base::Code::kFailedPrecondition,
                      fmt::format("the guest agent speaks protocol {}, this program {}",
                                  facts.protocol, base::kGuestProtocol))
              .WithRemedy("build the image again: neurovisor image build --force"));
    }
    feeds_rng_ = !Lacks(facts, "rng_feed");
    sets_clock_ = !Lacks(facts, "clock_set");
    return facts;
  }

  base::Status Prepare(std::string_view hostname, base::Deadline deadline) override {
    grpc::ClientContext context;
    SetDeadline(context, deadline);
    proto::PrepareRequest request;
    request.set_entropy(Entropy());
    request.set_hostname(std::string(hostname));
    request.set_machine_id(NewMachineId());
    proto::PrepareResponse answer;
    if (const auto status = stub_->Prepare(&context, request, &answer); !status.ok()) {
      return base::Fail(ErrorFromGuest(status, "prepare the guest"));
    }
    return Confirmed(answer.reseeded() || !feeds_rng_, "prepare the guest", "entropy");
  }

  base::Status Lease(const base::TraceId& trace, base::Deadline deadline) override {
    grpc::ClientContext context;
    SetDeadline(context, deadline);
    proto::LeaseRequest request;
    request.set_entropy(Entropy());
    request.set_wall_clock_ns(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                  std::chrono::system_clock::now().time_since_epoch())
                                  .count());
    request.set_trace_id(trace.text());
    request.set_traceparent(trace.Traceparent());
    proto::LeaseResponse answer;
    if (const auto status = stub_->Lease(&context, request, &answer); !status.ok()) {
      return base::Fail(ErrorFromGuest(status, "lease the guest"));
    }
    if (auto status = Confirmed(answer.reseeded() || !feeds_rng_, "lease the guest", "entropy");
        !status) {
      return status;
    }
    return Confirmed(answer.clock_set() || !sets_clock_, "lease the guest", "the wall clock");
  }

  base::Result<RunOutcome> Run(const RunSpec& spec, StdinSource* input, OutputSink& output,
                               std::stop_token stop) override {
    return RunInGuest(channel_, options_, spec, input, output, std::move(stop));
  }

  void Shutdown(base::Deadline deadline) override {
    grpc::ClientContext context;
    SetDeadline(context, deadline);
    proto::ShutdownResponse answer;
    static_cast<void>(stub_->Shutdown(&context, {}, &answer));
  }

 private:
  static bool Lacks(const GuestFacts& facts, std::string_view what) {
    return std::ranges::find(facts.lacks, what) != facts.lacks.end();
  }

  static base::Status Confirmed(bool confirmed, std::string_view what, std::string_view thing) {
    if (confirmed) return {};
    return base::Fail(base::Code::kUnavailable,
                      fmt::format("{}: the guest did not take {}", what, thing));
  }

  const LinkOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<proto::Guest::Stub> stub_;
  std::atomic<bool> feeds_rng_{true};
  std::atomic<bool> sets_clock_{true};
};

}  // namespace

std::unique_ptr<GuestLink> GuestLink::Create(base::UniqueFd fd, LinkOptions options) {
  return std::make_unique<GrpcGuestLink>(std::move(fd), options);
}

}  // namespace nv::host::guestlink
