// Cage: one child process, from clone3 to execveat, with everything taken away that a VMM does not
// need.
//
// Called by the server for a checked request. The child runs with exactly the descriptors and
// arguments given, an empty environment, and no way back to privilege. A step that fails ends the
// start: a VMM never runs with half a cage.
//
// The order is forced by the kernel; cage.cc says why at each step.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/unique_fd.h"
#include "host/jail/protocol/messages.h"

namespace nv::host::jail {

struct FdPlacement {
  int ours;
  int number;  // 0..kMaxFdNumber
};

// All pointers are borrowed during the call.
struct CageOptions {
  const char* program;      // path, opened by the jail
  const char* const* argv;  // argv[0] included, ends with nullptr
  std::span<const FdPlacement> fds;
  Limits limits;
  std::optional<std::uint32_t> uid;          // and gid; nullopt: the caller's stay
  std::optional<std::uint32_t> extra_group;  // only with uid
};

struct Caged {
  pid_t pid = -1;
  base::UniqueFd pidfd;
  // When pid is -1: the step that failed (a constant text) and its errno.
  const char* stage = "";
  int error_number = 0;
};

// Returns when the program has been executed, or has failed to be (the child is then reaped).
// Blocks about 1 ms: nothing in between waits for anybody.
[[nodiscard]] Caged StartCaged(const CageOptions& options);

// Takes from the jail itself what it never needs: it keeps changing uids, gids and bounding sets,
// and killing. As another user than root: no-new-privs only. Returns the failed step or nullptr.
[[nodiscard]] const char* ReduceOwnPrivileges();

}  // namespace nv::host::jail
