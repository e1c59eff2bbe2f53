// Whether there is room to work: disk for images, memory for VMs, ports for the daemon.
//
// Called by `neurovisor doctor`, once, on its only thread. Like kernel_facts.h: one row each, no
// failure.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "host/backend/backend.h"

namespace nv::host::engine {

// A build of `mini` needs this much while it runs; the image itself keeps a fraction.
inline constexpr std::uint64_t kDiskForBuild = 1536ull << 20;  // bytes
// A medium VM (512 MiB) and what QEMU, engine and client take beside it.
inline constexpr std::uint64_t kMemoryForMedium = 768ull << 20;  // bytes
// The same for a small VM (256 MiB).
inline constexpr std::uint64_t kMemoryForSmall = 400ull << 20;  // bytes

// Free bytes of the file system that holds `directory` (its nearest parent that exists). Degraded
// when a build would not fit: what is built already still runs.
[[nodiscard]] backend::ProbeRow ProbeDisk(const std::string& directory);

// MemAvailable of <root>/proc/meminfo: ok for a medium VM, degraded for a small one, missing below.
[[nodiscard]] backend::ProbeRow ProbeMemory(const std::string& root);

// Whether TCP 127.0.0.1:port can be bound now. Degraded when taken: only the daemon wants it.
[[nodiscard]] backend::ProbeRow ProbePort(std::string_view name, std::uint16_t port,
                                          std::string_view flag);

}  // namespace nv::host::engine
