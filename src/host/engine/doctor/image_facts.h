// Whether the image that `run` would boot is there, undamaged, and made for this program's agent.
//
// Called by `neurovisor doctor`.

#pragma once

#include <string>

#include "host/backend/backend.h"
#include "host/storage/image_store.h"

namespace nv::host::engine {

// Opens the image as `run` does (empty name: its default), which checks every file's SHA-256.
[[nodiscard]] backend::ProbeRow ProbeImage(const storage::ImageStore& store,
                                           const std::string& name);

}  // namespace nv::host::engine
