// Cell: the agent's handle of what one run lives in. Made before the program is known, runs one
// program at a time, and takes every process with it when it is dropped.
//
// Owned by one run, used from that run's thread.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/runner/cell_protocol.h"
#include "guest/runner/cgroup.h"
#include "guest/runner/spawner.h"

namespace nv::guest::runner {

struct CellOptions {
  MakeCell shape;
  CgroupLimits limits;
  // No namespaces: the working directory is made here under this name and removed at the end.
  bool owns_work_directory = false;
};

struct ProgramStart {
  std::vector<std::string> argv;         // argv[0] is a path
  std::vector<std::string> environment;  // "K=V", exact
  int stdin_fd = -1;                     // borrowed; each above 2
  int stdout_fd = -1;
  int stderr_fd = -1;
};

class Cell {
 public:
  // Blocks until the cell stands (milliseconds; at most 10 s). kUnavailable or kResourceExhausted
  // with the step that failed.
  [[nodiscard]] static base::Result<std::unique_ptr<Cell>> Create(Spawner& spawner,
                                                                  const CgroupTree& cgroups,
                                                                  const std::string& name,
                                                                  const CellOptions& options);
  // Kills everything and waits for the end (at most 5 s: a process in an uninterruptible wait).
  ~Cell();
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  // Writes a file of the program's user into the working directory; `name` has no slash.
  [[nodiscard]] base::Status WriteFile(const std::string& name, std::string_view bytes);

  // Asks the reaper to start a program. kStarted or kNotStarted follows, later kExited and kEmpty.
  [[nodiscard]] base::Status Start(const ProgramStart& program);

  // Readable when there is an event, or when the reaper is gone.
  [[nodiscard]] int event_fd() const { return control_.get(); }
  // The next event without waiting; nullopt when there is none; an error when the reaper is gone.
  [[nodiscard]] base::Result<std::optional<Event>> NextEvent();

  // Asks the reaper to kill every process; kExited and kEmpty follow.
  void KillAll();
  // Kills the reaper and so, by the kernel, all: for a reaper that does not answer.
  void KillHard();

  // Null when this guest has none.
  [[nodiscard]] const Cgroup* cgroup() const { return cgroup_.get(); }
  [[nodiscard]] const std::string& work_path() const { return work_path_; }

 private:
  Cell() = default;
  [[nodiscard]] base::Status AwaitReady();

  std::unique_ptr<Cgroup> cgroup_;
  base::UniqueFd control_;
  base::UniqueFd pidfd_;
  base::UniqueFd work_dir_;
  std::string work_path_;
  std::string own_directory_;  // to remove at the end, or empty
  std::uint32_t uid_ = 0;
  std::uint32_t gid_ = 0;
  bool change_user_ = false;
};

}  // namespace nv::guest::runner
