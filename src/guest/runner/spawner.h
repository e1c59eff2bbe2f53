// Spawner: the one process that forks. It is forked itself before the agent has threads, and stays
// single-threaded: fork in a process full of gRPC's threads is not safe.
//
// Made in main; MakeCell may be called from any thread. See cell_protocol.h for who talks to whom.

#pragma once

#include <sys/types.h>

#include <memory>
#include <mutex>

#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/runner/cell_protocol.h"

namespace nv::guest::runner {

class Spawner {
 public:
  // Forks. The caller has no threads yet. The child keeps descriptors 0, 1, 2 and its socket.
  [[nodiscard]] static base::Result<std::unique_ptr<Spawner>> Start();
  // Ends the process, and with it all cells (each reaper dies with its parent).
  ~Spawner();

  [[nodiscard]] pid_t pid() const { return pid_; }

  // Asks for a cell; returns our end of its control socket at once. Success or failure comes there
  // (kCreated and kReady in either order, or kFailed). cgroup_fd: a directory to be born into, or
  // -1.
  [[nodiscard]] base::Result<base::UniqueFd> Make(MakeCell request, int cgroup_fd);

 private:
  Spawner(pid_t pid, base::UniqueFd socket) : pid_(pid), socket_(std::move(socket)) {}

  const pid_t pid_;
  std::mutex mutex_;
  base::UniqueFd socket_;
};

}  // namespace nv::guest::runner
