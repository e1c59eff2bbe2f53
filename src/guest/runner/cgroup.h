// Cgroup: the control group (v2) of one cell: memory, processes, the count of OOM kills, and the
// kill of everything in it (Documentation/admin-guide/cgroup-v2.rst).
//
// CgroupTree belongs to the engine, one Cgroup to each cell. All access goes through a directory
// descriptor, so tests hand in a tree of plain files. What a kernel or sandbox lacks is declared,
// not fatal.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::guest::runner {

struct CgroupLimits {
  std::uint64_t memory_bytes = 0;  // 0: none
  std::uint32_t max_processes = 0;
};

class Cgroup {
 public:
  Cgroup(base::UniqueFd parent, std::string name, base::UniqueFd directory)
      : parent_(std::move(parent)), name_(std::move(name)), directory_(std::move(directory)) {}
  // Kills what is left and removes the directory (its processes must have been reaped for that).
  ~Cgroup();
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;

  [[nodiscard]] int directory() const { return directory_.get(); }
  void Kill() const;
  // Processes of this group that any OOM killer has killed; 0 when unknown.
  [[nodiscard]] std::uint64_t OomKills() const;
  // Of all its processes, ended ones included; 0 when unknown.
  [[nodiscard]] std::uint64_t CpuMicroseconds() const;

 private:
  base::UniqueFd parent_;
  std::string name_;
  base::UniqueFd directory_;
};

class CgroupTree {
 public:
  // Opens a cgroup v2 directory and gives its children the memory, pids and cpu controllers, as far
  // as it has them. The directory itself may hold processes only if it is the real root.
  [[nodiscard]] static base::Result<std::unique_ptr<CgroupTree>> Open(const std::string& path);
  // No directory: Make returns null, everything is lacking.
  [[nodiscard]] static std::unique_ptr<CgroupTree> None();

  // Null without a tree. The OOM killer takes the whole group at once (memory.oom.group).
  [[nodiscard]] base::Result<std::unique_ptr<Cgroup>> Make(const std::string& name,
                                                           const CgroupLimits& limits) const;
  // "cgroup_memory", "cgroup_pids", "cgroup_cpu", "cgroup_kill": what is not there.
  [[nodiscard]] const std::vector<std::string>& lacks() const { return lacks_; }

 private:
  CgroupTree(base::UniqueFd directory, std::vector<std::string> lacks)
      : directory_(std::move(directory)), lacks_(std::move(lacks)) {}
  base::UniqueFd directory_;
  std::vector<std::string> lacks_;
};

}  // namespace nv::guest::runner
