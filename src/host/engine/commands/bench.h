// `neurovisor bench`: figures of this machine. Measures and prints, never judges.

#pragma once

#include <span>
#include <string>

namespace nv::host::engine {

// `bench boot`: boots of the images given, in turn, so that a change of load meets all alike. Exit
// status: 0, 1 when a boot failed, 2 for wrong flags.
[[nodiscard]] int BenchCommand(std::span<const std::string> args);

}  // namespace nv::host::engine
