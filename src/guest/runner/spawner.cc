#include "guest/runner/spawner.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/io.h"
#include "guest/runner/reaper.h"

namespace nv::guest::runner {
namespace {

// Like fork, with namespaces, cgroup and pidfd in one step (clone3(2), Linux 5.7).
pid_t CloneReaper(const MakeCell& request, int cgroup_fd, int& pidfd) {
  clone_args arguments{};
  arguments.flags = CLONE_PIDFD;
  if (request.namespaces) arguments.flags |= CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC;
  arguments.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  if (request.has_cgroup) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<std::uint64_t>(cgroup_fd);
  }
  return static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof(arguments)));
}

void MakeOneCell(int agent_socket, const MakeCell& request, std::vector<base::UniqueFd> fds) {
  if (fds.size() != (request.has_cgroup ? 2U : 1U)) return;
  base::UniqueFd control = std::move(fds[0]);
  base::UniqueFd cgroup = request.has_cgroup ? std::move(fds[1]) : base::UniqueFd();

  int pidfd = -1;
  const pid_t pid = CloneReaper(request, cgroup.get(), pidfd);
  if (pid == 0) {
    close(agent_socket);
    cgroup.Reset();
    RunReaper(request, std::move(control));
  }
  Event event{.monotonic_ns = MonotonicNs()};
  if (pid < 0) {
    event.kind = EventKind::kFailed;
    event.error_number = errno;
    SetWhat(event, "clone3");
    static_cast<void>(Send(control.get(), event));  // nobody left to tell when this fails
    return;
  }
  const base::UniqueFd owned_pidfd(pidfd);
  event.kind = EventKind::kCreated;
  static_cast<void>(Send(control.get(), event, std::array{pidfd}));
}

[[noreturn]] void SpawnerMain(int agent_socket) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, "nv-spawner");
  // Reapers need no wait: their pidfd tells the agent that they ended. SIGCHLD ignored frees them.
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    MakeCell request;
    auto fds = Receive(agent_socket, request);
    if (!fds) _exit(0);  // the agent is gone
    MakeOneCell(agent_socket, request, std::move(*fds));
  }
}

}  // namespace

base::Result<std::unique_ptr<Spawner>> Spawner::Start() {
  auto pair = base::MakeSocketPair(SOCK_SEQPACKET);
  if (!pair) return base::Fail(std::move(pair.error()).WithContext("spawner"));
  const pid_t pid = fork();
  if (pid < 0) return base::FailErrno("fork the spawner");
  if (pid == 0) {
    const int kept = 3;
    if (dup3(pair->second.get(), kept, O_CLOEXEC) < 0 && pair->second.get() != kept) _exit(1);
    // Nothing of the agent's (a listening socket, say) may live on in reapers.
    close_range(kept + 1, ~0U, 0);
    SpawnerMain(kept);
  }
  return std::unique_ptr<Spawner>(new Spawner(pid, std::move(pair->first)));
}

Spawner::~Spawner() {
  socket_.Reset();
  kill(pid_, SIGKILL);
  // PID 1 reaps in a thread of its own; whoever comes second gets ECHILD.
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

base::Result<base::UniqueFd> Spawner::Make(MakeCell request, int cgroup_fd) {
  auto pair = base::MakeSocketPair(SOCK_SEQPACKET);
  if (!pair) return base::Fail(std::move(pair.error()).WithContext("make a cell"));
  request.has_cgroup = cgroup_fd >= 0;
  const std::array fds{pair->second.get(), cgroup_fd};
  const std::lock_guard lock(mutex_);
  const auto sent = Send(socket_.get(), request, std::span(fds).first(request.has_cgroup ? 2 : 1));
  if (!sent) return base::Fail(base::Error(sent.error()).WithContext("ask the spawner"));
  return std::move(pair->first);
}

}  // namespace nv::guest::runner
