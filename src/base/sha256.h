// SHA-256 (FIPS 180-4). Used for image files, ids and inputs of builds; not for passwords.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

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
  void Block(const std::uint8_t* block);
  std::array<std::uint32_t, 8> state_;
  std::array<std::uint8_t, 64> pending_;
  std::uint64_t total_bytes_;
};

[[nodiscard]] Sha256Digest Sha256Of(std::string_view text);
// 64 lower-case hex digits.
[[nodiscard]] std::string Hex(std::span<const std::uint8_t> bytes);

}  // namespace nv::base
