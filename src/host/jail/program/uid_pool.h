// UidPool: a uid (and gid of the same number) for each VM, used by nothing else on this host.
//
// Called by the server before each start, as root. A claim is a lock file (flock(2)) in a directory
// that only root can enter, so that two jails never hand out one number, and the death of a jail
// frees its claims. Files are removed with their claim; what a killed jail left is removed at the
// next jail's start.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::host::jail {

inline constexpr std::uint32_t kFirstUid = 2000000;
inline constexpr std::uint32_t kUidCount = 1000;

// A claimed uid. Destruction removes the file and drops the lock; the owner has reaped the process
// before.
class ClaimedUid {
 public:
  ClaimedUid() = default;
  ClaimedUid(std::uint32_t uid, int directory, base::UniqueFd lock)
      : uid_(uid), directory_(directory), lock_(std::move(lock)) {}
  ClaimedUid(ClaimedUid&& other) noexcept = default;
  ClaimedUid& operator=(ClaimedUid&& other) noexcept;
  ~ClaimedUid() { Release(); }

  [[nodiscard]] bool valid() const { return lock_.valid(); }
  [[nodiscard]] std::uint32_t uid() const { return uid_; }

 private:
  void Release();
  std::uint32_t uid_ = 0;
  int directory_ = -1;  // the pool's, which outlives its claims
  base::UniqueFd lock_;
};

class UidPool {
 public:
  // Makes `directory` (0700; its parent 0755) when missing. kFailedPrecondition when it is not a
  // directory of this process's uid that others cannot enter. Removes stale lock files.
  [[nodiscard]] static base::Result<UidPool> Open(const std::string& directory);

  // kResourceExhausted when all are taken.
  [[nodiscard]] base::Result<ClaimedUid> Claim();

 private:
  UidPool(base::UniqueFd directory, std::uint32_t first);
  void RemoveStale();
  base::UniqueFd directory_;
  std::uint32_t next_;
};

}  // namespace nv::host::jail
