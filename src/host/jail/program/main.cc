// neurovisor-jail: the one privileged program. It starts VMMs in a cage and ends them.
//
//   neurovisor-jail --socket-fd 3 [--qemu PATH]
//
// Started by the engine's main() before it has threads, with one end of a SOCK_SEQPACKET pair; ends
// when the other end closes, on SIGTERM, and takes every VMM with it. People never type it.

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "base/text.h"
#include "host/jail/program/cage.h"
#include "host/jail/program/server.h"

namespace {

constexpr int kUsage = 2;

int Usage(const char* what) {
  std::fprintf(stderr,
               "neurovisor-jail: %s\n"
               "usage: neurovisor-jail --socket-fd N [--qemu ABSOLUTE-PATH]\n"
               "It is started by neurovisor-engine, not by hand.\n",
               what);
  return kUsage;
}

bool IsSeqpacket(int fd) {
  int type = 0;
  socklen_t length = sizeof type;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_SEQPACKET;
}

}  // namespace

int main(int argc, char** argv) {
  nv::host::jail::ServerOptions options;
  int socket = -1;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (i + 1 >= argc) return Usage("a flag has no value");
    const std::string value = argv[i + 1];
    if (flag == "--socket-fd") {
      const auto number = nv::base::ParseUint(value);
      if (!number || *number < 3 || *number > 63) return Usage("--socket-fd accepts 3 to 63");
      socket = static_cast<int>(*number);
    } else if (flag == "--qemu") {
      if (!value.starts_with('/')) return Usage("--qemu accepts an absolute path");
      options.qemu_path = value;
    } else {
      return Usage("unknown flag; accepted: --socket-fd, --qemu");
    }
  }
  if (socket < 0) return Usage("--socket-fd is missing");
  if (!IsSeqpacket(socket)) return Usage("--socket-fd is not a SOCK_SEQPACKET socket");

  // Whatever the parent forgot: a descriptor kept here could keep a dead engine's socket open.
  for (int fd = 0; fd < 3; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0) return 1;
  }
  if (socket > 3) ::syscall(SYS_close_range, 3, socket - 1, 0);
  ::syscall(SYS_close_range, socket + 1, ~0u, 0);
  ::fcntl(socket, F_SETFD, FD_CLOEXEC);
  options.socket.Reset(socket);

  auto server = nv::host::jail::Server::Create(std::move(options));
  if (!server) {
    std::fprintf(stderr, "neurovisor-jail: %s\n", server.error().message().c_str());
    return 1;
  }
  if (const char* failed = nv::host::jail::ReduceOwnPrivileges()) {
    std::perror(("neurovisor-jail: " + std::string(failed)).c_str());
    return 1;
  }
  (*server)->Run();
  return 0;
}
