#include "host/gateway/sandboxes_service.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <optional>
#include <string>
#include <utility>

#include "base/limits.h"
#include "base/text.h"
#include "host/gateway/run_call.h"
#include "host/gateway/run_request.h"

namespace nv::host::gateway {
namespace {

namespace proto = neurovisor::sandbox::v1;
using Response = proto::RunResponse;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr std::chrono::seconds kFirstProgress{2};  // a boot under TCG takes about that long
constexpr std::chrono::seconds kNextProgress{5};
constexpr std::size_t kMaxProgress = 160;  // characters

// Tells the client what is being waited for, when that takes long. Ends with its destruction.
class ProgressTicker {
 public:
  explicit ProgressTicker(RunCall& call)
      : call_(call), thread_([this](const std::stop_token& stop) { Tick(stop); }) {}

  void SetStage(std::string_view stage) {
    const std::scoped_lock lock(mutex_);
    stage_ = stage;
  }

 private:
  void Tick(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    auto pause = kFirstProgress;
    while (!stop.stop_requested() && !call_.cancelled().stop_requested()) {
      wake_.wait_for(lock, stop, pause, [] { return false; });
      if (stop.stop_requested()) return;
      Response message;
      message.mutable_progress()->set_text("still waiting: " +
                                           base::EscapeForTerminal(stage_, kMaxProgress));
      lock.unlock();
      const bool sent = call_.Send(message);
      lock.lock();
      if (!sent) return;
      pause = kNextProgress;
    }
  }

  RunCall& call_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::string stage_;    // guarded by mutex_
  std::jthread thread_;  // last: it uses all of the above
};

// The guest's output to the client, as it comes.
class ClientOutput final : public guestlink::OutputSink {
 public:
  explicit ClientOutput(RunCall& call) : call_(call) {}
  bool OnStdout(std::string_view bytes) override {
    message_.set_stdout(bytes.data(), bytes.size());
    return call_.Send(message_);
  }
  bool OnStderr(std::string_view bytes) override {
    message_.set_stderr(bytes.data(), bytes.size());
    return call_.Send(message_);
  }

 private:
  RunCall& call_;
  Response message_;
};

// The client's stdin to the guest. A client that sends something else breaks the call.
class ClientStdin final : public guestlink::StdinSource {
 public:
  explicit ClientStdin(RunCall& call) : call_(call) {}

  std::string Read() override {
    while (auto message = call_.Receive(stop_.get_token())) {
      switch (message->message_case()) {
        case proto::RunRequest::kStdin:
          if (message->stdin().size() > base::kStreamChunkBytes) {
            return Refuse("stdin: a message of " + std::to_string(message->stdin().size()) +
                          " bytes exceeds the limit of " + std::to_string(base::kStreamChunkBytes));
          }
          if (!message->stdin().empty()) return std::move(*message->mutable_stdin());
          break;
        case proto::RunRequest::kStdinEnd:
          return {};
        default:
          return Refuse("only stdin may follow the start");
      }
    }
    return {};
  }
  void Cancel() override { stop_.request_stop(); }

  // What the client did wrong, once Run has returned.
  [[nodiscard]] const std::optional<base::Error>& error() const { return error_; }

 private:
  std::string Refuse(std::string message) {
    error_.emplace(base::Code::kInvalidArgument, std::move(message));
    call_.Cancel();
    return {};
  }

  RunCall& call_;
  std::stop_source stop_;
  std::optional<base::Error> error_;
};

// One request from its start to its result, on the worker's thread.
class RunWorker {
 public:
  RunWorker(RunCall& call, pool::LeaseSource& source, const base::Clock& clock)
      : call_(call), source_(source), clock_(clock), accepted_(clock.Now()) {}

  void Work() {
    const base::Status status = Serve();
    call_.FinishWith(status);
    lease_.reset();  // the client need not wait for the end of its VM
  }

 private:
  base::Status Serve() {
    auto first = call_.Receive(call_.cancelled());
    if (!first) return base::Fail(base::Code::kCancelled, "the client left");
    accepted_ = clock_.Now();
    if (!first->has_start()) {
      return base::Fail(base::Code::kInvalidArgument, "the first message has to be start");
    }
    auto trace = ChooseTrace(call_.Metadata("traceparent"), first->start().trace_id(),
                             call_.Metadata("x-trace-id"), clock_);
    if (!trace) return base::Fail(trace.error());
    auto plan = PlanRun(*first->mutable_start());
    if (!plan) return base::Fail(plan.error());
    if (auto status = Acquire(*plan, *trace); !status) return status;
    return Run(plan->spec, *trace);
  }

  base::Status Acquire(const RunPlan& plan, const base::TraceId& trace) {
    ProgressTicker ticker(call_);
    auto lease = source_.Acquire(
        {.trace = trace,
         .language = plan.spec.language,
         .image = plan.image,
         .vcpus = plan.vcpus,
         .memory_bytes = plan.memory_bytes,
         .cold = plan.cold},
        [&ticker](std::string_view stage) { ticker.SetStage(stage); }, call_.cancelled());
    if (!lease) return base::Fail(lease.error());
    lease_.emplace(*std::move(lease));
    return {};
  }

  base::Status Run(const guestlink::RunSpec& spec, const base::TraceId& trace) {
    Response message;
    auto& started = *message.mutable_started();
    started.set_trace_id(trace.text());
    started.set_vm_id(lease_->guest().id().text);
    started.set_backend(source_.backend());
    started.set_accelerator(source_.accelerator());
    if (!call_.Send(message)) return base::Fail(base::Code::kCancelled, "the client left");

    ClientStdin input(call_);
    ClientOutput output(call_);
    const auto outcome = lease_->link().Run(spec, &input, output, call_.cancelled());
    if (input.error()) return base::Fail(*input.error());
    if (!outcome) return base::Fail(lease_->Explain(outcome.error()));
    message.Clear();
    FillResult(*outcome, trace, *message.mutable_result());
    if (!call_.Send(message)) return base::Fail(base::Code::kCancelled, "the client left");
    return {};
  }

  void FillResult(const guestlink::RunOutcome& outcome, const base::TraceId& trace,
                  proto::RunResult& result) const {
    result.set_exit_code(outcome.exit_code);
    result.set_outcome(std::string(base::OutcomeName(outcome.outcome)));
    result.set_signal(outcome.signal);
    result.mutable_truncated()->set_stdout_bytes(outcome.stdout_discarded);
    result.mutable_truncated()->set_stderr_bytes(outcome.stderr_discarded);
    result.set_trace_id(trace.text());
    result.set_duration_ms(outcome.run_ms);
    const pool::BootTimes& times = lease_->times();
    auto& timings = *result.mutable_timings_ms();
    timings.set_acquire(Milliseconds(times.agent_ready - accepted_).count());
    timings.set_prepare(Milliseconds(times.leased - times.agent_ready).count());
    timings.set_compile(outcome.compile_ms);
    timings.set_run(outcome.run_ms);
    timings.set_total(Milliseconds(clock_.Now() - accepted_).count());
    result.mutable_usage()->set_cpu_ms(outcome.cpu_ms);
    result.mutable_usage()->set_max_rss_bytes(outcome.max_rss_bytes);
  }

  RunCall& call_;
  pool::LeaseSource& source_;
  const base::Clock& clock_;
  base::Clock::Steady accepted_;
  std::optional<pool::Lease> lease_;
};

}  // namespace

SandboxesService::~SandboxesService() { CancelAll(); }  // the list's threads join

grpc::ServerBidiReactor<proto::RunRequest, proto::RunResponse>* SandboxesService::Run(
    grpc::CallbackServerContext* context) {
  auto call = std::make_shared<RunCall>(*context);
  RunCall* reactor = call.get();
  reactor->Begin();
  const std::scoped_lock lock(mutex_);
  Reap();
  running_.push_back({.call = call, .worker = std::jthread([this, call] {
                                      RunWorker(*call, source_, clock_).Work();
                                      call->WorkerDone();
                                    })});
  return reactor;
}

void SandboxesService::CancelAll() {
  const std::scoped_lock lock(mutex_);
  for (const Running& running : running_) running.call->Cancel();
}

void SandboxesService::Reap() {
  std::erase_if(running_, [](const Running& running) { return running.call->done(); });
}

}  // namespace nv::host::gateway
