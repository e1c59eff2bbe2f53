// `neurovisor image`: build, list, inspect and remove images.
//
// Called by the engine's main. Runs as the caller (root or user); starts no VMM.

#pragma once

#include <span>
#include <string>

namespace nv::host::engine {

// args: what follows `image`. Returns the exit status: 0, 1 failure, 2 usage, 130 after Ctrl-C.
[[nodiscard]] int ImageCommand(std::span<const std::string> args);

}  // namespace nv::host::engine
