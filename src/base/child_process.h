// ChildProcess: a helper program that the host runs and waits for (mmdebstrap, mkfs.erofs, the
// jail, the engine).
//
// Called by the image builder, the client (private engine) and the engine's main (jail).
// posix_spawn underneath: safe in a process with threads. VMMs are never started from here; that is
// the jail's work.

#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/io.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::base {

// How a process ended.
struct ExitStatus {
  int exit_code = 0;  // when signal == 0
  int signal = 0;     // number of the killing signal, or 0
  [[nodiscard]] bool ok() const { return exit_code == 0 && signal == 0; }
  // "exit status 2" or "killed by signal 9 (SIGKILL)".
  [[nodiscard]] std::string Describe() const;
};
// From a wait status (waitpid(2)).
[[nodiscard]] ExitStatus ExitStatusFromWait(int wait_status);

struct SpawnOptions {
  std::vector<std::string> argv;         // argv[0] is a path, or a name looked up in PATH
  std::vector<std::string> environment;  // "K=V"; exact, nothing is inherited
  std::vector<std::pair<int, int>> fds;  // (ours, number in the child); all others are closed
  std::string working_directory;         // empty: ours
  bool new_session = false;              // setsid(2): no terminal signals reach it
};

class ChildProcess {
 public:
  // Starts the program with all signals at their defaults and none blocked. Descriptors 0, 1, 2
  // that `fds` does not name are /dev/null. kNotFound when there is no such program (or working
  // directory).
  [[nodiscard]] static Result<ChildProcess> Spawn(const SpawnOptions& options);

  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  // Kills (SIGKILL) and reaps a child that still runs.
  ~ChildProcess();

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Readable when the process has ended (pidfd_open(2)).
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  // Sends a signal by pidfd, never by a recycled number. Ended already: success.
  [[nodiscard]] Status Signal(int number);
  // Reaps. nullopt at the deadline (the process goes on).
  [[nodiscard]] Result<std::optional<ExitStatus>> Wait(Deadline deadline);

 private:
  void KillAndReap();
  ChildProcess(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  std::optional<ExitStatus> ended_;
};

// Runs a program to its end. stdout and stderr arrive line by line (without the newline, cut at 4
// KiB) on the caller's thread; stdin is /dev/null; 0, 1 and 2 that `fds` names stay the caller's.
// At the deadline, or when cancel_fd (or -1) becomes readable, the whole session gets SIGTERM,
// after 2 s SIGKILL, and kDeadlineExceeded or kCancelled is returned. Background children do not
// outlive the program. A non-zero exit is not an error here: look at the status.
[[nodiscard]] Result<ExitStatus> RunCommand(
    SpawnOptions options, const std::function<void(std::string_view line)>& on_line,
    Deadline deadline, int cancel_fd = -1);

// The environment of this process, reduced to PATH, HOME, LANG, TMPDIR, SOURCE_DATE_EPOCH and proxy
// variables.
[[nodiscard]] std::vector<std::string> HelperEnvironment();

}  // namespace nv::base
