#include "host/cli/run_command.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/ids.h"
#include "host/cli/code_source.h"
#include "host/cli/daemon.h"
#include "host/cli/help.h"
#include "host/cli/interrupts.h"
#include "host/cli/private_engine.h"
#include "host/cli/report.h"
#include "host/cli/run_options.h"
#include "host/cli/run_output.h"
#include "host/cli/stdio.h"
#include "host/client/run_client.h"
#include "host/config/config.h"

namespace nv::host::cli {
namespace {

using base::Code;

constexpr int kOurFailure = 125;
constexpr int kSignalled = 128;
constexpr std::chrono::seconds kEnginePatience{2};

std::optional<std::string> Environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

// Cancels the run when a signal has come. Ends with the scope, before the client does.
class Canceller {
 public:
  Canceller(int interrupt_fd, client::RunClient& client)
      : over_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), thread_([this, interrupt_fd, &client] {
          pollfd fds[2] = {{.fd = interrupt_fd, .events = POLLIN, .revents = 0},
                           {.fd = over_.get(), .events = POLLIN, .revents = 0}};
          while (::poll(fds, 2, -1) < 0 && errno == EINTR) {
          }
          if (fds[0].revents != 0) client.Cancel();
        }) {}
  ~Canceller() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(over_.get(), &one, sizeof one);
  }
  Canceller(const Canceller&) = delete;
  Canceller& operator=(const Canceller&) = delete;

 private:
  base::UniqueFd over_;
  std::jthread thread_;
};

// Flags for the engine travel to a private one as their variables. Before any thread exists.
void ExportEngineFlags(const RunOptions& options) {
  const auto set = [](const char* name, const std::string& value) {
    if (!value.empty()) ::setenv(name, value.c_str(), 1);
  };
  set("NEUROVISOR_ACCEL", options.accel);
  set("NEUROVISOR_BACKEND", options.backend);
  set("NEUROVISOR_DATA_DIR", options.data_dir);
}

// The program's standard input; invalid: empty.
base::Result<base::UniqueFd> OpenProgramStdin(const RunOptions& options, const CodeSource& source) {
  base::UniqueFd input;
  std::string name = "standard input";
  if (options.stdin_path && *options.stdin_path != "-") {
    name = fmt::format("--stdin '{}'", *options.stdin_path);
    // O_NONBLOCK: a named pipe whose writer comes later is waited for where signals count.
    auto file = base::OpenFile(*options.stdin_path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (!file) {
      return base::Fail(std::move(file.error())
                            .WithContext("--stdin")
                            .WithRemedy("give a file that exists and that you may read, or -"));
    }
    input = *std::move(file);
  } else if (!source.took_stdin) {
    auto own = OpenAgain(STDIN_FILENO, O_RDONLY);
    if (!own) return base::Fail(std::move(own.error()));
    input = *std::move(own);
  }
  struct stat status {};
  if (input.valid() && ::fstat(input.get(), &status) == 0 && S_ISDIR(status.st_mode)) {
    return base::Fail(base::Error(Code::kInvalidArgument,
                                  fmt::format("{} is a directory, which cannot be read", name))
                          .WithRemedy("give a file, or < /dev/null for no input"));
  }
  return input;
}

// Whom the run is asked of: a daemon, or an engine of our own.
struct Server {
  base::UniqueFd socket;
  std::unique_ptr<PrivateEngine> engine;  // null with a daemon
};

base::Result<Server> FindServer(const RunOptions& options) {
  if (!options.standalone) {
    const auto note_skipped = [&options](const std::string& path, const std::string& reason) {
      // The usual places are often empty; a place that the user named is worth a word.
      if (path != options.socket) return;
      PrintToStderr(
          fmt::format("neurovisor: no daemon at --socket '{}' ({}); going on without it\n",
                      Printable(path), reason));
    };
    auto daemon = ConnectToDaemon(DaemonSockets(options.socket, Environment), note_skipped);
    if (!daemon) return base::Fail(std::move(daemon.error()));
    if (*daemon) return Server{**std::move(daemon), nullptr};
  }
  const auto paths = config::FindPaths();
  if (!paths) return base::Fail(paths.error());
  auto engine = PrivateEngine::Start(paths->libexec);
  if (!engine) return base::Fail(std::move(engine.error()));
  base::UniqueFd socket = (*engine)->TakeSocket();
  return Server{std::move(socket), *std::move(engine)};
}

client::RunRequest MakeRequest(const RunOptions& options, CodeSource source, int stdin_fd) {
  client::RunRequest request;
  request.language = std::move(source.language);
  request.code = std::move(source.code);
  request.args = options.args;
  request.env = options.env;
  request.timeout_secs = options.timeout_secs;
  request.max_output_bytes = options.max_output_bytes;
  request.size = options.size.empty() ? std::string(config::kDefaultSize) : options.size;
  request.image = options.image;
  request.cold = options.cold;
  request.trace_id = base::TraceId::New(base::SystemClock()).text();
  request.stdin_fd = stdin_fd;
  return request;
}

// An engine of ours that went away says more by how it ended than gRPC does.
base::Error Explain(base::Error error, const base::ExitStatus& ended, const PrivateEngine& engine) {
  if (error.code() != Code::kUnavailable || (ended.ok() && engine.LastWords().empty())) {
    return error;
  }
  base::Error explained(error.code(), fmt::format("the engine ended without an answer ({}): {}",
                                                  ended.Describe(), error.message()));
  return std::move(explained)
      .WithRemedy(error.remedy().empty() ? "neurovisor doctor" : error.remedy())
      .WithDetails(error.details().empty() ? engine.LastWords() : error.details());
}

int ReportFailure(const base::Error& error) {
  PrintToStderr(DescribeError(error));
  return kOurFailure;
}

// Runs on a connected server; returns when the client is gone and its socket closed.
base::Result<client::RunReport> RunOn(base::UniqueFd socket, const client::RunRequest& request,
                                      RunOutput& output, const Interrupts& interrupts) {
  const auto client = client::RunClient::Create(std::move(socket));
  const Canceller canceller(interrupts.fd(), *client);
  return client->Run(request, {.on_stdout = [&](auto bytes) { return output.OnStdout(bytes); },
                               .on_stderr = [&](auto bytes) { return output.OnStderr(bytes); },
                               .on_progress = [&](auto text) { output.OnProgress(text); }});
}

// What a failed write of the program's output means for our exit status.
int OutputFailed(const base::Error& failure, const Interrupts& interrupts) {
  if (failure.error_number() == EPIPE) return kSignalled + SIGPIPE;
  if (failure.code() == Code::kCancelled) return kSignalled + interrupts.signal_number();
  return ReportFailure(base::Error(failure).WithContext("pass the program's output on"));
}

int Finish(const RunOptions& options, const client::RunRequest& request,
           base::Result<client::RunReport> report, RunOutput& output,
           const Interrupts& interrupts) {
  const int signal_number = interrupts.signal_number();
  const bool interrupted = signal_number != 0 && !report;
  if (output.failure() && !interrupted) return OutputFailed(*output.failure(), interrupts);
  if (interrupted) {
    report = client::RunReport{};
    report->exit_code = kSignalled + signal_number;
    report->outcome = "cancelled";
    report->trace_id = request.trace_id;
  }
  if (!report) return ReportFailure(report.error());

  const auto after = interrupted ? RunOutput::After::kInterrupt : RunOutput::After::kRun;
  if (options.json && !output.WriteJson(*report, after)) {
    return OutputFailed(*output.failure(), interrupts);
  }
  if (!interrupted) {
    std::string notices = Notices(request, *report);
    if (options.timings) notices += TimingsLine(*report);
    output.PrintNotices(notices);
  }
  return report->exit_code;
}

}  // namespace

int RunCommand(std::span<const std::string> args) {
  auto options = ParseRunOptions(args, config::FlagFromEnvironment);
  if (!options) return ReportFailure(options.error());
  if (options->help) {
    [[maybe_unused]] const auto written = base::WriteAll(STDOUT_FILENO, kRunHelp);
    return 0;
  }
  ExportEngineFlags(*options);

  const auto interrupts = Interrupts::Install();
  if (!interrupts) return ReportFailure(interrupts.error());
  auto source = LoadCode(*options, interrupts->fd());
  if (!source) {
    if (source.error().code() == Code::kCancelled) return kSignalled + interrupts->signal_number();
    return ReportFailure(source.error());
  }
  const auto input = OpenProgramStdin(*options, *source);
  if (!input) return ReportFailure(input.error());
  auto output = RunOutput::Create(
      options->json ? RunOutput::Form::kJson : RunOutput::Form::kStreams, interrupts->fd());
  if (!output) return ReportFailure(output.error());

  auto server = FindServer(*options);
  if (!server) return ReportFailure(server.error());
  const client::RunRequest request = MakeRequest(*options, *std::move(source), input->get());
  auto report = RunOn(std::move(server->socket), request, **output, *interrupts);
  (*output)->EndProgress();
  if (server->engine) {
    const base::ExitStatus ended = server->engine->Stop(kEnginePatience);
    if (!report) report = base::Fail(Explain(std::move(report.error()), ended, *server->engine));
  }
  return Finish(*options, request, std::move(report), **output, *interrupts);
}

}  // namespace nv::host::cli
