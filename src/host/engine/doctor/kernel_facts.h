// What the host's kernel offers for a cage around a VMM: cgroups, LSMs, Landlock, namespaces, uids.
//
// Called by `neurovisor doctor`, once, on its only thread. Each probe gives one row and never
// fails: what cannot be read is a row that says so. Probes read under `root` ("" on a real
// machine), so that tests hand in fake trees.

#pragma once

#include <sys/types.h>

#include <string>

#include "host/backend/backend.h"

namespace nv::host::engine {

// cgroup v2 with cpu, memory, pids and io is ok; with fewer, or v1 alone, degraded (proc/mounts,
// cgroup.controllers).
[[nodiscard]] backend::ProbeRow ProbeCgroups(const std::string& root);

// The active security modules (sys/kernel/security/lsm). Degraded without bpf, or when the kernel
// does not show the list.
[[nodiscard]] backend::ProbeRow ProbeSecurityModules(const std::string& root);

// ABI number of landlock_create_ruleset(2) with LANDLOCK_CREATE_RULESET_VERSION, or -errno.
[[nodiscard]] int LandlockAbi();
[[nodiscard]] backend::ProbeRow ProbeLandlock(int abi_or_error);

// Whether an ordinary user may make user namespaces (proc/sys): an image build without root needs
// them.
[[nodiscard]] backend::ProbeRow ProbeUserNamespaces(const std::string& root, uid_t user);

// Root gives every VM a uid of its own; anyone else's VMs run under the caller's uid.
[[nodiscard]] backend::ProbeRow ProbePrivileges(uid_t user);

// AF_VSOCK on the host's side (dev/vsock).
[[nodiscard]] backend::ProbeRow ProbeVsockDevice(const std::string& root);

}  // namespace nv::host::engine
