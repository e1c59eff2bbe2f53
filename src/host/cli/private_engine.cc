#include "host/cli/private_engine.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string_view>

#include <fmt/format.h>

#include "base/io.h"

namespace nv::host::cli {
namespace {

constexpr int kEngineSocket = 3;
constexpr std::size_t kStderrBytes = 64 * 1024;
// A full pipe's worth; some orphan may hold the other end and go on writing.
constexpr int kReadsAfterStop = 17;

bool IsPassedOn(std::string_view name) {
  constexpr std::array<std::string_view, 4> kNames{"PATH", "HOME", "TMPDIR", "LANG"};
  return name.starts_with("NEUROVISOR_") || name.starts_with("XDG_") ||
         std::ranges::find(kNames, name) != kNames.end();
}

base::Error StartError(base::Error error, const std::string& program) {
  std::string remedy = "neurovisor doctor";
  if (error.code() == base::Code::kNotFound) {
    remedy =
        "build it (cmake --build --preset release), install it, or set "
        "NEUROVISOR_LIBEXEC_DIR to where neurovisor-engine is";
  }
  return std::move(error)
      .WithContext(fmt::format("start the engine '{}'", program))
      .WithRemedy(std::move(remedy));
}

}  // namespace

std::vector<std::string> EngineEnvironment(const char* const* environment) {
  std::vector<std::string> passed;
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    if (IsPassedOn(entry.substr(0, entry.find('=')))) passed.emplace_back(entry);
  }
  return passed;
}

base::Result<std::unique_ptr<PrivateEngine>> PrivateEngine::Start(const std::string& libexec) {
  const std::string program = libexec + "/neurovisor-engine";
  auto sockets = base::MakeSocketPair(SOCK_STREAM);
  if (!sockets) return base::Fail(StartError(std::move(sockets.error()), program));
  auto pipe = base::MakePipe();
  if (!pipe) return base::Fail(StartError(std::move(pipe.error()), program));
  base::UniqueFd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid()) return base::FailErrno("create an eventfd");
  if (auto set = base::SetNonBlocking(pipe->first.get(), true); !set) {
    return base::Fail(StartError(std::move(set.error()), program));
  }

  base::SpawnOptions options;
  options.argv = {program, "private-run"};
  options.environment = EngineEnvironment(::environ);
  options.fds = {{pipe->second.get(), STDERR_FILENO}, {sockets->second.get(), kEngineSocket}};
  options.new_session = true;
  auto process = base::ChildProcess::Spawn(options);
  if (!process) return base::Fail(StartError(std::move(process.error()), program));
  return std::unique_ptr<PrivateEngine>(new PrivateEngine(
      *std::move(process), std::move(sockets->first), std::move(pipe->first), std::move(stop)));
}

PrivateEngine::PrivateEngine(base::ChildProcess process, base::UniqueFd socket,
                             base::UniqueFd stderr_pipe, base::UniqueFd stop)
    : process_(std::move(process)),
      socket_(std::move(socket)),
      stderr_pipe_(std::move(stderr_pipe)),
      stop_(std::move(stop)),
      stderr_tail_(kStderrBytes),
      collector_([this] { CollectStderr(); }) {}

PrivateEngine::~PrivateEngine() {
  socket_.Reset();
  Stop(std::chrono::milliseconds{0});
}

base::ExitStatus PrivateEngine::Stop(std::chrono::milliseconds patience) {
  using std::chrono::steady_clock;
  auto ended = process_.Wait(steady_clock::now() + patience);
  if (!ended || !*ended) {
    // What it started dies with it: the jail sees its socket close.
    [[maybe_unused]] const auto killed = process_.Signal(SIGKILL);
    ended = process_.Wait(steady_clock::now() + std::chrono::seconds{2});
  }
  if (collector_.joinable()) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof one);
    collector_.join();
  }
  if (ended && *ended) return **ended;
  return {.exit_code = 0, .signal = SIGKILL};
}

void PrivateEngine::CollectStderr() {
  std::string buffer(4096, '\0');
  int reads_after_stop = 0;
  while (reads_after_stop < kReadsAfterStop) {
    pollfd fds[2] = {{.fd = stop_.get(), .events = POLLIN, .revents = 0},
                     {.fd = stderr_pipe_.get(), .events = POLLIN, .revents = 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return;
    if (fds[0].revents != 0) ++reads_after_stop;
    const ssize_t got = ::read(stderr_pipe_.get(), buffer.data(), buffer.size());
    if (got > 0) {
      stderr_tail_.Append(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN) || fds[0].revents != 0) {
      // A stop counts when nothing is left to read: the last words are the ones that matter.
      return;
    }
  }
}

}  // namespace nv::host::cli
