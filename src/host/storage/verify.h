// Checks of one object's files against its manifest, and the stamps that spare reading them twice.
//
// Called by ImageStore::Open and by the builder. A stamp is a line of verified/<digest>: a file's
// name, device, inode, size, mtime and ctime when its SHA-256 was last seen right. ctime cannot be
// set by utimensat(2), so an ordinary write shows even when the writer restores mtime.

#pragma once

#include <sys/stat.h>

#include <map>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "host/storage/manifest.h"

namespace nv::host::storage {

class Stamps {
 public:
  // Missing or unreadable: no stamps, so every file is read.
  [[nodiscard]] static Stamps Load(const std::string& path);

  [[nodiscard]] bool Fits(const std::string& file, const struct stat& about) const;
  // Remembers a file whose hashing began at `began` (CLOCK_REALTIME). A file changed just before
  // that is not remembered: within one tick of the kernel's clock a later change would leave ctime
  // as it is.
  void Add(const std::string& file, const struct stat& about, const struct timespec& began);
  [[nodiscard]] bool changed() const { return changed_; }
  [[nodiscard]] base::Status Save(const std::string& path) const;

 private:
  std::map<std::string, std::string> lines_;  // by file name
  bool changed_ = false;
};

// Opens a file and checks type, size and (unless stamped) SHA-256. kDataLoss naming the file, what
// was expected and what was found; blocks for the time of one read of the file.
[[nodiscard]] base::Result<base::UniqueFd> OpenVerified(const std::string& directory,
                                                        const FileEntry& expected, Stamps& stamps);

// Size and SHA-256 of a file that a builder has just made; flushed to the disk first.
[[nodiscard]] base::Result<FileEntry> DescribeFile(const std::string& directory,
                                                   const std::string& name);

// Lower-case hex SHA-256 of what can be read from the descriptor, from its start.
[[nodiscard]] base::Result<std::string> HashFile(int fd, const std::string& path);

}  // namespace nv::host::storage
