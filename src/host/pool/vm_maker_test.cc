#include "host/pool/vm_maker.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include "base/version.h"
#include "neurovisor/guest.grpc.pb.h"
#include "wire/grpc_fd.h"

namespace nv::host::pool {
namespace {

namespace proto = neurovisor::guest::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;

class FakeAgent final : public proto::Guest::Service {
 public:
  bool reseeds = true;
  std::string hostname;
  std::string trace_id;

  grpc::Status Ping(grpc::ServerContext*, const proto::PingRequest*,
                    proto::PingResponse* answer) override {
    answer->set_protocol(base::kGuestProtocol);
    answer->set_boottime_ns(2'000'000'000);
    answer->set_agent_start_boottime_ns(1'500'000'000);
    return grpc::Status::OK;
  }
  grpc::Status Prepare(grpc::ServerContext*, const proto::PrepareRequest* request,
                       proto::PrepareResponse* answer) override {
    hostname = request->hostname();
    answer->set_reseeded(reseeds);
    return grpc::Status::OK;
  }
  grpc::Status Lease(grpc::ServerContext*, const proto::LeaseRequest* request,
                     proto::LeaseResponse* answer) override {
    trace_id = request->trace_id();
    answer->set_reseeded(reseeds);
    answer->set_clock_set(true);
    return grpc::Status::OK;
  }
};

// What a test makes the VMM do, and what it saw.
struct Script {
  base::Status start = {};
  bool dies_at_connect = false;
  bool silent = false;         // connects, but nobody answers
  int broken_connections = 0;  // closed at once, before one that works
  FakeAgent agent;
  std::unique_ptr<grpc::Server> server;
  std::atomic<int> kills = 0;
  std::atomic<int> connects = 0;
};

class FakeGuest final : public backend::Guest {
 public:
  FakeGuest(Script& script, base::VmId id) : script_(script), id_(std::move(id)) {}

  [[nodiscard]] const base::VmId& id() const override { return id_; }
  base::Status Start(base::Deadline) override {
    started_at_ = std::chrono::steady_clock::now();
    return script_.start;
  }
  base::Result<base::UniqueFd> Connect(std::uint32_t, base::Deadline) override {
    auto pair = base::MakeSocketPair(SOCK_STREAM);
    const int connection = script_.connects++;
    if (script_.dies_at_connect) {
      exit_ = {.exit_code = 1, .signal = 0};
      ::eventfd_write(exit_fd_.get(), 1);
      silent_ = std::move(pair->second);
    } else if (script_.silent) {
      silent_ = std::move(pair->second);
    } else if (connection >= script_.broken_connections) {
      wire::ServeFd(*script_.server, std::move(pair->second));
    }
    return std::move(pair->first);
  }
  base::Status Pause(base::Deadline) override { return {}; }
  base::Status Resume(base::Deadline) override { return {}; }
  base::Status Snapshot(int, int, base::Deadline) override { return {}; }
  base::Status Stop(backend::StopMode mode, base::Deadline) override {
    if (mode == backend::StopMode::kKill) ++script_.kills;
    return {};
  }
  [[nodiscard]] int exit_fd() const override { return exit_fd_.get(); }
  [[nodiscard]] std::optional<backend::GuestExit> exit() const override { return exit_; }
  [[nodiscard]] std::string ConsoleTail(std::size_t lines) const override {
    return "tail of " + std::to_string(lines);
  }
  [[nodiscard]] std::chrono::steady_clock::time_point started_at() const override {
    return started_at_;
  }

 private:
  Script& script_;
  base::VmId id_;
  base::UniqueFd exit_fd_{::eventfd(0, EFD_CLOEXEC)};
  base::UniqueFd silent_;
  std::optional<backend::GuestExit> exit_;
  std::chrono::steady_clock::time_point started_at_;
};

class FakeBackend final : public backend::Backend {
 public:
  explicit FakeBackend(Script& script) : script_(script) {}
  [[nodiscard]] std::string_view name() const override { return "fake"; }
  [[nodiscard]] std::string version() const override { return "1"; }
  [[nodiscard]] backend::Accelerator accelerator() const override {
    return backend::Accelerator::kNone;
  }
  [[nodiscard]] std::string reason() const override { return "a test"; }
  [[nodiscard]] const backend::Capabilities& capabilities() const override { return can_; }
  base::Result<std::unique_ptr<backend::Guest>> Create(const backend::GuestSpec& spec) override {
    return std::make_unique<FakeGuest>(script_, spec.id);
  }

 private:
  Script& script_;
  backend::Capabilities can_;
};

class VmMakerTest : public testing::Test {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    builder.RegisterService(&script_.agent);
    script_.server = builder.BuildAndStart();
  }
  void TearDown() override {
    script_.server->Shutdown(std::chrono::system_clock::now() + milliseconds{200});
  }
  base::Result<Lease> Boot(milliseconds timeout = seconds{10}, std::stop_token stop = {}) {
    return VmMaker(backend_, clock_)
        .Boot({.id = id_, .assets = {}}, trace_, timeout, std::move(stop));
  }

  Script script_;
  FakeBackend backend_{script_};
  base::SystemClock clock_;
  base::VmId id_ = base::NewVmId(clock_);
  base::TraceId trace_ = base::TraceId::New(clock_);
};

TEST_F(VmMakerTest, AGuestIsPreparedAndLeasedBeforeItIsGivenAway) {
  const auto lease = Boot();
  ASSERT_TRUE(lease) << lease.error().message();
  EXPECT_EQ(script_.agent.hostname, id_.text);
  EXPECT_EQ(script_.agent.trace_id, trace_.text());
  const BootTimes& times = lease->times();
  EXPECT_LE(times.requested, times.vmm_started);
  EXPECT_LE(times.agent_ready, times.leased);
  // By the guest's clock: it answered 2 s after its boot, its agent began 0.5 s before that.
  EXPECT_EQ(times.agent_ready - times.kernel_started, seconds{2});
  EXPECT_EQ(times.agent_ready - times.agent_started, milliseconds{500});
}

TEST_F(VmMakerTest, ADroppedLeaseKillsItsGuestOnce) {
  {
    auto lease = Boot();
    ASSERT_TRUE(lease);
    const Lease moved = *std::move(lease);
    EXPECT_EQ(script_.kills, 0);
  }
  EXPECT_EQ(script_.kills, 1);
}

TEST_F(VmMakerTest, AVmmThatDiesIsNoticedAtOnceAndTold) {
  script_.dies_at_connect = true;
  const auto lease = Boot(seconds{60});
  ASSERT_FALSE(lease);
  EXPECT_EQ(lease.error().code(), base::Code::kUnavailable);
  EXPECT_NE(lease.error().message().find("status 1"), std::string::npos)
      << lease.error().message();
  EXPECT_NE(lease.error().details().find("tail of 20"), std::string::npos);
}

TEST_F(VmMakerTest, AGuestThatNeverAnswersIsAnErrorWithItsConsole) {
  script_.silent = true;
  const auto lease = Boot(milliseconds{30});
  ASSERT_FALSE(lease);
  EXPECT_EQ(lease.error().code(), base::Code::kDeadlineExceeded);
  EXPECT_NE(lease.error().details().find("tail of 20"), std::string::npos);
  EXPECT_GE(script_.kills, 1);
}

TEST_F(VmMakerTest, AStopEndsTheWaitAndTheGuest) {
  script_.silent = true;
  std::stop_source stop;
  stop.request_stop();
  const auto lease = Boot(seconds{60}, stop.get_token());
  ASSERT_FALSE(lease);
  EXPECT_EQ(lease.error().code(), base::Code::kCancelled);
  EXPECT_GE(script_.kills, 1);
}

TEST_F(VmMakerTest, ABrokenChannelIsDialledAgain) {
  script_.broken_connections = 2;
  const auto lease = Boot();
  EXPECT_TRUE(lease) << lease.error().message();
  EXPECT_EQ(script_.connects, 3);
}

TEST_F(VmMakerTest, AVmmThatDoesNotStartGivesItsOwnReason) {
  script_.start = base::Fail(
      base::Error(base::Code::kUnavailable, "exec: no such file").WithDetails("its stderr"));
  const auto lease = Boot();
  ASSERT_FALSE(lease);
  EXPECT_EQ(lease.error().message(), "exec: no such file");
  EXPECT_EQ(lease.error().details(), "its stderr");
}

TEST_F(VmMakerTest, AGuestThatTakesNoEntropyServesNobody) {
  script_.agent.reseeds = false;
  const auto lease = Boot();
  ASSERT_FALSE(lease);
  EXPECT_GE(script_.kills, 1);
}

}  // namespace
}  // namespace nv::host::pool
