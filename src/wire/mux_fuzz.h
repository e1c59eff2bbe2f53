// Fuzz target of the multiplexer, in libFuzzer's shape: any input must neither crash nor hang it.

#pragma once

#include <cstddef>
#include <cstdint>

namespace nv::wire {

// The first byte chooses: host or guest, and whether a host's RESET is answered first. The rest are
// the other end's bytes. True when the mux ended in time and left its streams closed.
[[nodiscard]] bool FuzzMux(const std::uint8_t* data, std::size_t size);

}  // namespace nv::wire
