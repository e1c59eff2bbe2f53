// What this machine offers to the backends, as rows for doctor and the start-up lines.
//
// Called by doctor. Runs `qemu --version` (about 20 ms), so never on the way of a run. `root` is ""
// or a fake tree in tests.

#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "host/backend/accelerator.h"
#include "host/backend/backend.h"

namespace nv::host::backend {

// The QEMU to start: NEUROVISOR_QEMU when set (an absolute path), else qemu-system-x86_64 from
// PATH. kNotFound with the package to install.
[[nodiscard]] base::Result<std::string> FindQemu();
// First line of `qemu --version`, reduced to the number and package: "7.2.22 (Debian
// 1:7.2+dfsg-7+deb12u18)".
[[nodiscard]] base::Result<std::string> QemuVersion(const std::string& qemu_path);
// Oldest version whose options the command line uses.
inline constexpr int kOldestQemuMajor = 7;

[[nodiscard]] ProbeRow ProbeKvm(const KvmFacts& facts);
[[nodiscard]] ProbeRow ProbeQemu();
[[nodiscard]] ProbeRow ProbeVhostVsock(const std::string& root = "");

}  // namespace nv::host::backend
