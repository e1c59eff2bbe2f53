#include "host/engine/doctor/room_facts.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "base/io.h"
#include "base/text.h"
#include "base/unique_fd.h"

namespace nv::host::engine {
namespace {

using backend::ProbeRow;
using State = backend::ProbeRow::State;

std::string InMebibytes(std::uint64_t bytes) {
  const std::uint64_t mebibytes = bytes >> 20;
  return mebibytes < 10 * 1024 ? fmt::format("{} MiB", mebibytes)
                               : fmt::format("{} GiB", mebibytes >> 10);
}

// "MemAvailable:   23456 kB" of meminfo, in bytes.
std::optional<std::uint64_t> MemAvailable(const std::string& meminfo) {
  constexpr std::string_view kKey = "MemAvailable:";
  const std::size_t at = meminfo.find(kKey);
  if (at == std::string::npos) return std::nullopt;
  const std::size_t begin = meminfo.find_first_not_of(' ', at + kKey.size());
  if (begin == std::string::npos) return std::nullopt;
  const std::size_t end = meminfo.find_first_not_of("0123456789", begin);
  const auto kibibytes = base::ParseUint(std::string_view(meminfo).substr(begin, end - begin));
  if (!kibibytes) return std::nullopt;
  return *kibibytes << 10;
}

}  // namespace

ProbeRow ProbeDisk(const std::string& directory) {
  ProbeRow row;
  row.name = "disk";
  std::string existing = directory;
  struct statvfs room {};
  while (::statvfs(existing.empty() ? "/" : existing.c_str(), &room) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) {
      row.reason = fmt::format("{}: {}", existing, std::strerror(errno));
      row.remedy = "set NEUROVISOR_DATA_DIR to a directory that you can write";
      return row;
    }
    const std::size_t slash = existing.rfind('/');
    existing.resize(slash == std::string::npos ? 0 : slash);
    if (existing.empty() && slash == std::string::npos) break;
  }
  const std::uint64_t free_bytes = std::uint64_t{room.f_bavail} * room.f_frsize;
  row.reason = fmt::format("{} free for {}", InMebibytes(free_bytes), directory);
  row.state = free_bytes >= kDiskForBuild ? State::kOk : State::kDegraded;
  if (row.state != State::kOk) {
    row.reason += fmt::format("; an image build needs {}", InMebibytes(kDiskForBuild));
    row.remedy = "free some space, or set NEUROVISOR_DATA_DIR to another disk";
  }
  return row;
}

ProbeRow ProbeMemory(const std::string& root) {
  ProbeRow row;
  row.name = "memory";
  const auto meminfo = base::ReadFile(root + "/proc/meminfo", 1 << 16);
  const auto available = meminfo ? MemAvailable(*meminfo) : std::nullopt;
  if (!available) {
    row.state = State::kDegraded;
    row.reason = "/proc/meminfo does not say how much is available";
    return row;
  }
  row.reason = fmt::format("{} available", InMebibytes(*available));
  if (*available >= kMemoryForMedium) {
    row.state = State::kOk;
  } else if (*available >= kMemoryForSmall) {
    row.state = State::kDegraded;
    row.reason += "; a medium VM wants " + InMebibytes(kMemoryForMedium);
    row.remedy = "run with --size small, or free memory";
  } else {
    row.state = State::kMissing;
    row.reason += "; even a small VM wants " + InMebibytes(kMemoryForSmall);
    row.remedy = "free memory";
  }
  return row;
}

ProbeRow ProbePort(std::string_view name, std::uint16_t port, std::string_view flag) {
  ProbeRow row;
  row.name = std::string(name);
  const base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // A daemon that listens sets this too: a connection in TIME_WAIT does not count as taken.
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd.valid() &&
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    row.state = State::kOk;
    row.reason = fmt::format("127.0.0.1:{} is free", port);
    return row;
  }
  row.state = State::kDegraded;
  row.reason = fmt::format("127.0.0.1:{}: {}; `run` does not need it, the daemon does", port,
                           std::strerror(errno));
  row.remedy =
      fmt::format("stop what listens there, or give the daemon another port with {}", flag);
  return row;
}

}  // namespace nv::host::engine
