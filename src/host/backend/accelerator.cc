#include "host/backend/accelerator.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include <fmt/format.h>

#include "base/io.h"

namespace nv::host::backend {
namespace {

constexpr std::size_t kMaxCpuinfoBytes = 4u << 20;

bool CpuVirtualizes(const std::string& root) {
  auto text = base::ReadFile(root + "/proc/cpuinfo", kMaxCpuinfoBytes);
  if (!text) return false;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      if (word == "vmx" || word == "svm") return true;
    }
    return false;  // every core shows the same flags
  }
  return false;
}

}  // namespace

base::Result<AcceleratorRequest> ParseAccelerator(std::string_view name) {
  if (name == "auto" || name.empty()) return AcceleratorRequest::kAuto;
  if (name == "kvm") return AcceleratorRequest::kKvm;
  if (name == "tcg") return AcceleratorRequest::kTcg;
  return base::Fail(base::Code::kInvalidArgument,
                    fmt::format("--accel '{}' is not known; accepted: auto, kvm, tcg", name));
}

std::string KvmFacts::Reason() const {
  if (access == KvmAccess::kAbsent) return "there is no /dev/kvm";
  if (access == KvmAccess::kRefused) {
    return fmt::format("/dev/kvm cannot be opened: {}", std::strerror(open_error));
  }
  if (!cpu_virtualizes) {
    // Also with kRootOnly: a group would not help.
    return "/dev/kvm opens, but the CPU shows neither vmx nor svm: it runs only specially built "
           "kernels";
  }
  if (access == KvmAccess::kRootOnly) {
    return "/dev/kvm is open to no group but root's, and VMMs run under uids of their own";
  }
  return "/dev/kvm opens and the CPU has hardware virtualization";
}

KvmFacts FindKvm(VmmUid uid, const std::string& root) {
  const std::string path = root + "/dev/kvm";
  KvmFacts facts;
  facts.cpu_virtualizes = CpuVirtualizes(root);
  const base::UniqueFd device(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (device.valid()) {
    facts.access = KvmAccess::kOpens;
  } else {
    facts.open_error = errno;
    facts.access = errno == ENOENT || errno == ENXIO || errno == ENODEV ? KvmAccess::kAbsent
                                                                        : KvmAccess::kRefused;
  }
  struct stat mode {};
  const bool by_mode = facts.access == KvmAccess::kOpens || facts.open_error == EACCES;
  if (uid == VmmUid::kOwn && by_mode && ::stat(path.c_str(), &mode) == 0) {
    // The jail's own rule (program/server.cc), so that no start is tried that it would refuse.
    const bool by_all = (mode.st_mode & 06) == 06;
    const bool by_group = (mode.st_mode & 060) == 060 && mode.st_gid != 0;
    facts.access = by_all || by_group ? KvmAccess::kOpens : KvmAccess::kRootOnly;
  }
  return facts;
}

VmmUid VmmUidOfThisUser() { return ::geteuid() == 0 ? VmmUid::kOwn : VmmUid::kCallers; }

base::Result<AcceleratorChoice> ChooseAccelerator(AcceleratorRequest request,
                                                  const KvmFacts& facts) {
  if (request == AcceleratorRequest::kTcg) {
    return AcceleratorChoice{Accelerator::kTcg, "asked for"};
  }
  if (facts.usable()) return AcceleratorChoice{Accelerator::kKvm, facts.Reason()};
  if (request == AcceleratorRequest::kKvm) {
    return base::Fail(base::Error(base::Code::kFailedPrecondition,
                                  fmt::format("--accel kvm: KVM is not usable: {}", facts.Reason()))
                          .WithRemedy("use --accel auto or tcg; 'neurovisor doctor' says more"));
  }
  return AcceleratorChoice{Accelerator::kTcg, facts.Reason()};
}

}  // namespace nv::host::backend
