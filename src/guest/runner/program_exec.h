// From the reaper to the user's program: session, descriptors, limits, user, capabilities, exec.
//
// Called by the reaper alone. The child is a vfork (copying even a small address space is dear
// under emulation), so between vfork and exec there are only system calls.
//
// TRUST: what is believed ends here. The program gets uid and gid 1000, no supplementary group, no
// capability in any set, no_new_privs, and the three descriptors of the plan.

#pragma once

#include <sys/types.h>

#include <array>

namespace nv::guest::runner {

// Borrowed for the call.
struct ExecPlan {
  char* const* argv = nullptr;  // argv[0] is the path of the program
  char* const* envp = nullptr;
  std::array<int, 3> fds{};  // become 0, 1, 2; each above 2
  int work_dir = -1;
  bool change_user = false;
  uid_t uid = 0;
  gid_t gid = 0;
};

struct ExecResult {
  pid_t pid = -1;
  const char* failed_step = nullptr;  // when pid < 0
  int error_number = 0;
};

// Blocks until the program is exec'ed or has failed to be (then it is reaped already).
[[nodiscard]] ExecResult SpawnProgram(const ExecPlan& plan);

// Processes and threads of user code (all cells together: RLIMIT_NPROC counts by user).
inline constexpr unsigned kMaxProcesses = 512;

}  // namespace nv::guest::runner
