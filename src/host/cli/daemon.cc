#include "host/cli/daemon.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <thread>

#include <fmt/format.h>

#include "base/io.h"
#include "base/text.h"

namespace nv::host::cli {
namespace {

constexpr std::size_t kMaxGroupFile = 1024 * 1024;
constexpr int kBusyTries = 40;
constexpr std::chrono::milliseconds kBusyPause{25};

// Not getgrgid: in a static program glibc would load NSS modules of the system at run time.
std::string GroupName(gid_t gid) {
  const auto groups = base::ReadFile("/etc/group", kMaxGroupFile);
  std::string_view rest = groups ? std::string_view(*groups) : std::string_view();
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const std::size_t name = line.find(':');
    if (name == std::string_view::npos) continue;
    const std::size_t password = line.find(':', name + 1);
    if (password == std::string_view::npos) continue;
    const std::string_view number =
        line.substr(password + 1, line.find(':', password + 1) - password - 1);
    const auto found = base::ParseUint(number);
    if (found && *found == gid) return std::string(line.substr(0, name));
  }
  return fmt::format("{}", gid);
}

// The group of what keeps us out: the socket, or the nearest directory above it that we can see.
std::string GroupOf(std::filesystem::path path) {
  for (; !path.empty(); path = path.parent_path()) {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) return GroupName(status.st_gid);
    if (path == path.parent_path()) break;
  }
  return "unknown";
}

// 0, or the errno of connect(2).
int Connect(const std::string& path, base::UniqueFd& connected) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  // Non-blocking: a full backlog is EAGAIN at once instead of a wait without a bound.
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return errno;
  for (int attempt = 0; attempt < kBusyTries; ++attempt) {
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      connected = std::move(fd);
      return 0;
    }
    if (errno != EAGAIN) return errno;
    std::this_thread::sleep_for(kBusyPause);
  }
  return EAGAIN;
}

}  // namespace

std::vector<std::string> DaemonSockets(
    const std::string& flag,
    const std::function<std::optional<std::string>(const std::string& name)>& environment) {
  std::vector<std::string> sockets;
  if (!flag.empty()) sockets.push_back(flag);
  if (auto own = environment("NEUROVISOR_SOCKET"); own && !own->empty()) sockets.push_back(*own);
  if (auto xdg = environment("XDG_RUNTIME_DIR"); xdg && xdg->starts_with('/')) {
    sockets.push_back(*xdg + "/neurovisor/api.sock");
  }
  sockets.emplace_back("/run/neurovisor/api.sock");
  return sockets;
}

base::Result<std::optional<base::UniqueFd>> ConnectToDaemon(
    const std::vector<std::string>& sockets,
    const std::function<void(const std::string& path, const std::string& reason)>& on_skipped) {
  for (const std::string& path : sockets) {
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
      return base::Fail(
          base::Error(base::Code::kInvalidArgument,
                      fmt::format("socket path '{}' has {} characters; the limit is {}", path,
                                  path.size(), sizeof(sockaddr_un::sun_path) - 1))
              .WithRemedy("give a shorter path with --socket, or --standalone"));
    }
    base::UniqueFd connected;
    const int reason = Connect(path, connected);
    switch (reason) {
      case 0:
        return std::optional(std::move(connected));
      case EACCES:
      case EPERM: {
        const std::string group = GroupOf(path);
        return base::Fail(
            base::Error(base::Code::kPermissionDenied,
                        fmt::format("no permission for the daemon's socket '{}': it is for group "
                                    "'{}'",
                                    path, group))
                .WithRemedy(fmt::format("sudo usermod -aG {} \"$USER\" and log in again, or "
                                        "--standalone to do without the daemon",
                                        group)));
      }
      case EAGAIN:
        return base::Fail(base::Error(base::Code::kUnavailable,
                                      fmt::format("the daemon at '{}' takes no connection", path))
                              .WithRemedy("try again, or --standalone"));
      default:
        on_skipped(path, std::strerror(reason));
    }
  }
  return std::nullopt;
}

}  // namespace nv::host::cli
