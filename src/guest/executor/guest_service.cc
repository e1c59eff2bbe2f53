#include <sys/utsname.h>

#include <algorithm>
#include <string>

#include <grpcpp/grpcpp.h>

#include "base/limits.h"
#include "base/version.h"
#include "guest/executor/grpc_status.h"
#include "guest/executor/services.h"
#include "guest/executor/write_gate.h"
#include "neurovisor/guest.grpc.pb.h"

namespace nv::guest::executor {
namespace {

namespace v1 = ::neurovisor::guest::v1;
using runner::OutputStream;
using runner::RunControl;

constexpr std::size_t kMinEntropyBytes = 32;
constexpr std::size_t kMaxEntropyBytes = 512;
constexpr std::size_t kMaxTraceBytes = 256;

grpc::Status Invalid(const std::string& message) {
  return {grpc::StatusCode::INVALID_ARGUMENT, message};
}

grpc::Status CheckEntropy(const std::string& entropy) {
  if (entropy.size() >= kMinEntropyBytes && entropy.size() <= kMaxEntropyBytes) return {};
  return Invalid("entropy: " + std::to_string(entropy.size()) + " bytes, accepted are " +
                 std::to_string(kMinEntropyBytes) + " to " + std::to_string(kMaxEntropyBytes));
}

// One Run. Deletes itself when gRPC is done with it, which is after the run's thread has called
// Finish as its last act.
class RunReactor final : public grpc::ServerBidiReactor<v1::RunRequest, v1::RunResponse>,
                         public runner::OutputSink {
 public:
  RunReactor(Engine& engine, std::shared_ptr<RunControl> control)
      : engine_(engine), control_(std::move(control)), gate_(control_) {
    StartRead(&incoming_);
  }

  // gRPC's threads.
  void OnReadDone(bool ok) override {
    if (!ok) {  // half-closed, broken or cancelled; OnCancel tells the latter
      if (!started_) return Finish(Invalid("start: the first message must be it"));
      control_->EndStdin();
      return;
    }
    if (!started_) {
      if (auto status = TakeStart(); !status.ok()) return Finish(status);
      StartRead(&incoming_);
      return;
    }
    if (incoming_.message_case() == v1::RunRequest::kStdin) {
      control_->PushStdin(std::move(*incoming_.mutable_stdin()));
    } else if (incoming_.message_case() == v1::RunRequest::kStdinEnd) {
      control_->EndStdin();
    }
    ReadMore();
  }
  void OnWriteDone(bool ok) override { gate_.OnWritten(ok); }
  void OnCancel() override { control_->Cancel(); }
  void OnDone() override { delete this; }

  // The run's thread.
  bool Ready() override { return gate_.Ready(); }
  void Write(OutputStream stream, std::string_view bytes) override {
    outgoing_.Clear();
    if (stream == OutputStream::kStdout) {
      outgoing_.set_stdout(bytes.data(), bytes.size());
    } else {
      outgoing_.set_stderr(bytes.data(), bytes.size());
    }
    gate_.Begin();
    StartWrite(&outgoing_);
  }
  void OnStdinRoom() override {
    if (control_->pending_stdin_bytes() >= RunControl::kMaxPendingStdin) return;
    if (read_held_.exchange(false)) StartRead(&incoming_);
  }

 private:
  // While stdin is not taken by the program, nothing more is read from the host.
  void ReadMore() {
    if (control_->pending_stdin_bytes() < RunControl::kMaxPendingStdin) {
      StartRead(&incoming_);
      return;
    }
    read_held_ = true;
    control_->Wake();
    // The program may have drained it between the look and the note.
    OnStdinRoom();
  }

  grpc::Status TakeStart() {
    if (incoming_.message_case() != v1::RunRequest::kStart) {
      return Invalid("start: the first message must be it");
    }
    v1::Start& start = *incoming_.mutable_start();
    if (start.files_follow() || start.get_size() > 0 || !start.main().empty()) {
      return {grpc::StatusCode::UNIMPLEMENTED, "files: this guest cannot take or give files yet"};
    }
    const auto language = FindLanguage(start.language());
    if (!language) return ToGrpc(language.error());
    const auto timeout = CheckTimeout(start.timeout_ms());
    if (!timeout) return ToGrpc(timeout.error());
    request_.language = *language;
    request_.timeout = *timeout;
    request_.code = std::move(*start.mutable_code());
    request_.arguments.assign(start.args().begin(), start.args().end());
    request_.environment = {start.env().begin(), start.env().end()};
    request_.max_output_bytes = start.max_output_bytes();
    request_.stdin_follows = start.stdin_follows();
    if (const auto ok = engine_.Check(request_); !ok) return ToGrpc(ok.error());
    started_ = true;
    const auto running = engine_.StartRun([this] { RunToEnd(); });
    if (!running) {
      started_ = false;
      return ToGrpc(running.error());
    }
    return {};
  }

  void RunToEnd() {
    const auto report = engine_.Run(request_, *control_, *this);
    gate_.Drain();
    control_->CloseStdin();
    if (!report) return Finish(ToGrpc(report.error()));
    if (control_->cancelled()) return Finish(grpc::Status::CANCELLED);
    outgoing_.Clear();
    v1::RunResult& result = *outgoing_.mutable_result();
    const runner::ProgramReport& program = report->program;
    using Milliseconds = std::chrono::duration<double, std::milli>;
    result.set_outcome(static_cast<std::uint32_t>(program.outcome));
    result.set_exit_code(program.exit_code);
    result.set_signal(program.signal);
    result.set_stdout_discarded(program.discarded[0]);
    result.set_stderr_discarded(program.discarded[1]);
    result.set_compile_ms(Milliseconds(report->compile_time).count());
    result.set_run_ms(Milliseconds(program.run_time).count());
    result.set_cpu_ms(Milliseconds(program.cpu_time).count());
    result.set_max_rss_bytes(program.max_rss_bytes);
    StartWriteAndFinish(&outgoing_, grpc::WriteOptions(), grpc::Status::OK);
  }

  Engine& engine_;
  const std::shared_ptr<RunControl> control_;
  WriteGate gate_;
  RunRequest request_;
  v1::RunRequest incoming_;
  v1::RunResponse outgoing_;
  std::atomic<bool> started_{false};
  std::atomic<bool> read_held_{false};  // no read is pending because stdin is full
};

class GuestService final : public v1::Guest::CallbackService {
 public:
  GuestService(Engine& engine, boot::GuestMachine& machine, std::int64_t start_boottime_ns)
      : engine_(engine), machine_(machine), start_boottime_ns_(start_boottime_ns) {}

  grpc::ServerUnaryReactor* Ping(grpc::CallbackServerContext* context, const v1::PingRequest*,
                                 v1::PingResponse* response) override {
    response->set_agent_version(base::kVersion);
    response->set_protocol(base::kGuestProtocol);
    response->set_boottime_ns(boot::BoottimeNs());
    response->set_agent_start_boottime_ns(start_boottime_ns_);
    for (const Language& language : AllLanguages()) {
      v1::Language& entry = *response->add_languages();
      entry.set_name(std::string(language.name));
      entry.set_version(engine_.languages().Version(language));
    }
    for (std::string& lack : engine_.Lacks()) response->add_lacks(std::move(lack));
    for (std::string& lack : machine_.Lacks()) response->add_lacks(std::move(lack));
    utsname kernel{};
    if (uname(&kernel) == 0) response->set_kernel(kernel.release);
    return Answer(context, grpc::Status::OK);
  }

  grpc::ServerUnaryReactor* Prepare(grpc::CallbackServerContext* context,
                                    const v1::PrepareRequest* request,
                                    v1::PrepareResponse* response) override {
    if (auto status = CheckEntropy(request->entropy()); !status.ok()) {
      return Answer(context, status);
    }
    const auto reseeded = machine_.FeedEntropy(request->entropy());
    if (!reseeded) return Answer(context, ToGrpc(reseeded.error()));
    response->set_reseeded(*reseeded);
    const auto named = machine_.SetNames(request->hostname(), request->machine_id());
    return Answer(context, named ? grpc::Status::OK : ToGrpc(named.error()));
  }

  grpc::ServerUnaryReactor* Lease(grpc::CallbackServerContext* context,
                                  const v1::LeaseRequest* request,
                                  v1::LeaseResponse* response) override {
    if (auto status = CheckEntropy(request->entropy()); !status.ok()) {
      return Answer(context, status);
    }
    const auto bad = [](const std::string& text) {
      return text.size() > kMaxTraceBytes || text.find('\0') != std::string::npos;
    };
    if (bad(request->trace_id()) || bad(request->traceparent())) {
      return Answer(context, Invalid("trace_id, traceparent: at most " +
                                     std::to_string(kMaxTraceBytes) + " bytes, without NUL"));
    }
    if (request->wall_clock_ns() <= 0) {
      return Answer(context, Invalid("wall_clock_ns: not a time after 1970"));
    }
    const auto reseeded = machine_.FeedEntropy(request->entropy());
    if (!reseeded) return Answer(context, ToGrpc(reseeded.error()));
    const auto clock_set = machine_.SetClock(request->wall_clock_ns());
    if (!clock_set) return Answer(context, ToGrpc(clock_set.error()));
    engine_.SetTrace({.trace_id = request->trace_id(), .traceparent = request->traceparent()});
    response->set_reseeded(*reseeded);
    response->set_clock_set(*clock_set);
    return Answer(context, grpc::Status::OK);
  }

  grpc::ServerBidiReactor<v1::RunRequest, v1::RunResponse>* Run(
      grpc::CallbackServerContext*) override {
    auto control = RunControl::Create();
    if (!control) return new Refusal(ToGrpc(control.error()));
    return new RunReactor(engine_, std::move(*control));
  }

  grpc::ServerUnaryReactor* Shutdown(grpc::CallbackServerContext*, const v1::ShutdownRequest*,
                                     v1::ShutdownResponse*) override {
    // Acts when gRPC has written the answer.
    class Last final : public grpc::ServerUnaryReactor {
     public:
      explicit Last(boot::GuestMachine& machine) : machine_(machine) { Finish(grpc::Status::OK); }
      void OnDone() override {
        machine_.RequestShutdown();
        delete this;
      }

     private:
      boot::GuestMachine& machine_;
    };
    return new Last(machine_);
  }

 private:
  class Refusal final : public grpc::ServerBidiReactor<v1::RunRequest, v1::RunResponse> {
   public:
    explicit Refusal(const grpc::Status& status) { Finish(status); }
    void OnDone() override { delete this; }
  };

  static grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                          const grpc::Status& status) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }

  Engine& engine_;
  boot::GuestMachine& machine_;
  const std::int64_t start_boottime_ns_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeGuestService(Engine& engine, boot::GuestMachine& machine,
                                                std::int64_t start_boottime_ns) {
  return std::make_unique<GuestService>(engine, machine, start_boottime_ns);
}

}  // namespace nv::guest::executor
