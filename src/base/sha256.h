// SHA-256 (FIPS 180-4). Used for image files, ids and inputs of builds; not for passwords. Uses the
// CPU's SHA instructions where it has them (about five times quicker).

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/sha256_blocks.h"

namespace nv::base {

using Sha256Digest = std::array<std::uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view text);
  // Ends the computation; the object is then as new.
  [[nodiscard]] Sha256Digest Finish();

 private:
  Sha256State state_;
  std::array<std::uint8_t, 64> pending_;  // the first total_bytes_ % 64 are a block's beginning
  std::uint64_t total_bytes_ = 0;
};

[[nodiscard]] Sha256Digest Sha256Of(std::string_view text);
// 64 lower-case hex digits.
[[nodiscard]] std::string Hex(std::span<const std::uint8_t> bytes);

}  // namespace nv::base
