#include "base/sha256.h"

#include <algorithm>
#include <cstring>

namespace nv::base {
namespace {

constexpr std::size_t kBlockBytes = 64;
// FIPS 180-4, section 5.3.3.
constexpr Sha256State kInitial = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

void MixBlocks(Sha256State& state, const std::uint8_t* blocks, std::size_t count) {
  static const auto kMix = CpuHasSha256() ? Sha256BlocksCpu : Sha256BlocksPortable;
  kMix(state, blocks, count);
}

}  // namespace

Sha256::Sha256() : state_(kInitial), pending_{} {}

void Sha256::Update(std::span<const std::byte> bytes) {
  const auto* at = reinterpret_cast<const std::uint8_t*>(bytes.data());
  std::size_t left = bytes.size();
  if (left == 0) return;
  const std::size_t pending = total_bytes_ % kBlockBytes;
  total_bytes_ += left;
  if (pending != 0) {
    const std::size_t taken = std::min(left, kBlockBytes - pending);
    std::memcpy(pending_.data() + pending, at, taken);
    at += taken;
    left -= taken;
    if (pending + taken < kBlockBytes) return;
    MixBlocks(state_, pending_.data(), 1);
  }
  const std::size_t whole = left / kBlockBytes;
  if (whole > 0) MixBlocks(state_, at, whole);
  const std::size_t rest = left % kBlockBytes;
  if (rest > 0) std::memcpy(pending_.data(), at + whole * kBlockBytes, rest);
}

void Sha256::Update(std::string_view text) { Update(std::as_bytes(std::span(text))); }

Sha256Digest Sha256::Finish() {
  const std::uint64_t bits = total_bytes_ * 8;
  std::size_t pending = total_bytes_ % kBlockBytes;
  // One bit, zeros, and the length in bits as 64 big-endian bits at the end of a block.
  pending_[pending++] = 0x80;
  if (pending > kBlockBytes - sizeof bits) {
    std::fill(pending_.begin() + static_cast<std::ptrdiff_t>(pending), pending_.end(), 0);
    MixBlocks(state_, pending_.data(), 1);
    pending = 0;
  }
  std::fill(pending_.begin() + static_cast<std::ptrdiff_t>(pending), pending_.end(), 0);
  for (std::size_t i = 0; i < sizeof bits; ++i) {
    pending_[kBlockBytes - 1 - i] = static_cast<std::uint8_t>(bits >> (8 * i));
  }
  MixBlocks(state_, pending_.data(), 1);

  Sha256Digest digest{};
  for (std::size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
  }
  *this = Sha256();
  return digest;
}

Sha256Digest Sha256Of(std::string_view text) {
  Sha256 hash;
  hash.Update(text);
  return hash.Finish();
}

std::string Hex(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0xfU];
  }
  return text;
}

}  // namespace nv::base
