#include "host/engine/doctor/kernel_facts.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/io.h"
#include "base/text.h"

namespace nv::host::engine {
namespace {

using backend::ProbeRow;
using State = backend::ProbeRow::State;

constexpr std::size_t kMaxFactBytes = 1 << 20;  // proc/mounts of a busy container host is large
constexpr std::size_t kMaxShown = 200;          // characters of a kernel's text in one row

// linux/landlock.h of Debian 12; spelled out because older headers lack it.
constexpr unsigned kLandlockVersionFlag = 1;

std::optional<std::string> ReadFact(const std::string& path) {
  base::Result<std::string> text = base::ReadFile(path, kMaxFactBytes);
  if (!text) return std::nullopt;
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *std::move(text);
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> words;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, separator);) {
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

bool Has(const std::vector<std::string>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

struct CgroupMounts {
  std::string v2;           // where cgroup v2 is mounted, or empty
  bool v1_present = false;  // some controllers sit in version 1
};

CgroupMounts FindCgroupMounts(const std::string& mounts) {
  CgroupMounts found;
  for (const std::string& line : Split(mounts, '\n')) {
    const std::vector<std::string> fields = Split(line, ' ');
    if (fields.size() < 3) continue;
    if (fields[2] == "cgroup2" && found.v2.empty()) found.v2 = fields[1];
    if (fields[2] == "cgroup") found.v1_present = true;
  }
  return found;
}

}  // namespace

ProbeRow ProbeCgroups(const std::string& root) {
  ProbeRow row;
  row.name = "cgroups";
  const CgroupMounts mounts = FindCgroupMounts(ReadFact(root + "/proc/mounts").value_or(""));
  if (mounts.v2.empty()) {
    row.state = mounts.v1_present ? State::kDegraded : State::kMissing;
    row.reason = mounts.v1_present ? "version 1 alone: no per-VM limits of CPU, memory, processes"
                                   : "no cgroup file system is mounted";
    row.remedy = "boot with systemd.unified_cgroup_hierarchy=1";
    return row;
  }
  const std::vector<std::string> controllers =
      Split(ReadFact(root + mounts.v2 + "/cgroup.controllers").value_or(""), ' ');
  std::vector<std::string_view> lacking;
  for (std::string_view wanted : {"cpu", "memory", "pids", "io"}) {
    if (!Has(controllers, wanted)) lacking.push_back(wanted);
  }
  if (lacking.empty()) {
    row.state = State::kOk;
    row.reason = fmt::format("version 2 with {}", fmt::join(controllers, ", "));
    return row;
  }
  row.state = State::kDegraded;
  row.reason = fmt::format("version 2 without {}{}", fmt::join(lacking, ", "),
                           mounts.v1_present ? " (version 1 holds controllers)" : "");
  row.remedy = mounts.v1_present ? "boot with systemd.unified_cgroup_hierarchy=1"
                                 : "delegate the controllers to this cgroup";
  return row;
}

ProbeRow ProbeSecurityModules(const std::string& root) {
  ProbeRow row;
  row.name = "lsm";
  const std::optional<std::string> list = ReadFact(root + "/sys/kernel/security/lsm");
  if (!list) {
    row.state = State::kDegraded;
    row.reason = "the list of security modules cannot be read (securityfs is not mounted here)";
    row.remedy = "mount -t securityfs securityfs /sys/kernel/security";
    return row;
  }
  const std::vector<std::string> modules = Split(*list, ',');
  row.reason = base::EscapeForTerminal(fmt::format("{}", fmt::join(modules, ", ")), kMaxShown);
  row.state = Has(modules, "bpf") ? State::kOk : State::kDegraded;
  if (row.state != State::kOk) {
    row.reason += ": no bpf";
    row.remedy = "boot with lsm=<this list>,bpf";
  }
  return row;
}

int LandlockAbi() {
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kLandlockVersionFlag);
  return abi < 0 ? -errno : static_cast<int>(abi);
}

ProbeRow ProbeLandlock(int abi_or_error) {
  ProbeRow row;
  row.name = "landlock";
  if (abi_or_error > 0) {
    row.state = State::kOk;
    row.reason = fmt::format("ABI {}", abi_or_error);
    return row;
  }
  row.state = State::kMissing;
  row.reason = -abi_or_error == EOPNOTSUPP ? "built into the kernel, but not switched on"
                                           : std::strerror(-abi_or_error);
  row.remedy = -abi_or_error == EOPNOTSUPP
                   ? "boot with lsm=landlock,<what is there now>"
                   : "a kernel of 5.13 or newer with CONFIG_SECURITY_LANDLOCK";
  return row;
}

ProbeRow ProbeUserNamespaces(const std::string& root, uid_t user) {
  ProbeRow row;
  row.name = "user-namespaces";
  const std::optional<std::string> most = ReadFact(root + "/proc/sys/user/max_user_namespaces");
  // Debian's own switch; absent on other kernels.
  const std::string debian =
      ReadFact(root + "/proc/sys/kernel/unprivileged_userns_clone").value_or("1");
  if (most && *most != "0" && debian != "0") {
    row.state = State::kOk;
    row.reason = "available";
    return row;
  }
  row.state = State::kDegraded;
  const std::string_view who =
      user == 0 ? " (root builds images without them)" : ": this user cannot build images";
  if (!most) {
    row.reason = fmt::format("this kernel has none{}", who);
    row.remedy = user == 0 ? "" : "build images as root";
  } else if (*most == "0") {
    row.reason = fmt::format("user.max_user_namespaces is 0{}", who);
    row.remedy = "sysctl user.max_user_namespaces=15000";
  } else {
    row.reason = fmt::format("kernel.unprivileged_userns_clone is 0{}", who);
    row.remedy = "sysctl kernel.unprivileged_userns_clone=1";
  }
  return row;
}

ProbeRow ProbePrivileges(uid_t user) {
  ProbeRow row;
  row.name = "privileges";
  if (user == 0) {
    row.state = State::kOk;
    row.reason = "root: every VM runs under a uid of its own, the engine under an unprivileged one";
    return row;
  }
  row.state = State::kDegraded;
  row.reason = fmt::format(
      "uid {}: VMs run under this uid, so one that breaks out can touch your files", user);
  row.remedy = "run as root: NeuroVisor then gives each VM its own uid";
  return row;
}

ProbeRow ProbeVsockDevice(const std::string& root) {
  ProbeRow row;
  row.name = "vsock";
  const std::string path = root + "/dev/vsock";
  if (::access(path.c_str(), F_OK) == 0) {
    row.state = State::kOk;
    row.reason = "/dev/vsock is there";
    return row;
  }
  row.state = State::kDegraded;
  row.reason = "no /dev/vsock: guests are reached over a virtio serial port";
  row.remedy = "modprobe vhost_vsock";
  return row;
}

}  // namespace nv::host::engine
