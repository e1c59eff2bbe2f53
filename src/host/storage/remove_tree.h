// RemoveTree: deletes a directory of ours with everything in it.
//
// Called by the store and the builder for staging directories and removed objects. Never follows a
// symbolic link and never crosses into another file system: a killed builder may have left a mount
// in a root tree, and what is mounted there is not ours to delete.

#pragma once

#include <string>

#include "base/result.h"

namespace nv::host::storage {

// Success when nothing is left (also when nothing was there). kFailedPrecondition naming a mount
// point that stands in the way.
[[nodiscard]] base::Status RemoveTree(const std::string& path);

}  // namespace nv::host::storage
