#include "guest/executor/guest_fixture.h"

#include <signal.h>
#include <sys/socket.h>

#include <chrono>

#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>

#include "base/io.h"
#include "wire/grpc_fd.h"

namespace nv::guest::executor {
namespace {

// Before main, and so before any thread.
std::unique_ptr<runner::Spawner> shared_spawner = [] {
  signal(SIGPIPE, SIG_IGN);
  return runner::Spawner::Start().value_or(nullptr);
}();

}  // namespace

GuestFixture::GuestFixture() {
  grpc_init();  // never undone: gRPC's own shutdown between two tests can take 10 s
  engine_ = std::make_unique<Engine>(*shared_spawner, runner::CgroupTree::None(),
                                     EngineOptions{.own_namespaces = IsRoot(),
                                                   .change_user = IsRoot(),
                                                   .work_path = "/tmp/sandbox",
                                                   .languages_file = "/nonexistent",
                                                   .limit_memory = false});
  guest_service_ = MakeGuestService(*engine_, machine_, 1);
  execution_service_ = MakeExecutionService(*engine_);
  grpc::ServerBuilder builder;
  wire::ConfigureServer(builder);
  builder.RegisterService(guest_service_.get());
  builder.RegisterService(execution_service_.get());
  server_ = builder.BuildAndStart();
  channel_ = Connect();
  guest_ = ::neurovisor::guest::v1::Guest::NewStub(channel_);
  execution_ = ::neurovisor::execution::ExecutionService::NewStub(channel_);
}

GuestFixture::~GuestFixture() {
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
}

std::shared_ptr<grpc::Channel> GuestFixture::Connect() {
  auto pair = base::MakeSocketPair(SOCK_STREAM);
  wire::ServeFd(*server_, std::move(pair->second));
  return wire::ChannelFromFd(std::move(pair->first));
}

::neurovisor::guest::v1::Start GuestFixture::Bash(const std::string& code) {
  ::neurovisor::guest::v1::Start start;
  start.set_language("bash");
  start.set_code(code);
  start.set_timeout_ms(60'000);
  return start;
}

::neurovisor::guest::v1::Start GuestFixture::Python(const std::string& code) {
  auto start = Bash(code);
  start.set_language("python");
  return start;
}

RunResult GuestFixture::Run(const ::neurovisor::guest::v1::Start& start, const std::string* input) {
  using ::neurovisor::guest::v1::RunRequest;
  using ::neurovisor::guest::v1::RunResponse;
  grpc::ClientContext context;
  const auto stream = guest_->Run(&context);
  RunRequest request;
  *request.mutable_start() = start;
  if (input != nullptr) request.mutable_start()->set_stdin_follows(true);
  stream->Write(request);
  std::jthread writer([&] {
    constexpr std::size_t kPiece = 64 * 1024;
    for (std::size_t at = 0; input != nullptr && at < input->size(); at += kPiece) {
      RunRequest piece;
      piece.set_stdin(input->substr(at, kPiece));
      if (!stream->Write(piece)) break;
    }
    stream->WritesDone();
  });
  RunResult result;
  RunResponse response;
  while (stream->Read(&response)) {
    EXPECT_FALSE(result.has_result) << "a message after the result";
    result.out += response.stdout();
    result.err += response.stderr();
    if (response.has_result()) {
      result.has_result = true;
      result.result = response.result();
    }
  }
  writer.join();
  const grpc::Status status = stream->Finish();
  result.status = status.error_code();
  result.message = status.error_message();
  return result;
}

}  // namespace nv::guest::executor
