#include "host/jail/program/uid_pool.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/text.h"

namespace nv::host::jail {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::UniqueFd;

namespace {

// Takes the lock of `name`, or returns an invalid descriptor when somebody holds it (EWOULDBLOCK in
// errno) or it cannot be opened.
UniqueFd TryLock(int directory, const std::string& name, int create) {
  for (int attempt = 0; attempt < 4; ++attempt) {
    UniqueFd file(
        ::openat(directory, name.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | create, 0600));
    if (!file.valid() || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return {};
    // The last owner removes the name while it holds the lock: what we locked may have no name any
    // more, and a third jail may hold the new file of that name.
    struct stat ours {
    }, named{};
    if (::fstat(file.get(), &ours) == 0 &&
        ::fstatat(directory, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        ours.st_ino == named.st_ino && ours.st_dev == named.st_dev) {
      return file;
    }
  }
  errno = EWOULDBLOCK;
  return {};
}

}  // namespace

ClaimedUid& ClaimedUid::operator=(ClaimedUid&& other) noexcept {
  if (this != &other) {
    Release();
    uid_ = other.uid_;
    directory_ = other.directory_;
    lock_ = std::move(other.lock_);
  }
  return *this;
}

void ClaimedUid::Release() {
  if (!lock_.valid()) return;
  ::unlinkat(directory_, std::to_string(uid_).c_str(), 0);
  lock_.Reset();
}

UidPool::UidPool(UniqueFd directory, std::uint32_t first)
    : directory_(std::move(directory)), next_(first) {}

base::Result<UidPool> UidPool::Open(const std::string& directory) {
  // Two levels by hand: the parent may be missing on a machine that never ran a daemon.
  const std::string parent = directory.substr(0, directory.rfind('/'));
  const mode_t old_mask = ::umask(0);
  if (!parent.empty()) ::mkdir(parent.c_str(), 0755);
  ::mkdir(directory.c_str(), 0700);
  ::umask(old_mask);

  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return FailErrno("cannot open " + directory);
  struct stat facts {};
  if (::fstat(fd.get(), &facts) != 0) return FailErrno("cannot stat " + directory);
  if (facts.st_uid != ::geteuid() || (facts.st_mode & 077) != 0) {
    return Fail(Code::kFailedPrecondition, directory + " is not private to its owner");
  }
  // Jails start at different places: a number just freed by the death of one jail is not the next
  // one of another, so its processes have time to be gone.
  UidPool pool(std::move(fd), static_cast<std::uint32_t>(::getpid()) * 61 % kUidCount);
  pool.RemoveStale();
  return pool;
}

void UidPool::RemoveStale() {
  DIR* entries = ::fdopendir(::openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (entries == nullptr) return;
  while (const dirent* entry = ::readdir(entries)) {
    const base::Result<std::uint64_t> uid = base::ParseUint(entry->d_name);
    if (!uid || *uid < kFirstUid || *uid >= kFirstUid + kUidCount) continue;
    UniqueFd file = TryLock(directory_.get(), entry->d_name, 0);
    if (file.valid()) {
      ClaimedUid(static_cast<std::uint32_t>(*uid), directory_.get(), std::move(file));
    }
  }
  ::closedir(entries);
}

base::Result<ClaimedUid> UidPool::Claim() {
  for (std::uint32_t tried = 0; tried < kUidCount; ++tried) {
    const std::uint32_t uid = kFirstUid + next_;
    next_ = (next_ + 1) % kUidCount;
    UniqueFd file = TryLock(directory_.get(), std::to_string(uid), O_CREAT);
    if (file.valid()) return ClaimedUid(uid, directory_.get(), std::move(file));
    if (errno != EWOULDBLOCK) return FailErrno("cannot lock a uid");
  }
  return Fail(Code::kResourceExhausted, "all 1000 uids of VMs are in use");
}

}  // namespace nv::host::jail
