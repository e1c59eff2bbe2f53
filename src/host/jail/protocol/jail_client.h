// JailClient: the engine's end of the jail socket. Any thread; one reader thread inside sorts
// replies and exits.
//
// Launch() must run before the engine has threads; the client takes over after. The jail's death
// ends every child (parent-death signal) and fails every later call with kUnavailable.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/child_process.h"
#include "base/io.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "host/jail/protocol/messages.h"

namespace nv::host::jail {

struct LaunchOptions {
  std::string jail_path;  // neurovisor-jail
  std::string qemu_path;  // empty: this jail starts no QEMU
};

// The jail's process and our end of its socket. The socket must be closed (JailClient destroyed)
// before the process: a caller that dropped its root cannot signal the jail, only close it.
struct Launched {
  base::ChildProcess process;
  base::UniqueFd socket;
};
[[nodiscard]] base::Result<Launched> Launch(const LaunchOptions& options);

struct StartOptions {
  ProgramKind program = ProgramKind::kQemu;
  std::uint32_t flags = 0;
  Limits limits{};
  std::vector<std::string> arguments;    // argv[1..]
  std::vector<std::pair<int, int>> fds;  // (ours, number in the program); borrowed during the call
};

// A running (or ended) program of the jail. Destruction kills it.
class JailedProcess {
 public:
  virtual ~JailedProcess() = default;
  [[nodiscard]] virtual int pidfd() const = 0;          // readable when it has ended
  [[nodiscard]] virtual std::uint32_t pid() const = 0;  // for people
  [[nodiscard]] virtual std::uint32_t uid() const = 0;
  virtual void Kill() = 0;  // SIGKILL, asynchronous, idempotent
  // The exit once the jail reported it; nullopt at the deadline. If the jail died: signal 9 is
  // reported.
  [[nodiscard]] virtual std::optional<base::ExitStatus> WaitExit(base::Deadline deadline) = 0;
};

class JailClient {
 public:
  // Takes the socket, checks the version, starts the reader thread.
  [[nodiscard]] static base::Result<std::unique_ptr<JailClient>> Connect(base::UniqueFd socket);
  // Closes the socket: the jail kills everything and exits.
  virtual ~JailClient() = default;

  // kInvalidArgument past the bounds of messages.h; kUnavailable when the jail is gone; otherwise
  // the jail's stage and errno.
  [[nodiscard]] virtual base::Result<std::unique_ptr<JailedProcess>> Start(
      const StartOptions& options, base::Deadline deadline) = 0;
  struct Vsock {
    base::UniqueFd vhost;
    std::uint32_t cid;
  };
  // kNotFound when this host has no /dev/vhost-vsock.
  [[nodiscard]] virtual base::Result<Vsock> OpenVsock(base::Deadline deadline) = 0;
  // True when the jail is root: each program runs under a uid that nothing else has.
  [[nodiscard]] virtual bool gives_own_uids() const = 0;
  // Readable when the jail is gone.
  [[nodiscard]] virtual int closed_fd() const = 0;
};

}  // namespace nv::host::jail
