// What `neurovisor image` shows: tables and JSON.

#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "host/storage/image_builder.h"
#include "host/storage/image_store.h"

namespace nv::host::engine {

// "105.3 MiB".
[[nodiscard]] std::string Mebibytes(std::uint64_t bytes);

[[nodiscard]] std::string ListTable(const std::vector<storage::ImageEntry>& entries);
[[nodiscard]] std::string ListJson(const std::vector<storage::ImageEntry>& entries);
[[nodiscard]] std::string InspectText(const storage::ImageEntry& entry);
[[nodiscard]] std::string InspectJson(const storage::ImageEntry& entry);
[[nodiscard]] std::string BuildJson(const storage::ImageEntry& entry,
                                    const storage::BuildResult& result, double seconds);
// "error: ...", then details and remedy on lines of their own.
[[nodiscard]] std::string ErrorText(const base::Error& error);

}  // namespace nv::host::engine
