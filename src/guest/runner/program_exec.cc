#include "guest/runner/program_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace nv::guest::runner {
namespace {

constexpr rlim_t kMiB = 1024 * 1024;

// The hard limits are low because no program that we know needs more; whatever it forks inherits.
struct Limit {
  __rlimit_resource resource;
  rlimit value;
};
constexpr Limit kLimits[] = {
    {RLIMIT_CORE, {0, 0}},          {RLIMIT_NPROC, {kMaxProcesses, kMaxProcesses}},
    {RLIMIT_NOFILE, {1024, 4096}},  {RLIMIT_STACK, {8 * kMiB, RLIM_INFINITY}},
    {RLIMIT_MEMLOCK, {kMiB, kMiB}}, {RLIMIT_MSGQUEUE, {kMiB, kMiB}},
    {RLIMIT_RTPRIO, {0, 0}},        {RLIMIT_NICE, {0, 0}},
};

// Shared with the child, whose memory is ours until exec.
struct Failure {
  const char* volatile step = nullptr;
  volatile int error_number = 0;
};

bool DropPrivileges(const ExecPlan& plan, Failure& failure) {
  failure.step = "drop the bounding set";
  for (unsigned long capability = 0; capability <= 63; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
      if (errno == EINVAL) break;  // past the kernel's last capability
      return false;
    }
  }
  // Raw system calls: glibc's wrappers would also tell threads, which a vfork child must not.
  failure.step = "setgroups";
  if (syscall(SYS_setgroups, 0, nullptr) != 0) return false;
  failure.step = "setresgid";
  if (syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid) != 0) return false;
  failure.step = "setresuid";
  if (syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid) != 0) return false;
  failure.step = "capset";
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const __user_cap_data_struct none[2] = {};
  return syscall(SYS_capset, &header, none) == 0;
}

// The agent and the reaper are exempt from the OOM killer (-1000); a program is its first choice.
// Lowering the score again would need a capability that the program does not have.
void OfferToOomKiller() {
  const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;  // no such file in some sandboxes
  if (write(fd, "500", 3) < 0) errno = 0;
  close(fd);
}

bool Prepare(const ExecPlan& plan, Failure& failure) {
  failure.step = "setsid";
  if (setsid() < 0) return false;
  failure.step = "dup2";
  for (int fd = 0; fd < 3; ++fd) {
    if (dup2(plan.fds[static_cast<std::size_t>(fd)], fd) < 0) return false;
  }
  failure.step = "fchdir";
  if (fchdir(plan.work_dir) != 0) return false;
  umask(022);
  OfferToOomKiller();
  failure.step = "setrlimit";
  for (const Limit& limit : kLimits) {
    // Where the hard limit is lower already (a container), it stays: raising needs a capability.
    rlimit value{};
    if (getrlimit(limit.resource, &value) != 0) return false;
    value.rlim_max = limit.value.rlim_max < value.rlim_max ? limit.value.rlim_max : value.rlim_max;
    value.rlim_cur = limit.value.rlim_cur < value.rlim_max ? limit.value.rlim_cur : value.rlim_max;
    if (setrlimit(limit.resource, &value) != 0) return false;
  }
  if (plan.change_user && !DropPrivileges(plan, failure)) return false;
  failure.step = "no_new_privs";
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;

  // exec keeps "ignored" and the mask: the program starts with neither.
  for (int number = 1; number < _NSIG; ++number) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  failure.step = "close_range";
  return close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
}

struct Child {
  const ExecPlan& plan;
  Failure& failure;
};

int ChildMain(void* argument) {
  const Child& child = *static_cast<Child*>(argument);
  if (Prepare(child.plan, child.failure)) {
    child.failure.step = "exec";
    execve(child.plan.argv[0], child.plan.argv, child.plan.envp);
  }
  child.failure.error_number = errno;
  _exit(127);
}

}  // namespace

ExecResult SpawnProgram(const ExecPlan& plan) {
  Failure failure;
  Child child{.plan = plan, .failure = failure};
  // As posix_spawn does it: common memory, a stack of its own, and this thread waits until the
  // child has exec'ed or ended.
  constexpr std::size_t kStackBytes = 64 * 1024;
  alignas(16) static char stack[kStackBytes];
  const pid_t pid = clone(ChildMain, stack + kStackBytes, CLONE_VM | CLONE_VFORK | SIGCHLD, &child);
  if (pid < 0) return {.failed_step = "fork", .error_number = errno};
  if (failure.error_number == 0) return {.pid = pid};
  waitpid(pid, nullptr, 0);
  return {.failed_step = failure.step, .error_number = failure.error_number};
}

}  // namespace nv::guest::runner
