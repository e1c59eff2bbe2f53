// guest_agent: PID 1 of the microVM, and the executor. Brings the machine up, forks the spawner
// while it has one thread, then serves the host.
//
// As an ordinary process (--no-init) it mounts nothing and sets no clock: tests on a host, and
// containers that hand it a descriptor.

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <semaphore>
#include <string>
#include <string_view>

#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "base/io.h"
#include "base/text.h"
#include "base/version.h"
#include "guest/boot/bring_up.h"
#include "guest/boot/guest_machine.h"
#include "guest/executor/channels.h"
#include "guest/executor/engine.h"
#include "guest/executor/services.h"
#include "guest/runner/cgroup.h"
#include "guest/runner/spawner.h"
#include "wire/grpc_fd.h"

namespace nv::guest {
namespace {

constexpr char kUsage[] =
    "usage: guest_agent                                  as PID 1 of a microVM\n"
    "       guest_agent --no-init --serve-unix PATH      a listening socket at PATH\n"
    "       guest_agent --no-init --listen-fd N          an inherited socket, listening or "
    "connected\n"
    "options: --cgroup-root DIR   cgroup v2 directory to make the programs' groups in\n"
    "         --languages FILE    lines \"name version\"\n";

struct Options {
  bool init = getpid() == 1;
  std::string unix_path;
  int descriptor = -1;
  std::string cgroup_root;
  std::string languages_file;
};

base::Result<Options> ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--no-init") {
      options.init = false;
      continue;
    }
    if (i + 1 >= argc) break;  // the kernel hands unknown words of its command line to PID 1
    const std::string value = argv[i + 1];
    if (flag == "--serve-unix") {
      options.unix_path = value;
    } else if (flag == "--listen-fd") {
      const auto number = base::ParseUint(value);
      if (!number || *number > 1'000'000) {
        return base::Fail(base::Code::kInvalidArgument, "--listen-fd: not a descriptor: " + value);
      }
      options.descriptor = static_cast<int>(*number);
    } else if (flag == "--cgroup-root") {
      options.cgroup_root = value;
    } else if (flag == "--languages") {
      options.languages_file = value;
    } else {
      continue;
    }
    ++i;
  }
  if (!options.init && options.unix_path.empty() && options.descriptor < 0) {
    return base::Fail(base::Code::kInvalidArgument, "nothing to serve on");
  }
  return options;
}

base::Result<base::UniqueFd> ListenUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return base::Fail(base::Code::kInvalidArgument, "--serve-unix: the path is too long");
  }
  path.copy(address.sun_path, path.size());
  base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  unlink(path.c_str());
  if (!fd.valid() || bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(fd.get(), 64) != 0) {
    return base::FailErrno("listen on " + path);
  }
  return fd;
}

executor::EngineOptions EngineOptionsFor(const Options& options) {
  executor::EngineOptions engine;
  if (!options.init) {
    const bool root = geteuid() == 0;
    engine.own_namespaces = root;
    engine.change_user = root;
    engine.work_path = "/tmp/sandbox";
    engine.limit_memory = false;
  }
  if (!options.languages_file.empty()) engine.languages_file = options.languages_file;
  return engine;
}

std::unique_ptr<runner::CgroupTree> OpenCgroups(const Options& options) {
  std::string path = options.cgroup_root;
  if (path.empty() && options.init) path = "/sys/fs/cgroup";
  if (path.empty()) return runner::CgroupTree::None();
  auto tree = runner::CgroupTree::Open(path);
  if (tree) return std::move(*tree);
  std::fprintf(stderr, "guest_agent: %s\n", tree.error().message().c_str());
  return runner::CgroupTree::None();
}

void SpawnerEnded() {
  std::fprintf(stderr, "guest_agent: the spawner has ended; no program could run any more\n");
  if (getpid() == 1) boot::ResetMachine();
  _exit(1);
}

base::Status Serve(const Options& options, std::int64_t start_boottime_ns) {
  if (options.init) {
    if (auto ok = boot::BringUp(); !ok) return ok;
  }
  auto spawner = runner::Spawner::Start();
  if (!spawner) return base::Fail(std::move(spawner.error()));
  // From here on there may be threads.
  if (options.init) boot::ReapChildrenForEver((*spawner)->pid(), SpawnerEnded);

  std::binary_semaphore shutdown(0);
  const auto on_shutdown = [&shutdown] { shutdown.release(); };
  std::unique_ptr<boot::GuestMachine> machine;
  if (options.init) {
    machine = std::make_unique<boot::RealMachine>(on_shutdown);
  } else {
    machine = std::make_unique<boot::BorrowedMachine>(on_shutdown);
  }
  executor::Engine engine(**spawner, OpenCgroups(options), EngineOptionsFor(options));
  const auto guest_service = executor::MakeGuestService(engine, *machine, start_boottime_ns);
  const auto execution_service = executor::MakeExecutionService(engine);
  grpc::ServerBuilder builder;
  wire::ConfigureServer(builder);
  builder.RegisterService(guest_service.get());
  builder.RegisterService(execution_service.get());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return base::Fail(base::Code::kInternal, "gRPC: no server");

  executor::Channels channels(*server);
  if (options.init) {
    channels.WatchSerialPort();
    // Without vsock there is the serial port; without both the host gives up on us.
    if (const auto ok = channels.ListenOnVsock();
        !ok && ok.error().code() != base::Code::kUnimplemented) {
      std::fprintf(stderr, "guest_agent: %s\n", ok.error().message().c_str());
    }
  }
  if (!options.unix_path.empty()) {
    auto listener = ListenUnix(options.unix_path);
    if (!listener) return base::Fail(std::move(listener.error()));
    if (auto ok = channels.ServeDescriptor(std::move(*listener)); !ok) return ok;
  }
  if (options.descriptor >= 0) {
    if (auto ok = channels.ServeDescriptor(base::UniqueFd(options.descriptor)); !ok) return ok;
  }
  std::fprintf(stderr, "guest_agent %s: ready\n", base::kVersion);

  shutdown.acquire();
  using namespace std::chrono_literals;
  if (options.init) {
    // The answer to Shutdown is still on its way through the multiplexer's thread.
    shutdown.try_acquire_for(20ms);
    boot::ResetMachine();
  }
  server->Shutdown(std::chrono::system_clock::now() + 200ms);
  return {};
}

int Main(int argc, char** argv) {
  const std::int64_t start_boottime_ns = boot::BoottimeNs();
  signal(SIGPIPE, SIG_IGN);
  const auto options = ParseOptions(argc, argv);
  if (!options) {
    std::fprintf(stderr, "guest_agent: %s\n%s", options.error().message().c_str(), kUsage);
    return 2;
  }
  const auto served = Serve(*options, start_boottime_ns);
  if (!served) std::fprintf(stderr, "guest_agent: %s\n", served.error().message().c_str());
  if (options->init) boot::ResetMachine();
  return served ? 0 : 1;
}

}  // namespace
}  // namespace nv::guest

int main(int argc, char** argv) { return nv::guest::Main(argc, argv); }
