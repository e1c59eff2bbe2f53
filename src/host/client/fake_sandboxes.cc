#include "host/client/fake_sandboxes.h"

#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include "neurovisor/sandbox.grpc.pb.h"
#include "wire/grpc_fd.h"

namespace nv::host::client {
namespace {

namespace proto = neurovisor::sandbox::v1;
using Stream = grpc::ServerReaderWriter<proto::RunResponse, proto::RunRequest>;

constexpr std::size_t kChunk = 64 * 1024;
constexpr std::chrono::milliseconds kCancelCheck{2};

// Cuts the text before the first `separator` off `rest`.
std::string Take(std::string& rest, char separator) {
  const std::size_t at = rest.find(separator);
  std::string taken = rest.substr(0, at);
  rest = at == std::string::npos ? "" : rest.substr(at + 1);
  return taken;
}

std::string Unhex(const std::string& digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

std::string Describe(const proto::Start& start) {
  std::string text = fmt::format(
      "language={}\ntimeout={}\nmax_output={}\nsize={}\nimage={}\ncold={}\nstdin_follows={}\n",
      start.language(), start.timeout_secs(), start.max_output_bytes(), start.size(), start.image(),
      start.cold(), start.stdin_follows());
  for (const std::string& arg : start.args()) text += fmt::format("arg={}\n", arg);
  const std::map<std::string, std::string> env(start.env().begin(), start.env().end());
  for (const auto& [name, value] : env) text += fmt::format("env {}={}\n", name, value);
  for (const char* name : {"NEUROVISOR_ACCEL", "NEUROVISOR_BACKEND", "NEUROVISOR_DATA_DIR"}) {
    if (const char* value = std::getenv(name)) text += fmt::format("engine {}={}\n", name, value);
  }
  return text;
}

class Service final : public proto::Sandboxes::Service {
 public:
  grpc::Status Run(grpc::ServerContext* context, Stream* stream) override {
    proto::RunRequest first;
    if (!stream->Read(&first) || !first.has_start()) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "the first message is no start"};
    }
    proto::RunResponse started;
    started.mutable_started()->set_trace_id(first.start().trace_id());
    started.mutable_started()->set_vm_id("vm-fake");
    started.mutable_started()->set_backend("fake");
    started.mutable_started()->set_accelerator("none");
    stream->Write(started);

    proto::RunResult result;
    result.set_outcome("success");
    result.set_trace_id(first.start().trace_id());
    result.mutable_timings_ms()->set_acquire(1.5);
    result.mutable_timings_ms()->set_total(4.25);
    result.set_duration_ms(2.0625);
    result.mutable_usage()->set_max_rss_bytes(4096);
    std::istringstream script(first.start().code());
    for (std::string line; std::getline(script, line);) {
      if (auto end = Step(line, first.start(), *context, *stream, result)) return *end;
    }
    return SendResult(result, *stream);
  }

  bool WaitForCancel(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [this] { return cancelled_; });
  }

 private:
  static grpc::Status SendResult(const proto::RunResult& result, Stream& stream) {
    proto::RunResponse message;
    *message.mutable_result() = result;
    stream.Write(message);
    return grpc::Status::OK;
  }

  static bool Send(const std::string& name, std::string bytes, Stream& stream) {
    proto::RunResponse message;
    if (name == "err") {
      message.set_stderr(std::move(bytes));
    } else {
      message.set_stdout(std::move(bytes));
    }
    return stream.Write(message);
  }

  // The call's end, or nullopt to go on with the next line.
  std::optional<grpc::Status> Step(std::string rest, const proto::Start& start,
                                   grpc::ServerContext& context, Stream& stream,
                                   proto::RunResult& result) {
    const std::string command = Take(rest, ' ');
    if (command == "out" || command == "err") Send(command, rest + "\n", stream);
    if (command == "request") Send("out", Describe(start), stream);
    if (command == "hex") {
      const std::string name = Take(rest, ' ');
      Send(name, Unhex(rest), stream);
    }
    if (command == "flood") {
      const std::string name = Take(rest, ' ');
      for (std::size_t left = std::stoull(rest); left > 0; left -= std::min(left, kChunk)) {
        if (!Send(name, std::string(std::min(left, kChunk), 'x'), stream)) break;
      }
    }
    if (command == "progress") {
      proto::RunResponse message;
      message.mutable_progress()->set_text(rest);
      stream.Write(message);
    }
    if (command == "stdin") {
      proto::RunRequest input;
      while (stream.Read(&input) && !input.stdin_end()) Send("out", input.stdin(), stream);
    }
    if (command == "wait") WaitHere(context);
    if (command == "say") std::fprintf(stderr, "%s\n", rest.c_str());
    if (command == "die") ::_exit(std::stoi(rest));
    if (command == "kill") ::raise(std::stoi(rest));
    if (command == "fail") return Failure(rest, context);
    if (command == "nothing") return grpc::Status::OK;
    if (command == "result") {
      FillResult(rest, result);
      return SendResult(result, stream);
    }
    return std::nullopt;
  }

  void WaitHere(const grpc::ServerContext& context) {
    std::unique_lock lock(mutex_);
    while (!context.IsCancelled()) changed_.wait_for(lock, kCancelCheck);
    cancelled_ = true;
    changed_.notify_all();
  }

  static grpc::Status Failure(std::string rest, grpc::ServerContext& context) {
    const auto code = static_cast<grpc::StatusCode>(std::stoi(Take(rest, '|')));
    const std::string message = Take(rest, '|');
    const std::string remedy = Take(rest, '|');
    std::string details = rest;
    for (std::size_t at = 0; (at = details.find("\\n", at)) != std::string::npos;) {
      details.replace(at, 2, "\n");
    }
    if (!remedy.empty()) context.AddTrailingMetadata("nv-remedy-bin", remedy);
    if (!details.empty()) context.AddTrailingMetadata("nv-details-bin", details);
    return {code, message};
  }

  static void FillResult(std::string rest, proto::RunResult& result) {
    while (!rest.empty()) {
      std::string value = Take(rest, ' ');
      const std::string key = Take(value, '=');
      if (key == "exit") result.set_exit_code(std::stoi(value));
      if (key == "outcome") result.set_outcome(value);
      if (key == "signal") result.set_signal(std::stoi(value));
      if (key == "out_lost") result.mutable_truncated()->set_stdout_bytes(std::stoull(value));
      if (key == "err_lost") result.mutable_truncated()->set_stderr_bytes(std::stoull(value));
      if (key == "hint") result.set_hint(value);
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool cancelled_ = false;
};

class Fake final : public FakeSandboxes {
 public:
  explicit Fake(base::UniqueFd client) {
    grpc::ServerBuilder builder;
    wire::ConfigureServer(builder);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    wire::ServeFd(*server_, std::move(client));
  }
  ~Fake() override {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds{200});
  }
  bool WaitForCancel(std::chrono::milliseconds patience) override {
    return service_.WaitForCancel(patience);
  }

 private:
  Service service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

std::unique_ptr<FakeSandboxes> FakeSandboxes::Start(base::UniqueFd client) {
  return std::make_unique<Fake>(std::move(client));
}

}  // namespace nv::host::client
