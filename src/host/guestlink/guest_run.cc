#include "host/guestlink/guest_run.h"

#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <grpcpp/channel.h>

#include "base/limits.h"
#include "host/guestlink/guest_calls.h"
#include "host/guestlink/run_watch.h"
#include "neurovisor/guest.grpc.pb.h"

namespace nv::host::guestlink {
namespace {

namespace proto = neurovisor::guest::v1;
using Stream = grpc::ClientReaderWriter<proto::RunRequest, proto::RunResponse>;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kWhat = "run the program";
// The agent cuts at the byte; a chunk over the limit is forgiven, more is not an agent of ours.
constexpr std::uint64_t kOutputSlack = base::kStreamChunkBytes;
// After its result the guest has only to close the stream.
constexpr std::chrono::seconds kCloseGrace{1};
constexpr int kLastSignal = 64;

bool IsCompiled(std::string_view language) { return language == "go" || language == "rust"; }

base::Error Breach(std::string_view rule) {
  return {base::Code::kDataLoss, fmt::format("{}: the guest broke a rule: {}", kWhat, rule)};
}

double Milliseconds(double guest_says) {
  return std::isfinite(guest_says) && guest_says > 0 ? guest_says : 0;
}

// TRUST: a result is believed about its own program only as far as it can be one.
base::Result<RunOutcome> CheckResult(const proto::RunResult& result) {
  if (result.outcome() < static_cast<std::uint32_t>(base::Outcome::kSuccess) ||
      result.outcome() > static_cast<std::uint32_t>(base::Outcome::kCancelled)) {
    return base::Fail(Breach(fmt::format("outcome {} does not exist", result.outcome())));
  }
  const auto outcome = static_cast<base::Outcome>(result.outcome());
  if (result.signal() < 0 || result.signal() > kLastSignal) {
    return base::Fail(Breach(fmt::format("signal {} does not exist", result.signal())));
  }
  if (outcome == base::Outcome::kSignal && result.signal() == 0) {
    return base::Fail(Breach("killed by no signal"));
  }
  if (result.exit_code() < 0 || result.exit_code() > 255) {
    return base::Fail(Breach(fmt::format("exit code {} is out of range", result.exit_code())));
  }
  return RunOutcome{
      .outcome = outcome,
      .exit_code = base::ExitCodeFor(outcome, result.exit_code(), result.signal()),
      .signal = result.signal(),
      .stdout_discarded = result.stdout_discarded(),
      .stderr_discarded = result.stderr_discarded(),
      .compile_ms = Milliseconds(result.compile_ms()),
      .run_ms = Milliseconds(result.run_ms()),
      .cpu_ms = Milliseconds(result.cpu_ms()),
      .max_rss_bytes = result.max_rss_bytes(),
  };
}

proto::RunRequest StartMessage(const RunSpec& spec, const LinkOptions& options) {
  proto::RunRequest request;
  proto::Start& start = *request.mutable_start();
  start.set_language(spec.language);
  start.set_code(spec.code);
  for (const auto& arg : spec.args) start.add_args(arg);
  for (const auto& [key, value] : spec.env) (*start.mutable_env())[key] = value;
  start.set_timeout_ms(static_cast<std::uint32_t>(spec.timeout.count()));
  start.set_max_output_bytes(spec.max_output_bytes);
  start.set_stdin_follows(spec.stdin_follows);
  start.set_compile_timeout_ms(static_cast<std::uint32_t>(options.compile_timeout.count()));
  return request;
}

// Feeds stdin until its end, the program's end, or a broken stream.
void WriteStdin(Stream& stream, StdinSource& input) {
  proto::RunRequest request;
  while (true) {
    std::string bytes = input.Read();
    if (bytes.empty()) break;
    request.set_stdin(std::move(bytes));
    if (!stream.Write(request)) return;
  }
  request.set_stdin_end(true);
  if (stream.Write(request)) stream.WritesDone();
}

// Reads answers in order and holds them against the rules.
class Answers {
 public:
  Answers(Stream& stream, RunWatch& watch, OutputSink& output, std::uint64_t max_output_bytes)
      : stream_(stream), watch_(watch), output_(output), max_output_bytes_(max_output_bytes) {}

  // nullopt: the stream ended without a result, its status says why.
  base::Result<std::optional<RunOutcome>> ReadAll() {
    std::optional<RunOutcome> outcome;
    proto::RunResponse answer;
    while (stream_.Read(&answer)) {
      if (outcome) return base::Fail(Breach("it spoke after the result"));
      switch (answer.message_case()) {
        case proto::RunResponse::kStdout:
        case proto::RunResponse::kStderr:
          if (auto status = Output(answer); !status) return base::Fail(status.error());
          break;
        case proto::RunResponse::kResult: {
          auto checked = CheckResult(answer.result());
          if (!checked) return base::Fail(checked.error());
          outcome = *checked;
          watch_.Shorten(Clock::now() + kCloseGrace);
          break;
        }
        case proto::RunResponse::kFile:
          return base::Fail(Breach("it sent a file that nobody asked for"));
        case proto::RunResponse::MESSAGE_NOT_SET:
          return base::Fail(Breach("it sent an empty message"));
      }
    }
    return outcome;
  }

 private:
  base::Status Output(const proto::RunResponse& answer) {
    const bool is_stdout = answer.message_case() == proto::RunResponse::kStdout;
    const std::string& bytes = is_stdout ? answer.stdout() : answer.stderr();
    if (bytes.empty() || bytes.size() > base::kStreamChunkBytes) {
      return base::Fail(Breach(fmt::format("a chunk of {} bytes", bytes.size())));
    }
    std::uint64_t& total = totals_[is_stdout ? 0 : 1];
    total += bytes.size();
    if (max_output_bytes_ != 0 && total > max_output_bytes_ + kOutputSlack) {
      return base::Fail(
          Breach(fmt::format("more output than the {} bytes asked for", max_output_bytes_)));
    }
    watch_.Hold();
    const bool goes_on = is_stdout ? output_.OnStdout(bytes) : output_.OnStderr(bytes);
    watch_.Release();
    if (!goes_on) {
      return base::Fail(base::Code::kCancelled, fmt::format("{}: the receiver is gone", kWhat));
    }
    return {};
  }

  Stream& stream_;
  RunWatch& watch_;
  OutputSink& output_;
  const std::uint64_t max_output_bytes_;
  std::array<std::uint64_t, 2> totals_{};  // stdout, stderr
};

}  // namespace

base::Result<RunOutcome> RunInGuest(const std::shared_ptr<grpc::Channel>& channel,
                                    const LinkOptions& options, const RunSpec& spec,
                                    StdinSource* input, OutputSink& output, std::stop_token stop) {
  const auto allowed =
      spec.timeout + options.host_grace +
      (IsCompiled(spec.language) ? options.compile_timeout : std::chrono::milliseconds{0});
  grpc::ClientContext context;
  RunWatch watch(Clock::now() + allowed, [&context] { context.TryCancel(); });
  const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });

  const auto stub = proto::Guest::NewStub(channel);
  const auto stream = stub->Run(&context);
  const bool feeds = spec.stdin_follows && input != nullptr;
  std::jthread feeder;
  if (stream->Write(StartMessage(spec, options))) {
    if (feeds) {
      feeder = std::jthread([&] { WriteStdin(*stream, *input); });
    } else {
      stream->WritesDone();
    }
  }

  auto read = Answers(*stream, watch, output, spec.max_output_bytes).ReadAll();
  // The verdict stands. What may still be open is ours to end: a guest that goes on speaking, and a
  // feeder that waits for stdin or for a guest that does not read.
  const bool ended = read.has_value() && !watch.expired();
  if (!ended) context.TryCancel();
  if (input != nullptr) input->Cancel();
  const grpc::Status status = stream->Finish();
  context.TryCancel();
  if (feeder.joinable()) feeder.join();

  if (read.has_value() && read->has_value()) return **read;
  if (stop.stop_requested()) {
    return base::Fail(base::Code::kCancelled, fmt::format("{}: cancelled", kWhat));
  }
  if (!read) return base::Fail(std::move(read).error());
  if (watch.expired()) {
    return base::Fail(
        base::Code::kDeadlineExceeded,
        fmt::format("{}: the guest gave no result within {} ms", kWhat, allowed.count()));
  }
  if (status.ok()) return base::Fail(Breach("it ended the stream without a result"));
  return base::Fail(ErrorFromGuest(status, kWhat));
}

}  // namespace nv::host::guestlink
