// ImageStore: built images on disk, content-addressed.
//
// Called by the engine's commands (image, doctor, bench) and by the run path (Open). Layout under
// <data>/images:
//   objects/sha256-<hex of manifest.json>/   manifest.json, vmlinux, initrd.cpio, rootfs.erofs
//                                            (files 0444, directory 0755)
//   names/<name>        the object's digest and a newline; replaced by rename
//   verified/<digest>   stamps of files whose SHA-256 was seen right (verify.h)
//   staging/<build>/    what a builder makes: nothing that Open would find; swept by the next one
//   cache/              root trees and kernels that builders use again, keyed by their inputs
//   lock                flock(2): one builder at a time (build_lock.h)
//
// TRUST: the store belongs to the user who runs NeuroVisor (or root). A damaged file is expected, a
// hostile owner is not.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
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
  std::string problem;      // why it cannot be used (name or manifest damaged), or empty
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
  // By name. A damaged entry is listed with its problem; file contents are not checked.
  [[nodiscard]] base::Result<std::vector<ImageEntry>> List() const;
  // kNotFound, or kDataLoss when the name or the manifest is damaged.
  [[nodiscard]] base::Result<ImageEntry> Find(const std::string& name_or_digest) const;
  // Removes the name, and the object when no other name has it. Running VMs keep their open files.
  // kNotFound; kAlreadyExists while a builder works.
  [[nodiscard]] base::Status Remove(const std::string& name);

  [[nodiscard]] const std::string& directory() const { return directory_; }

  // For the builder, which holds the lock:
  // Creates the layout's directories.
  [[nodiscard]] base::Status Prepare() const;
  // Takes `staged` (files as in its manifest, manifest.json beside them) as objects/<digest>,
  // points `name` at it and removes objects that no name has.
  [[nodiscard]] base::Status Adopt(const std::string& staged, const std::string& digest,
                                   const std::string& name) const;
  // Removes staging directories and objects that no name has: what killed builders left.
  [[nodiscard]] base::Status Sweep() const;

 private:
  [[nodiscard]] base::Result<std::string> DigestOf(const std::string& name) const;
  [[nodiscard]] base::Result<Manifest> ReadManifest(const std::string& digest) const;
  [[nodiscard]] base::Result<OpenImage> OpenDigest(const std::string& digest) const;
  [[nodiscard]] base::Status RemoveUnnamed() const;

  std::string directory_;
};

// 1..64 of [a-z0-9._-], first a letter or digit.
[[nodiscard]] bool IsImageName(std::string_view name);
// "sha256-" and 64 lower-case hex digits.
[[nodiscard]] bool IsImageDigest(std::string_view text);

}  // namespace nv::host::storage
