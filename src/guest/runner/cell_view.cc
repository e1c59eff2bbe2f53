#include "guest/runner/cell_view.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <string_view>

namespace nv::guest::runner {
namespace {

constexpr char kTmpOptions[] = "mode=1777,size=50%";

base::Status MountAt(const char* type, const char* target, unsigned long flags,
                     const char* options) {
  if (mount(type, target, type, flags, options) == 0) return {};
  return base::FailErrno(std::string("mount ") + target);
}

base::Status MakeMounts(const MakeCell& cell, std::string_view work_path) {
  // Mounts made here stay here.
  if (mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr) != 0) {
    return base::FailErrno("make / private");
  }
  constexpr unsigned long kNoDevices = MS_NOSUID | MS_NODEV;
  // The old /proc would show the agent's processes, and name them by wrong numbers.
  if (auto ok = MountAt("proc", "/proc", kNoDevices | MS_NOEXEC, nullptr); !ok) return ok;
  // Charged to the cell's memory cgroup, so that a full /tmp is the program's problem alone.
  if (auto ok = MountAt("tmpfs", "/tmp", kNoDevices, kTmpOptions); !ok) return ok;
  if (access("/dev/shm", F_OK) == 0) {
    if (auto ok = MountAt("tmpfs", "/dev/shm", kNoDevices, kTmpOptions); !ok) return ok;
  }
  if (work_path.starts_with("/tmp/")) {
    if (mkdir(cell.work_path.data(), 0700) != 0) return base::FailErrno("make the work directory");
    return {};
  }
  return MountAt("tmpfs", cell.work_path.data(), kNoDevices, "mode=0700,size=50%");
}

}  // namespace

base::Result<base::UniqueFd> MakeView(const MakeCell& cell) {
  const std::string_view work_path(cell.work_path.data());
  if (cell.namespaces) {
    if (auto ok = MakeMounts(cell, work_path); !ok) return base::Fail(std::move(ok.error()));
  }
  base::UniqueFd work(open(cell.work_path.data(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!work.valid()) return base::FailErrno("open the work directory");
  if (cell.change_user && fchown(work.get(), cell.uid, cell.gid) != 0) {
    return base::FailErrno("chown the work directory");
  }
  return work;
}

}  // namespace nv::guest::runner
