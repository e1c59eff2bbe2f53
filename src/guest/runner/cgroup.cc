#include "guest/runner/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <sstream>
#include <string_view>

#include "base/io.h"
#include "base/text.h"

namespace nv::guest::runner {
namespace {

constexpr std::size_t kMaxFileBytes = 64 * 1024;

base::Result<std::string> ReadAt(int directory, const char* name) {
  const base::UniqueFd fd(openat(directory, name, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return base::FailErrno(name);
  return base::ReadUntilEof(fd.get(), kMaxFileBytes);
}

base::Status WriteAt(int directory, const char* name, std::string_view text) {
  const base::UniqueFd fd(openat(directory, name, O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return base::FailErrno(name);
  return base::WriteAll(fd.get(), text);
}

// The number behind `key ` in a flat keyed file ("oom_kill 2\n").
std::uint64_t KeyedNumber(int directory, const char* name, std::string_view key) {
  const auto text = ReadAt(directory, name);
  if (!text) return 0;
  std::istringstream lines(*text);
  std::string word;
  std::string value;
  while (lines >> word >> value) {
    if (word == key) return base::ParseUint(value).value_or(0);
  }
  return 0;
}

bool HasWord(std::string_view text, std::string_view word) {
  std::istringstream words{std::string(text)};
  for (std::string each; words >> each;) {
    if (each == word) return true;
  }
  return false;
}

bool HasFile(int directory, const char* name) { return faccessat(directory, name, F_OK, 0) == 0; }

}  // namespace

Cgroup::~Cgroup() {
  Kill();
  unlinkat(parent_.get(), name_.c_str(), AT_REMOVEDIR);
}

void Cgroup::Kill() const {
  // Linux 5.14. Older kernels have the reaper's end, which is enough with a PID namespace.
  static_cast<void>(WriteAt(directory_.get(), "cgroup.kill", "1"));
}

std::uint64_t Cgroup::OomKills() const {
  return KeyedNumber(directory_.get(), "memory.events", "oom_kill");
}

std::uint64_t Cgroup::CpuMicroseconds() const {
  return KeyedNumber(directory_.get(), "cpu.stat", "usage_usec");
}

base::Result<std::unique_ptr<CgroupTree>> CgroupTree::Open(const std::string& path) {
  auto directory = base::OpenFile(path, O_RDONLY | O_DIRECTORY);
  if (!directory) return base::Fail(std::move(directory.error()));
  const auto offered = ReadAt(directory->get(), "cgroup.controllers");
  if (!offered) return base::Fail(base::Error(offered.error()).WithContext(path));

  std::vector<std::string> lacks;
  for (const char* controller : {"memory", "pids", "cpu"}) {
    const std::string request = std::string("+") + controller;
    if (!HasWord(*offered, controller) ||
        !WriteAt(directory->get(), "cgroup.subtree_control", request)) {
      lacks.push_back(std::string("cgroup_") + controller);
    }
  }
  return std::unique_ptr<CgroupTree>(new CgroupTree(std::move(*directory), std::move(lacks)));
}

std::unique_ptr<CgroupTree> CgroupTree::None() {
  return std::unique_ptr<CgroupTree>(
      new CgroupTree({}, {"cgroup_memory", "cgroup_pids", "cgroup_cpu", "cgroup_kill"}));
}

base::Result<std::unique_ptr<Cgroup>> CgroupTree::Make(const std::string& name,
                                                       const CgroupLimits& limits) const {
  if (!directory_.valid()) return nullptr;
  if (mkdirat(directory_.get(), name.c_str(), 0755) != 0) {
    return base::FailErrno("make cgroup " + name);
  }
  base::UniqueFd parent(fcntl(directory_.get(), F_DUPFD_CLOEXEC, 0));
  base::UniqueFd directory(
      openat(directory_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent.valid() || !directory.valid()) return base::FailErrno("open cgroup " + name);
  auto group = std::make_unique<Cgroup>(std::move(parent), name, std::move(directory));

  const int fd = group->directory();
  const std::array<std::pair<const char*, std::string>, 4> settings{{
      {"memory.max", limits.memory_bytes == 0 ? "max" : std::to_string(limits.memory_bytes)},
      {"memory.swap.max", "0"},
      {"memory.oom.group", "1"},
      {"pids.max", limits.max_processes == 0 ? "max" : std::to_string(limits.max_processes)},
  }};
  for (const auto& [file, value] : settings) {
    if (!HasFile(fd, file)) continue;  // declared as lacking, or a kernel without swap
    if (auto ok = WriteAt(fd, file, value); !ok) {
      return base::Fail(std::move(ok.error()).WithContext("cgroup " + name));
    }
  }
  return group;
}

}  // namespace nv::guest::runner
