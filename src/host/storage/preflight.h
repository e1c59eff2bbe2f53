// Preflight: what a build needs of this machine, asked before the first minute is spent.
//
// Called by the builder. Tools come from <recipes>/tools (lines: program, package, when), space
// from <recipes>/recipes/<recipe>/space.

#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "host/storage/image_builder.h"

namespace nv::host::storage {

// kInvalidArgument naming the recipes that exist.
[[nodiscard]] base::Status CheckRecipe(const BuildOptions& options);

// kFailedPrecondition naming every missing program, with one apt-get line as remedy.
[[nodiscard]] base::Status CheckTools(const BuildOptions& options);

// What is still to be made: each part needs room.
struct ToMake {
  bool root = false;
  bool kernel = false;
};
// kResourceExhausted: needed and found, in MiB, and where.
[[nodiscard]] base::Status CheckSpace(const BuildOptions& options, const std::string& directory,
                                      ToMake parts);

}  // namespace nv::host::storage
