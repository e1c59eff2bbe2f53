// BuildLock: one builder (or remover) of images at a time.
//
// flock(2) on <images>/lock: the kernel lets go of it when the holder dies, however it dies. The
// file holds the holder's pid, for people.

#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::host::storage {

class BuildLock {
 public:
  // images: <data>/images, which exists. kAlreadyExists with the holder's pid; does not wait.
  [[nodiscard]] static base::Result<BuildLock> Take(const std::string& images);

 private:
  explicit BuildLock(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::UniqueFd fd_;
};

}  // namespace nv::host::storage
