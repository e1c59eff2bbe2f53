#include <algorithm>
#include <array>
#include <string>

#include <grpcpp/grpcpp.h>

#include "base/limits.h"
#include "base/text.h"
#include "guest/executor/grpc_status.h"
#include "guest/executor/services.h"
#include "guest/executor/utf8_splitter.h"
#include "guest/executor/write_gate.h"
#include "neurovisor/execution.grpc.pb.h"

namespace nv::guest::executor {
namespace {

namespace pb = ::neurovisor::execution;
using runner::OutputStream;
using runner::RunControl;
using Milliseconds = std::chrono::duration<double, std::milli>;

// What Execute keeps of a stream, so that both fit one message of 8 MiB: its bytes fields first,
// and the string fields, which may be three times as long, in what is left.
constexpr std::uint64_t kExecuteMaxOutputBytes = 3 * 1024 * 1024;
constexpr std::size_t kRoomForTheRest = 64 * 1024;

base::Result<RunRequest> ToRunRequest(const Engine& engine, const pb::ExecuteRequest& request,
                                      std::uint64_t max_output_bytes) {
  const auto language = FindLanguage(request.language());
  if (!language) return base::Fail(base::Error(language.error()));
  const auto timeout = CheckTimeout(std::uint64_t{request.timeout_secs()} * 1000);
  if (!timeout) return base::Fail(base::Error(timeout.error()));
  RunRequest run;
  run.language = *language;
  run.timeout = *timeout;
  run.code = request.code();
  run.arguments.assign(request.args().begin(), request.args().end());
  run.environment = {request.env().begin(), request.env().end()};
  run.max_output_bytes = max_output_bytes;
  run.stdin_follows = !request.stdin().empty();
  if (auto ok = engine.Check(run); !ok) return base::Fail(std::move(ok.error()));
  return run;
}

// ExecuteResponse and ExecuteMetadata have these fields in common.
template <typename Message>
void FillResult(const RunReport& report, const std::string& trace_id, Message& message) {
  const runner::ProgramReport& program = report.program;
  message.set_exit_code(program.exit_code);
  message.set_duration_ms(Milliseconds(program.run_time).count());
  message.set_timed_out(program.outcome == base::Outcome::kTimeout);
  message.set_outcome(std::string(base::OutcomeName(program.outcome)));
  message.set_signal(program.signal);
  message.mutable_truncated()->set_stdout_bytes(program.discarded[0]);
  message.mutable_truncated()->set_stderr_bytes(program.discarded[1]);
  message.set_trace_id(trace_id);
  message.mutable_usage()->set_cpu_ms(Milliseconds(program.cpu_time).count());
  message.mutable_usage()->set_max_rss_bytes(program.max_rss_bytes);
  message.mutable_timings()->set_compile(Milliseconds(report.compile_time).count());
  message.mutable_timings()->set_run(Milliseconds(program.run_time).count());
}

// The string is cut where a character ends, when it would not fit.
std::string Readable(std::string_view bytes, std::size_t room) {
  std::string text = base::ReplaceInvalidUtf8(bytes);
  if (text.size() <= room) return text;
  text.resize(room);
  text.resize(text.size() - IncompleteTail(text));
  return text;
}

void FeedStdin(RunControl& control, const pb::ExecuteRequest& request) {
  control.PushStdin(request.stdin());
  control.EndStdin();
}

class ExecuteReactor final : public grpc::ServerUnaryReactor, public runner::OutputSink {
 public:
  ExecuteReactor(Engine& engine, std::shared_ptr<RunControl> control,
                 const pb::ExecuteRequest& request, pb::ExecuteResponse& response)
      : engine_(engine), control_(std::move(control)), response_(response) {
    auto run = ToRunRequest(engine, request, kExecuteMaxOutputBytes);
    if (!run) {
      Finish(ToGrpc(run.error()));
      return;
    }
    request_ = std::move(*run);
    FeedStdin(*control_, request);
    const auto running = engine.StartRun([this] { RunToEnd(); });
    if (!running) Finish(ToGrpc(running.error()));
  }

  void OnCancel() override { control_->Cancel(); }
  void OnDone() override { delete this; }

  bool Ready() override { return true; }
  void Write(OutputStream stream, std::string_view bytes) override {
    output_[static_cast<std::size_t>(stream)].append(bytes);
  }

 private:
  void RunToEnd() {
    const auto report = engine_.Run(request_, *control_, *this);
    if (!report) return Finish(ToGrpc(report.error()));
    if (control_->cancelled()) return Finish(grpc::Status::CANCELLED);
    FillResult(*report, engine_.trace().trace_id, response_);
    const bool is_text[] = {base::IsUtf8(output_[0]), base::IsUtf8(output_[1])};
    std::size_t room = base::kMaxMessageBytes - kRoomForTheRest;
    for (const std::string& bytes : output_) room -= bytes.size();
    for (std::size_t i = 0; i < 2; ++i) {
      std::string text;
      if (is_text[i]) {
        text = std::move(output_[i]);
      } else {
        text = Readable(output_[i], room / (is_text[1] ? 1 : 2));
        (i == 0 ? response_.mutable_stdout_bytes() : response_.mutable_stderr_bytes())
            ->swap(output_[i]);
      }
      *(i == 0 ? response_.mutable_stdout() : response_.mutable_stderr()) = std::move(text);
    }
    Finish(grpc::Status::OK);
  }

  Engine& engine_;
  const std::shared_ptr<RunControl> control_;
  pb::ExecuteResponse& response_;
  RunRequest request_;
  std::array<std::string, 2> output_;
};

class StreamReactor final : public grpc::ServerWriteReactor<pb::ExecuteChunk>,
                            public runner::OutputSink {
 public:
  StreamReactor(Engine& engine, std::shared_ptr<RunControl> control,
                const pb::ExecuteRequest& request)
      : engine_(engine), control_(std::move(control)), gate_(control_) {
    auto run = ToRunRequest(engine, request, base::kDefaultMaxOutputBytes);
    if (!run) {
      Finish(ToGrpc(run.error()));
      return;
    }
    request_ = std::move(*run);
    FeedStdin(*control_, request);
    const auto running = engine.StartRun([this] { RunToEnd(); });
    if (!running) Finish(ToGrpc(running.error()));
  }

  void OnWriteDone(bool ok) override { gate_.OnWritten(ok); }
  void OnCancel() override { control_->Cancel(); }
  void OnDone() override { delete this; }

  bool Ready() override { return gate_.Ready(); }
  void Write(OutputStream stream, std::string_view bytes) override {
    SendChunk(stream, splitters_[static_cast<std::size_t>(stream)].Feed(bytes));
  }

 private:
  void SendChunk(OutputStream stream, std::string bytes) {
    if (bytes.empty()) return;
    chunk_.Clear();
    const bool text = base::IsUtf8(bytes);
    std::string& field =
        stream == OutputStream::kStdout
            ? *(text ? chunk_.mutable_stdout_chunk() : chunk_.mutable_stdout_bytes())
            : *(text ? chunk_.mutable_stderr_chunk() : chunk_.mutable_stderr_bytes());
    field = std::move(bytes);
    gate_.Begin();
    StartWrite(&chunk_);
  }

  void RunToEnd() {
    const auto report = engine_.Run(request_, *control_, *this);
    gate_.Drain();
    for (const OutputStream stream : {OutputStream::kStdout, OutputStream::kStderr}) {
      SendChunk(stream, splitters_[static_cast<std::size_t>(stream)].Flush());
      gate_.Drain();
    }
    if (!report) return Finish(ToGrpc(report.error()));
    if (control_->cancelled()) return Finish(grpc::Status::CANCELLED);
    chunk_.Clear();
    chunk_.set_is_final(true);
    FillResult(*report, engine_.trace().trace_id, *chunk_.mutable_metadata());
    StartWriteAndFinish(&chunk_, grpc::WriteOptions(), grpc::Status::OK);
  }

  Engine& engine_;
  const std::shared_ptr<RunControl> control_;
  WriteGate gate_;
  RunRequest request_;
  std::array<Utf8Splitter, 2> splitters_;
  pb::ExecuteChunk chunk_;
};

class ExecutionService final : public pb::ExecutionService::CallbackService {
 public:
  explicit ExecutionService(Engine& engine) : engine_(engine) {}

  grpc::ServerUnaryReactor* Execute(grpc::CallbackServerContext* context,
                                    const pb::ExecuteRequest* request,
                                    pb::ExecuteResponse* response) override {
    auto control = RunControl::Create();
    if (!control) {
      grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
      reactor->Finish(ToGrpc(control.error()));
      return reactor;
    }
    return new ExecuteReactor(engine_, std::move(*control), *request, *response);
  }

  grpc::ServerWriteReactor<pb::ExecuteChunk>* ExecuteStream(
      grpc::CallbackServerContext*, const pb::ExecuteRequest* request) override {
    auto control = RunControl::Create();
    if (!control) return new Refusal(ToGrpc(control.error()));
    return new StreamReactor(engine_, std::move(*control), *request);
  }

 private:
  class Refusal final : public grpc::ServerWriteReactor<pb::ExecuteChunk> {
   public:
    explicit Refusal(const grpc::Status& status) { Finish(status); }
    void OnDone() override { delete this; }
  };

  Engine& engine_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeExecutionService(Engine& engine) {
  return std::make_unique<ExecutionService>(engine);
}

}  // namespace nv::guest::executor
