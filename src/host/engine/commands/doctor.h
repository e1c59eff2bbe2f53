// `neurovisor doctor`: what this machine can do, one row each, and what to do about the rest.

#pragma once

#include <span>
#include <string>

namespace nv::host::engine {

// args: what stands after "doctor". Exit status 0 when `run` can work (QEMU is there, the image is
// there and right), 1 when not, 2 for a usage error.
[[nodiscard]] int DoctorCommand(std::span<const std::string> args);

}  // namespace nv::host::engine
