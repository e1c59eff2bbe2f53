// The compression function of SHA-256 (FIPS 180-4, section 6.2.2), in two forms that give the same
// result. Called by sha256.cc alone; a header of its own so that a test can hold one against the
// other.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace nv::base {

using Sha256State = std::array<std::uint32_t, 8>;

// Mixes `count` blocks of 64 bytes into the state. Any CPU.
void Sha256BlocksPortable(Sha256State& state, const std::uint8_t* blocks, std::size_t count);

// True when the CPU has SHA-NI and SSE4.1 (cpuid; false on other architectures).
[[nodiscard]] bool CpuHasSha256();
// Same result with the CPU's SHA instructions. Only when CpuHasSha256().
void Sha256BlocksCpu(Sha256State& state, const std::uint8_t* blocks, std::size_t count);

}  // namespace nv::base
