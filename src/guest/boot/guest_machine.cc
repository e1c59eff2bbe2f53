#include "guest/boot/guest_machine.h"

#include <fcntl.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/io.h"

namespace nv::guest::boot {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;

bool IsHostname(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.';
  };
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, allowed);
}

bool IsMachineId(std::string_view id) {
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return id.size() == 32 && std::ranges::all_of(id, hex);
}

}  // namespace

base::Result<bool> RealMachine::FeedEntropy(std::string_view bytes) {
  const auto device = base::OpenFile("/dev/urandom", O_WRONLY);
  if (!device) return base::Fail(base::Error(device.error()));
  std::vector<char> request(sizeof(rand_pool_info) + bytes.size());
  const int size = static_cast<int>(bytes.size());
  const rand_pool_info head{.entropy_count = size * 8, .buf_size = size};
  std::memcpy(request.data(), &head, sizeof(head));
  std::memcpy(request.data() + sizeof(head), bytes.data(), bytes.size());
  const bool added = ioctl(device->get(), RNDADDENTROPY, request.data()) == 0;
  explicit_bzero(request.data(), request.size());
  if (!added) return base::FailErrno("RNDADDENTROPY");
  if (ioctl(device->get(), RNDRESEEDCRNG) != 0) return base::FailErrno("RNDRESEEDCRNG");
  return true;
}

base::Result<bool> RealMachine::SetClock(std::int64_t unix_ns) {
  const timespec now{.tv_sec = unix_ns / kNsPerSecond, .tv_nsec = unix_ns % kNsPerSecond};
  if (clock_settime(CLOCK_REALTIME, &now) != 0) return base::FailErrno("clock_settime");
  return true;
}

base::Status RealMachine::SetNames(const std::string& hostname, const std::string& machine_id) {
  if (!hostname.empty()) {
    if (!IsHostname(hostname)) {
      return base::Fail(base::Code::kInvalidArgument, "hostname: not a host name");
    }
    if (sethostname(hostname.data(), hostname.size()) != 0) return base::FailErrno("sethostname");
    // Programs look their own host up; there is no name server to ask.
    const auto hosts = base::OpenFile("/etc/hosts", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (!hosts) return base::Fail(base::Error(hosts.error()));
    const std::string text = "127.0.0.1 localhost " + hostname + "\n::1 localhost\n";
    if (auto ok = base::WriteAll(hosts->get(), text); !ok) return ok;
  }
  if (!machine_id.empty()) {
    if (!IsMachineId(machine_id)) {
      return base::Fail(base::Code::kInvalidArgument, "machine_id: not 32 hex digits");
    }
    const auto file = base::OpenFile("/etc/machine-id", O_WRONLY | O_CREAT | O_TRUNC, 0444);
    if (!file) return base::Fail(base::Error(file.error()));
    if (auto ok = base::WriteAll(file->get(), machine_id + "\n"); !ok) return ok;
  }
  return {};
}

std::int64_t BoottimeNs() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

}  // namespace nv::guest::boot
