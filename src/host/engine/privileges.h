// The engine's step down from root, taken in main's thread before any other exists.
//
// Called by the commands that start VMMs, after the jail was launched (it alone stays root) and
// before gRPC is touched. Without root nothing changes but no-new-privs.

#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace nv::host::engine {

// Owner of the engine when there is no user `neurovisor`: a number that no account and no VM has
// (VMs: 2000000-2000999).
inline constexpr uid_t kUnownedUid = 2001000;

// As root: no supplementary groups, group and user `neurovisor` (else kUnownedUid), no capability,
// none to be had back, no-new-privs. As anybody else: no-new-privs. An error means that nothing may
// be started: the process may be half way.
[[nodiscard]] base::Status DropPrivileges();

}  // namespace nv::host::engine
