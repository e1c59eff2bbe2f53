#include "host/storage/remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "base/unique_fd.h"

namespace nv::host::storage {
namespace {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Status;
using base::UniqueFd;

// Removes the entry `name` of the directory `parent`; `path` is for messages.
Status RemoveEntry(int parent, const char* name, const std::string& path, dev_t device) {
  struct stat about {};
  if (::fstatat(parent, name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? Status() : FailErrno(fmt::format("cannot stat '{}'", path));
  }
  if (about.st_dev != device) {
    return Fail(base::Error(Code::kFailedPrecondition,
                            fmt::format("'{}' is a mount point; it is not removed", path))
                    .WithRemedy(fmt::format("umount '{}'", path)));
  }
  if (!S_ISDIR(about.st_mode)) {
    if (::unlinkat(parent, name, 0) == 0 || errno == ENOENT) return {};
    return FailErrno(fmt::format("cannot remove '{}'", path));
  }
  // A package's directory may lack our write or search bit.
  if (::fchmodat(parent, name, 0700, 0) != 0)
    return FailErrno(fmt::format("cannot open '{}'", path));
  UniqueFd fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return FailErrno(fmt::format("cannot open '{}'", path));
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd.get()), ::closedir);
  if (directory == nullptr) return FailErrno(fmt::format("cannot read '{}'", path));
  const int number = fd.Release();  // closedir owns it now
  Status first;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view child = entry->d_name;
    if (child == "." || child == "..") continue;
    Status done = RemoveEntry(number, entry->d_name, fmt::format("{}/{}", path, child), device);
    if (!done && first) first = std::move(done);  // goes on: as much as can be is removed
  }
  if (!first) return first;
  if (::unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  return FailErrno(fmt::format("cannot remove '{}'", path));
}

}  // namespace

Status RemoveTree(const std::string& path) {
  struct stat about {};
  if (::lstat(path.c_str(), &about) != 0) {
    return errno == ENOENT ? Status() : FailErrno(fmt::format("cannot stat '{}'", path));
  }
  return RemoveEntry(AT_FDCWD, path.c_str(), path, about.st_dev);
}

}  // namespace nv::host::storage
