// FakeRecipes: a recipes directory whose scripts take a millisecond, for tests of builder and
// store.
//
// Lives in a temporary directory that goes with the object; the data directory is inside it.

#pragma once

#include <string>

#include "host/storage/image_builder.h"
#include "host/storage/image_store.h"

namespace nv::host::storage {

class FakeRecipes {
 public:
  FakeRecipes();
  FakeRecipes(const FakeRecipes&) = delete;
  FakeRecipes& operator=(const FakeRecipes&) = delete;
  ~FakeRecipes();

  // Replaces a file below the temporary directory ("recipes/rootfs.sh"); scripts are executable.
  void Write(const std::string& file, const std::string& text) const;
  // A script of the recipes; `body` follows "#!/bin/bash" and "set -eu".
  void Script(const std::string& name, const std::string& body) const;
  [[nodiscard]] std::string Path(const std::string& file) const { return root_ + "/" + file; }

  [[nodiscard]] BuildOptions Options() const;
  [[nodiscard]] ImageStore Store() const { return ImageStore(Path("data/images")); }
  // Builds with these options and expects success; returns the object's directory.
  [[nodiscard]] std::string Build(const BuildOptions& options) const;

 private:
  std::string root_;
};

[[nodiscard]] inline base::Result<BuildResult> QuietBuild(ImageStore store,
                                                          const BuildOptions& options) {
  return BuildImage(store, options, [](const BuildProgress&) {});
}

// Number of entries of a directory; 0 when it is not there.
[[nodiscard]] int CountEntries(const std::string& directory);

}  // namespace nv::host::storage
