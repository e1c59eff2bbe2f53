#include "host/client/run_client.h"

#include <mutex>

#include <fmt/format.h>
#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>

#include "host/client/stdin_pump.h"
#include "neurovisor/sandbox.grpc.pb.h"
#include "wire/grpc_fd.h"

namespace nv::host::client {
namespace {

namespace proto = neurovisor::sandbox::v1;
using Stream = grpc::ClientReaderWriter<proto::RunRequest, proto::RunResponse>;

// After the server has ended the call, a write still in flight is failed by gRPC in well under
// this.
constexpr std::chrono::seconds kWriterGrace{1};

proto::RunRequest StartMessage(const RunRequest& request) {
  proto::RunRequest message;
  proto::Start& start = *message.mutable_start();
  start.set_language(request.language);
  start.set_code(request.code);
  for (const std::string& arg : request.args) start.add_args(arg);
  for (const auto& [name, value] : request.env) (*start.mutable_env())[name] = value;
  start.set_timeout_secs(request.timeout_secs);
  start.set_max_output_bytes(request.max_output_bytes);
  start.set_size(request.size);
  start.set_image(request.image);
  start.set_cold(request.cold);
  start.set_stdin_follows(request.stdin_fd >= 0);
  start.set_trace_id(request.trace_id);
  return message;
}

base::Code CodeFrom(grpc::StatusCode code) {
  const auto number = static_cast<int>(code);
  // base::Code has gRPC's numbers but for OK (0) and OUT_OF_RANGE (11), which no server of ours
  // sends.
  if (number < 1 || number > 16 || number == 11) return base::Code::kUnknown;
  return static_cast<base::Code>(number);
}

std::string Trailer(const grpc::ClientContext& context, const char* key) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find(key);
  if (found == trailers.end()) return {};
  return std::string(found->second.data(), found->second.size());
}

base::Error ErrorFrom(const grpc::Status& status, const grpc::ClientContext& context) {
  base::Error error(CodeFrom(status.error_code()), status.error_message());
  if (std::string remedy = Trailer(context, "nv-remedy-bin"); !remedy.empty()) {
    error = std::move(error).WithRemedy(std::move(remedy));
  }
  if (std::string details = Trailer(context, "nv-details-bin"); !details.empty()) {
    error = std::move(error).WithDetails(std::move(details));
  }
  return error;
}

void FillFrom(const proto::RunResult& result, RunReport& report) {
  report.exit_code = result.exit_code();
  report.outcome = result.outcome();
  report.signal = result.signal();
  report.stdout_truncated = result.truncated().stdout_bytes();
  report.stderr_truncated = result.truncated().stderr_bytes();
  if (!result.trace_id().empty()) report.trace_id = result.trace_id();
  const proto::Timings& timings = result.timings_ms();
  report.acquire_ms = timings.acquire();
  report.prepare_ms = timings.prepare();
  report.compile_ms = timings.compile();
  report.run_ms = timings.run();
  report.total_ms = timings.total();
  report.duration_ms = result.duration_ms();
  report.cpu_ms = result.usage().cpu_ms();
  report.max_rss_bytes = result.usage().max_rss_bytes();
  report.hint = result.hint();
}

class GrpcRunClient final : public RunClient {
 public:
  GrpcRunClient(base::UniqueFd fd, RunClientOptions options)
      : options_(options),
        channel_(wire::ChannelFromFd(std::move(fd), wire::Keepalive::kOff)),
        stub_(proto::Sandboxes::NewStub(channel_)) {}

  base::Result<RunReport> Run(const RunRequest& request, const RunCallbacks& callbacks) override;

  void Cancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    // Legal before the call starts: the call is then born cancelled.
    context_.TryCancel();
  }

 private:
  // Reads to the end of the stream; true when a result came.
  bool ReadAll(Stream& stream, const RunCallbacks& callbacks, RunReport& report);
  bool cancelled() {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }

  const RunClientOptions options_;
  std::shared_ptr<grpc::Channel> channel_;  // gRPC's type is shared_ptr; we are the only holder
  std::unique_ptr<proto::Sandboxes::Stub> stub_;
  grpc::ClientContext context_;

  std::mutex mutex_;
  bool cancelled_ = false;
};

bool GrpcRunClient::ReadAll(Stream& stream, const RunCallbacks& callbacks, RunReport& report) {
  bool has_result = false;
  bool wanted = true;
  proto::RunResponse response;
  while (wanted && stream.Read(&response)) {
    switch (response.message_case()) {
      case proto::RunResponse::kStarted:
        report.trace_id = response.started().trace_id();
        report.vm_id = response.started().vm_id();
        report.backend = response.started().backend();
        report.accelerator = response.started().accelerator();
        break;
      case proto::RunResponse::kStdout:
        wanted = callbacks.on_stdout(response.stdout());
        break;
      case proto::RunResponse::kStderr:
        wanted = callbacks.on_stderr(response.stderr());
        break;
      case proto::RunResponse::kProgress:
        callbacks.on_progress(response.progress().text());
        break;
      case proto::RunResponse::kResult:
        FillFrom(response.result(), report);
        has_result = true;
        break;
      case proto::RunResponse::kFile:            // never asked for in this version
      case proto::RunResponse::MESSAGE_NOT_SET:  // a newer engine's message: not ours to judge
        break;
    }
  }
  if (!wanted) Cancel();
  return has_result;
}

base::Result<RunReport> GrpcRunClient::Run(const RunRequest& request,
                                           const RunCallbacks& callbacks) {
  context_.set_deadline(std::chrono::system_clock::now() +
                        std::chrono::seconds{request.timeout_secs} + options_.overhead);
  const std::unique_ptr<Stream> stream = stub_->Run(&context_);
  stream->Write(StartMessage(request));  // a failure is told by Read and Finish

  std::unique_ptr<StdinPump> pump;
  if (request.stdin_fd >= 0) {
    auto started = StdinPump::Start(request.stdin_fd, [&stream](std::string_view bytes) {
      proto::RunRequest message;
      if (!bytes.empty()) {
        message.set_stdin(bytes.data(), bytes.size());
        return stream->Write(message);
      }
      message.set_stdin_end(true);
      stream->Write(message);
      stream->WritesDone();
      return false;
    });
    if (!started) {
      Cancel();
      proto::RunResponse ignored;
      while (stream->Read(&ignored)) continue;
      [[maybe_unused]] const grpc::Status ended = stream->Finish();
      return base::Fail(std::move(started.error()).WithContext("read standard input"));
    }
    pump = *std::move(started);
  } else {
    stream->WritesDone();
  }

  RunReport report;
  report.trace_id = request.trace_id;
  const bool has_result = ReadAll(*stream, callbacks, report);

  if (pump) {
    pump->Stop();
    // A write that is still held back by flow control is failed by cancelling; what Finish reports
    // is not changed by that once the server's status is here.
    if (!pump->WaitFor(std::chrono::steady_clock::now() + kWriterGrace)) context_.TryCancel();
    pump.reset();
  }
  const grpc::Status status = stream->Finish();

  if (cancelled()) return base::Fail(base::Code::kCancelled, "cancelled");
  // A result outweighs a connection that broke behind it.
  if (has_result) {
    if (report.exit_code < 0 || report.exit_code > 255) {
      return base::Fail(base::Code::kInternal,
                        fmt::format("the engine reported exit status {}", report.exit_code));
    }
    return report;
  }
  if (status.ok()) {
    return base::Fail(base::Code::kInternal, "the engine ended the call without a result");
  }
  return base::Fail(ErrorFrom(status, context_));
}

}  // namespace

std::unique_ptr<RunClient> RunClient::Create(base::UniqueFd fd, RunClientOptions options) {
  // gRPC writes its own complaints to standard error, which belongs to the program that runs.
  gpr_set_log_function([](gpr_log_func_args*) {});
  return std::make_unique<GrpcRunClient>(std::move(fd), options);
}

}  // namespace nv::host::client
