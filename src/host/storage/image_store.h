// ImageStore: built images on disk, content-addressed.
//
// Called by the engine's commands (image, doctor, bench) and by the run path (Open). Layout under
// <data>/images:
//   objects/sha256-<hex of manifest.json>/{manifest.json, vmlinux, initrd.cpio, rootfs.erofs} files
//   0444, directory 0755 names/<name>          the object's digest and a newline, replaced by
//   rename verified/<digest>     device, inode, size, mtime and ctime of each file when its SHA-256
//   was last seen right staging/<build>/      what a builder makes; holds nothing that Open would
//   find; swept by the next builder cache/                root trees and kernels that builders
//   reuse, keyed by their inputs lock                  flock(2): one builder at a time
//
// TRUST: the store belongs to the user who runs NeuroVisor (or root). A damaged file is expected, a
// hostile owner is not.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "host/storage/manifest.h"

namespace nv::host::storage {

// An image opened for booting: every file checked against the manifest.
struct OpenImage {
  Manifest manifest;
  std::string digest;  // sha256-<hex>
  base::UniqueFd kernel;
  base::UniqueFd initrd;  // invalid when the manifest names none
  base::UniqueFd rootfs;
};

struct ImageEntry {
  std::string name;
  std::string digest;
  Manifest manifest;
  std::uint64_t bytes = 0;  // of its files
};

class ImageStore {
 public:
  // directory: <data>/images. Need not exist (List is then empty, Open says how to build).
  explicit ImageStore(std::string directory) : directory_(std::move(directory)) {}

  // Opens and verifies an image. Empty name: `base` when built, else `mini`. kNotFound (remedy:
  // image build), kDataLoss naming the file, the expected and the found digest (remedy: rebuild),
  // kFailedPrecondition when its agent's protocol or version is not this program's. Files whose
  // stamp in verified/ still fits are not read again.
  [[nodiscard]] base::Result<OpenImage> Open(const std::string& name) const;
  [[nodiscard]] base::Result<std::vector<ImageEntry>> List() const;
  [[nodiscard]] base::Result<ImageEntry> Find(const std::string& name_or_digest) const;
  // Removes the name, and the object when no other name has it. Running VMs keep their open files.
  [[nodiscard]] base::Status Remove(const std::string& name);

  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
};

// 1..64 of [a-z0-9._-], first a letter or digit.
[[nodiscard]] bool IsImageName(std::string_view name);

}  // namespace nv::host::storage
