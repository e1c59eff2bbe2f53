// The contract's limits, in one place: past them a request is INVALID_ARGUMENT naming field, size
// and limit.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace nv::base {

inline constexpr std::size_t kMaxCodeBytes = 4 * 1024 * 1024;
inline constexpr std::size_t kMaxMessageBytes = 8 * 1024 * 1024;
inline constexpr std::size_t kMaxEnvEntries = 256;
inline constexpr std::size_t kMaxEnvBytes = 128 * 1024;
inline constexpr std::size_t kMaxArgs = 256;
inline constexpr std::size_t kMaxArgsBytes = 128 * 1024;
inline constexpr std::uint32_t kDefaultTimeoutSecs = 30;  // proto 0 means this
inline constexpr std::uint32_t kMaxTimeoutSecs = 86'400;
inline constexpr std::uint64_t kDefaultMaxOutputBytes = 10 * 1024 * 1024;  // a stream; 0 = no limit
inline constexpr std::chrono::seconds kCompileTimeout{120};
inline constexpr std::chrono::seconds kHostGrace{
    5};  // the host ends a run this long after the guest should have
inline constexpr std::size_t kStreamChunkBytes = 64 * 1024;
inline constexpr std::uint32_t kGuestPort =
    6000;  // vsock port, and the port that the multiplexer opens

}  // namespace nv::base
