#include "host/storage/verify.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <sstream>
#include <vector>

#include <fmt/format.h>

#include "base/io.h"
#include "base/sha256.h"

namespace nv::host::storage {
namespace {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr std::size_t kHashChunkBytes = 1024 * 1024;
constexpr std::size_t kMaxStampBytes = 64 * 1024;
constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
// Longer than the coarse clock's tick that ctime is taken from (10 ms at HZ=100).
constexpr std::int64_t kSettledAfter = 100'000'000;

std::int64_t Nanoseconds(const struct timespec& time) {
  return std::int64_t{time.tv_sec} * kNanosecondsPerSecond + time.tv_nsec;
}

std::string StampOf(const struct stat& about) {
  return fmt::format("{} {} {} {} {}", about.st_dev, about.st_ino, about.st_size,
                     Nanoseconds(about.st_mtim), Nanoseconds(about.st_ctim));
}

}  // namespace

Stamps Stamps::Load(const std::string& path) {
  Stamps stamps;
  const Result<std::string> text = base::ReadFile(path, kMaxStampBytes);
  if (!text) return stamps;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t blank = line.find(' ');
    if (blank != std::string::npos) stamps.lines_[line.substr(0, blank)] = line.substr(blank + 1);
  }
  return stamps;
}

bool Stamps::Fits(const std::string& file, const struct stat& about) const {
  const auto found = lines_.find(file);
  return found != lines_.end() && found->second == StampOf(about);
}

void Stamps::Add(const std::string& file, const struct stat& about, const struct timespec& began) {
  changed_ = true;
  lines_.erase(file);
  if (Nanoseconds(began) - Nanoseconds(about.st_ctim) > kSettledAfter) {
    lines_[file] = StampOf(about);
  }
}

Status Stamps::Save(const std::string& path) const {
  std::string text;
  for (const auto& [file, stamp] : lines_) text += fmt::format("{} {}\n", file, stamp);
  return base::WriteFileAtomically(path, text);
}

Result<std::string> HashFile(int fd, const std::string& path) {
  std::vector<std::byte> buffer(kHashChunkBytes);
  base::Sha256 hash;
  off_t offset = 0;
  while (true) {
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno(fmt::format("cannot read '{}'", path));
    if (got == 0) return base::Hex(hash.Finish());
    hash.Update(std::span(buffer).first(static_cast<std::size_t>(got)));
    offset += got;
  }
}

Result<UniqueFd> OpenVerified(const std::string& directory, const FileEntry& expected,
                              Stamps& stamps) {
  const std::string path = directory + "/" + expected.name;
  // O_NONBLOCK: a FIFO in a file's place must not keep us.
  Result<UniqueFd> fd = base::OpenFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!fd) {
    if (fd.error().code() != Code::kNotFound) return fd;
    return Fail(Code::kDataLoss, fmt::format("'{}' is missing", path));
  }
  struct timespec began {};
  ::clock_gettime(CLOCK_REALTIME, &began);
  struct stat about {};
  if (::fstat(fd->get(), &about) != 0) return FailErrno(fmt::format("cannot stat '{}'", path));
  if (!S_ISREG(about.st_mode)) {
    return Fail(Code::kDataLoss, fmt::format("'{}' is no regular file", path));
  }
  if (static_cast<std::uint64_t>(about.st_size) != expected.size_bytes) {
    return Fail(Code::kDataLoss, fmt::format("'{}' is damaged: expected {} bytes, found {}", path,
                                             expected.size_bytes, about.st_size));
  }
  if (stamps.Fits(expected.name, about)) return fd;
  const Result<std::string> found = HashFile(fd->get(), path);
  if (!found) return Fail(found.error());
  if (*found != expected.sha256) {
    return Fail(Code::kDataLoss, fmt::format("'{}' is damaged: expected SHA-256 {}, found {}", path,
                                             expected.sha256, *found));
  }
  stamps.Add(expected.name, about, began);
  return fd;
}

Result<FileEntry> DescribeFile(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name;
  Result<UniqueFd> fd = base::OpenFile(path, O_RDONLY | O_NOFOLLOW);
  if (!fd) return Fail(std::move(fd.error()));
  // Before the rename that makes the object visible: a power cut must not leave empty files.
  if (::fsync(fd->get()) != 0) return FailErrno(fmt::format("cannot flush '{}'", path));
  struct stat about {};
  if (::fstat(fd->get(), &about) != 0) return FailErrno(fmt::format("cannot stat '{}'", path));
  Result<std::string> hash = HashFile(fd->get(), path);
  if (!hash) return Fail(std::move(hash.error()));
  return FileEntry{.name = name,
                   .size_bytes = static_cast<std::uint64_t>(about.st_size),
                   .sha256 = *std::move(hash)};
}

}  // namespace nv::host::storage
