// ImageBuilder: runs the recipes of image/ and puts the result into the store.
//
// Called by `neurovisor image build` alone. Steps: lock, sweep dead staging directories, free-space
// check, root tree (mmdebstrap; cached by its inputs), agent, kernel and modules, initramfs, erofs,
// digests, manifest, stamp, rename. Killed anywhere, it leaves only a staging directory that
// nothing reads and the next build removes.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "host/storage/image_store.h"

namespace nv::host::storage {

enum class KernelFlavour { kDebian, kTuned };

struct BuildOptions {
  std::string recipe = "mini";  // name in image/recipes
  std::string name;             // name in the store; empty: the recipe's
  KernelFlavour kernel = KernelFlavour::kDebian;
  bool force = false;             // build even when the inputs are the same
  std::string recipes_directory;  // <source>/image or <prefix>/share/neurovisor/image
  std::string agent_path;         // the static guest_agent
  std::string preinit_path;       // the static guest_preinit (the initramfs' /init)
  int cancel_fd = -1;             // readable: stop and clean up
};

// Told to a person: a step begins or ends, or a tool printed a line.
struct BuildProgress {
  enum class Kind { kStep, kLine, kDone } kind;
  int step = 0;
  int steps = 0;
  std::string text;
};

struct BuildResult {
  std::string digest;
  bool unchanged = false;  // the inputs had not changed; nothing was built
};

// kFailedPrecondition: a tool is missing (remedy: apt-get install ...), kResourceExhausted: not
// enough free space (needed and found), kAlreadyExists: another builder holds the lock (its pid),
// kUnavailable: a step failed (details: last lines), kCancelled.
[[nodiscard]] base::Result<BuildResult> BuildImage(
    ImageStore& store, const BuildOptions& options,
    const std::function<void(const BuildProgress&)>& progress);

}  // namespace nv::host::storage
