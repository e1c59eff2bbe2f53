// Which accelerator a VMM may use on this machine, and why.
//
// "Usable KVM" is decided, not assumed: /dev/kvm opens AND the CPU flags show vmx or svm. On some
// clouds the device exists and runs only specially built (paravirtual) kernels: that is degraded,
// and an ordinary guest must never be tried on it. Called by the backends' Create and by doctor.
// `root` is "" or a fake tree in tests.

#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "host/backend/backend.h"

namespace nv::host::backend {

enum class AcceleratorRequest { kAuto, kKvm, kTcg };
// "auto", "kvm", "tcg"; kInvalidArgument names the accepted values.
[[nodiscard]] base::Result<AcceleratorRequest> ParseAccelerator(std::string_view name);

// Who will open the device: a VMM under the caller's own uid, or one to which a root jail gives a
// uid of its own and no group but the device's.
enum class VmmUid { kCallers, kOwn };

// kRootOnly: the device opens here, but not under a uid of its own (mode, or group 0, which the
// jail never hands out).
enum class KvmAccess { kOpens, kAbsent, kRefused, kRootOnly };

struct KvmFacts {
  KvmAccess access = KvmAccess::kAbsent;
  bool cpu_virtualizes = false;  // vmx or svm among the CPU's flags
  int open_error = 0;            // errno of the open
  [[nodiscard]] bool usable() const { return access == KvmAccess::kOpens && cpu_virtualizes; }
  // One phrase: "/dev/kvm opens and the CPU has svm", "the CPU shows neither vmx nor svm; ...".
  [[nodiscard]] std::string Reason() const;
};
// As root the VMMs will have uids of their own (for doctor).
[[nodiscard]] VmmUid VmmUidOfThisUser();
// With VmmUid::kOwn the device's mode decides and not an open(2): the engine may have stepped down
// from root already, and then may open less than its VMMs may.
[[nodiscard]] KvmFacts FindKvm(VmmUid uid = VmmUidOfThisUser(), const std::string& root = "");

struct AcceleratorChoice {
  Accelerator accelerator;
  std::string reason;
};
// kFailedPrecondition when KVM was asked for and is not usable.
[[nodiscard]] base::Result<AcceleratorChoice> ChooseAccelerator(AcceleratorRequest request,
                                                                const KvmFacts& facts);

}  // namespace nv::host::backend
