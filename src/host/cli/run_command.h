// `neurovisor run`: one program in one fresh microVM.

#pragma once

#include <span>
#include <string>

namespace nv::host::cli {

// Returns the exit status of docs/run.md. Everything it started has ended by then, or has been
// killed.
[[nodiscard]] int RunCommand(std::span<const std::string> args);

}  // namespace nv::host::cli
