#include "host/gateway/private_gateway.h"

#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <future>

#include <grpcpp/channel.h>
#include <gtest/gtest.h>

#include "neurovisor/sandbox.grpc.pb.h"
#include "wire/grpc_fd.h"

namespace nv::host::gateway {
namespace {

namespace proto = neurovisor::sandbox::v1;
using ClientStream = grpc::ClientReaderWriter<proto::RunRequest, proto::RunResponse>;

// A guest that is only a name.
class NamedGuest final : public backend::Guest {
 public:
  explicit NamedGuest(std::atomic<int>& stops) : stops_(stops) {}
  [[nodiscard]] const base::VmId& id() const override { return id_; }
  base::Status Start(base::Deadline) override { return {}; }
  base::Result<base::UniqueFd> Connect(std::uint32_t, base::Deadline) override {
    return base::UniqueFd();
  }
  base::Status Pause(base::Deadline) override { return {}; }
  base::Status Resume(base::Deadline) override { return {}; }
  base::Status Snapshot(int, int, base::Deadline) override { return {}; }
  base::Status Stop(backend::StopMode, base::Deadline) override {
    ++stops_;
    return {};
  }
  [[nodiscard]] int exit_fd() const override { return -1; }
  [[nodiscard]] std::optional<backend::GuestExit> exit() const override { return {}; }
  [[nodiscard]] std::string ConsoleTail(std::size_t) const override { return {}; }
  [[nodiscard]] std::chrono::steady_clock::time_point started_at() const override { return {}; }

 private:
  std::atomic<int>& stops_;
  base::VmId id_{"vm-test"};
};

using RunFunction = std::function<base::Result<guestlink::RunOutcome>(
    const guestlink::RunSpec&, guestlink::StdinSource&, guestlink::OutputSink&, std::stop_token)>;

class ScriptedLink final : public guestlink::GuestLink {
 public:
  explicit ScriptedLink(RunFunction run) : run_(std::move(run)) {}
  base::Result<guestlink::GuestFacts> Ping(base::Deadline, std::stop_token) override {
    return guestlink::GuestFacts{};
  }
  base::Status Prepare(std::string_view, base::Deadline) override { return {}; }
  base::Status Lease(const base::TraceId&, base::Deadline) override { return {}; }
  base::Result<guestlink::RunOutcome> Run(const guestlink::RunSpec& spec,
                                          guestlink::StdinSource* input,
                                          guestlink::OutputSink& output,
                                          std::stop_token stop) override {
    auto result = run_(spec, *input, output, std::move(stop));
    input->Cancel();
    return result;
  }
  void Shutdown(base::Deadline) override {}

 private:
  RunFunction run_;
};

class ScriptedSource final : public pool::LeaseSource {
 public:
  RunFunction run;
  std::optional<base::Error> error;
  std::promise<void> acquired;
  bool wait_for_stop = false;
  std::atomic<int> stops = 0;

  base::Result<pool::Lease> Acquire(const pool::LeaseRequest&, const pool::StageHandler& on_stage,
                                    std::stop_token stop) override {
    on_stage("a test");
    acquired.set_value();
    if (wait_for_stop) {
      std::promise<void> stopped;
      const std::stop_callback callback(stop, [&stopped] { stopped.set_value(); });
      stopped.get_future().wait();
      return base::Fail(base::Code::kCancelled, "stopped");
    }
    if (error) return base::Fail(*error);
    return pool::Lease(std::make_unique<NamedGuest>(stops), std::make_unique<ScriptedLink>(run), {},
                       {});
  }
  [[nodiscard]] std::string backend() const override { return "fake"; }
  [[nodiscard]] std::string accelerator() const override { return "none"; }
};

class PrivateGatewayTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = base::MakeSocketPair(SOCK_STREAM);
    ASSERT_TRUE(pair);
    auto gateway = PrivateGateway::Start(std::move(pair->second), source_, clock_);
    ASSERT_TRUE(gateway);
    gateway_ = *std::move(gateway);
    channel_ = wire::ChannelFromFd(std::move(pair->first), wire::Keepalive::kOff);
    stream_ = proto::Sandboxes::NewStub(channel_)->Run(context_.get());
  }
  void TearDown() override {
    if (context_) context_->TryCancel();
    stream_.reset();
  }
  void SendStart(bool stdin_follows = false) {
    proto::RunRequest request;
    request.mutable_start()->set_language("python");
    request.mutable_start()->set_code("x");
    request.mutable_start()->set_stdin_follows(stdin_follows);
    ASSERT_TRUE(stream_->Write(request));
  }
  void SendStdin(std::string bytes) {
    proto::RunRequest request;
    request.set_stdin(std::move(bytes));
    stream_->Write(request);
  }
  // Reads to the end of the stream.
  grpc::Status ReadAll() {
    proto::RunResponse response;
    while (stream_->Read(&response)) {
      out_ += response.stdout();
      err_ += response.stderr();
      if (response.has_started()) started_ = response.started();
      if (response.has_result()) result_ = response.result();
    }
    return stream_->Finish();
  }
  std::string Trailer(const char* key) {
    const auto& trailers = context_->GetServerTrailingMetadata();
    const auto found = trailers.find(key);
    return found == trailers.end() ? "" : std::string(found->second.data(), found->second.size());
  }

  base::SystemClock clock_;
  ScriptedSource source_;
  std::unique_ptr<PrivateGateway> gateway_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::ClientContext> context_ = std::make_unique<grpc::ClientContext>();
  std::unique_ptr<ClientStream> stream_;
  std::string out_;
  std::string err_;
  proto::Started started_;
  std::optional<proto::RunResult> result_;
};

TEST_F(PrivateGatewayTest, ARunIsStreamedAndItsGuestDestroyed) {
  source_.run = [](const guestlink::RunSpec& spec, guestlink::StdinSource&,
                   guestlink::OutputSink& output,
                   std::stop_token) -> base::Result<guestlink::RunOutcome> {
    EXPECT_EQ(spec.language, "python");
    EXPECT_TRUE(output.OnStdout("out"));
    EXPECT_TRUE(output.OnStderr("err"));
    return guestlink::RunOutcome{.outcome = base::Outcome::kError, .exit_code = 3};
  };
  SendStart();
  EXPECT_TRUE(ReadAll().ok());
  EXPECT_EQ(out_, "out");
  EXPECT_EQ(err_, "err");
  EXPECT_EQ(started_.vm_id(), "vm-test");
  EXPECT_EQ(started_.backend(), "fake");
  ASSERT_TRUE(result_);
  EXPECT_EQ(result_->exit_code(), 3);
  EXPECT_EQ(result_->outcome(), "error");
  EXPECT_EQ(result_->trace_id(), started_.trace_id());
  gateway_.reset();  // waits for the worker
  EXPECT_EQ(source_.stops, 1);
}

TEST_F(PrivateGatewayTest, StdinIsRelayedAndTheProgramMayEndBeforeIt) {
  source_.run = [](const guestlink::RunSpec&, guestlink::StdinSource& input,
                   guestlink::OutputSink& output,
                   std::stop_token) -> base::Result<guestlink::RunOutcome> {
    EXPECT_TRUE(output.OnStdout(input.Read()));
    return guestlink::RunOutcome{};
  };
  SendStart(true);
  SendStdin("line");
  EXPECT_TRUE(ReadAll().ok());  // no stdin_end was ever sent
  EXPECT_EQ(out_, "line");
}

TEST_F(PrivateGatewayTest, EndOfStdinReachesTheGuest) {
  source_.run = [](const guestlink::RunSpec&, guestlink::StdinSource& input, guestlink::OutputSink&,
                   std::stop_token) -> base::Result<guestlink::RunOutcome> {
    EXPECT_EQ(input.Read(), "");
    return guestlink::RunOutcome{};
  };
  SendStart(true);
  proto::RunRequest end;
  end.set_stdin_end(true);
  stream_->Write(end);
  EXPECT_TRUE(ReadAll().ok());
}

TEST_F(PrivateGatewayTest, ErrorsCarryRemedyAndTheEndOfTheirDetails) {
  source_.error = base::Error(base::Code::kNotFound, "no image")
                      .WithRemedy("build it")
                      .WithDetails(std::string(100'000, 'x') + "the end");
  SendStart();
  const grpc::Status status = ReadAll();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no image");
  EXPECT_EQ(Trailer("nv-remedy-bin"), "build it");
  EXPECT_TRUE(Trailer("nv-details-bin").ends_with("the end"));
}

TEST_F(PrivateGatewayTest, ABadRequestIsRefusedBeforeAnythingBoots) {
  proto::RunRequest request;
  request.mutable_start()->set_language("cobol");
  request.mutable_start()->set_code("x");
  stream_->Write(request);
  EXPECT_EQ(ReadAll().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(source_.acquired.get_future().wait_for(std::chrono::seconds{0}),
            std::future_status::timeout);
}

TEST_F(PrivateGatewayTest, StdinBeforeTheStartIsRefused) {
  SendStdin("x");
  EXPECT_EQ(ReadAll().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(PrivateGatewayTest, AFileInsteadOfStdinIsRefusedAndEndsTheRun) {
  source_.run = [](const guestlink::RunSpec&, guestlink::StdinSource& input, guestlink::OutputSink&,
                   std::stop_token stop) -> base::Result<guestlink::RunOutcome> {
    EXPECT_EQ(input.Read(), "");
    EXPECT_TRUE(stop.stop_requested());
    return base::Fail(base::Code::kCancelled, "cancelled");
  };
  SendStart(true);
  proto::RunRequest file;
  file.mutable_file()->set_path("x");
  stream_->Write(file);
  EXPECT_EQ(ReadAll().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(PrivateGatewayTest, ACancelledCallStopsTheBoot) {
  source_.wait_for_stop = true;
  SendStart();
  source_.acquired.get_future().wait();
  context_->TryCancel();
  EXPECT_EQ(ReadAll().error_code(), grpc::StatusCode::CANCELLED);
  gateway_.reset();
}

TEST_F(PrivateGatewayTest, AClientThatIsGoneStopsTheRunAndEndsTheWait) {
  std::promise<void> running;
  source_.run = [&running](const guestlink::RunSpec&, guestlink::StdinSource&,
                           guestlink::OutputSink& output,
                           std::stop_token stop) -> base::Result<guestlink::RunOutcome> {
    running.set_value();
    while (output.OnStdout("y\n")) {
    }
    std::promise<void> stopped;
    const std::stop_callback callback(stop, [&stopped] { stopped.set_value(); });
    stopped.get_future().wait();
    return base::Fail(base::Code::kCancelled, "gone");
  };
  SendStart();
  running.get_future().wait();
  stream_.reset();
  context_.reset();
  channel_.reset();  // the last holder: closes the socket
  gateway_->WaitUntilClientGone();
  gateway_.reset();
  EXPECT_EQ(source_.stops, 1);
}

}  // namespace
}  // namespace nv::host::gateway
