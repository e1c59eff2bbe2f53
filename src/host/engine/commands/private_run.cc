#include "host/engine/commands/private_run.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>

#include "base/text.h"
#include "host/engine/graph.h"
#include "host/gateway/private_gateway.h"
#include "host/pool/boot_on_demand.h"

namespace nv::host::engine {
namespace {

constexpr int kClientFd = 3;
// After the client has gone nobody waits for us: whatever hangs, the kernel ends the process, and
// with its socket the jail's children.
constexpr unsigned kEndPatience = 1;  // seconds
constexpr std::uint64_t kDefaultBootSeconds = 60;
constexpr std::uint64_t kMaxBootSeconds = 600;

// The client shows these lines when the engine ends without having served.
int Failed(const base::Error& error) {
  std::fprintf(stderr, "%s\n", error.message().c_str());
  if (!error.details().empty()) std::fprintf(stderr, "%s\n", error.details().c_str());
  if (!error.remedy().empty()) std::fprintf(stderr, "  try: %s\n", error.remedy().c_str());
  return 1;
}

base::Result<std::chrono::seconds> BootTimeout() {
  const auto text = config::FlagFromEnvironment("--boot-timeout");
  if (!text) return std::chrono::seconds{kDefaultBootSeconds};
  const auto number = base::ParseUint(*text);
  if (!number || *number < 1 || *number > kMaxBootSeconds) {
    return base::Fail(base::Code::kInvalidArgument,
                      "NEUROVISOR_BOOT_TIMEOUT: accepted are whole seconds from 1 to 600");
  }
  return std::chrono::seconds{*number};
}

}  // namespace

int PrivateRunCommand(std::span<const std::string> args) {
  int type = 0;
  socklen_t length = sizeof type;
  if (!args.empty() || ::getsockopt(kClientFd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 ||
      type != SOCK_STREAM) {
    std::fprintf(stderr,
                 "neurovisor-engine private-run: started by neurovisor run, with a socket as "
                 "descriptor 3\n");
    return 2;
  }
  base::UniqueFd client(kClientFd);
  ::fcntl(kClientFd, F_SETFD, FD_CLOEXEC);
  // Its client ends it by closing the socket, so that guests end in order; a terminal's signals are
  // the client's.
  std::signal(SIGINT, SIG_IGN);

  const auto timeout = BootTimeout();
  if (!timeout) return Failed(timeout.error());
  auto graph = BuildGraph(config::FlagFromEnvironment("--accel").value_or(""),
                          config::FlagFromEnvironment("--backend").value_or(""));
  if (!graph) return Failed(graph.error());
  pool::BootOnDemand source(*(*graph)->images, *(*graph)->backend, (*graph)->clock, *timeout);
  auto gateway = gateway::PrivateGateway::Start(std::move(client), source, (*graph)->clock);
  if (!gateway) return Failed(gateway.error());
  (*gateway)->WaitUntilClientGone();
  ::alarm(kEndPatience);
  return 0;
}

}  // namespace nv::host::engine
