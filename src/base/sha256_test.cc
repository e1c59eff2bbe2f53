#include "base/sha256.h"

#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace nv::base {
namespace {

std::string HexOf(std::string_view text) { return Hex(Sha256Of(text)); }

std::vector<std::uint8_t> RandomBytes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::uint8_t> bytes(count);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

// FIPS 180-4 examples (NIST CSRC) and the empty message.
TEST(Sha256, VectorsOfTheStandard) {
  EXPECT_EQ(HexOf(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HexOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HexOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(HexOf("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
                  "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"),
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  EXPECT_EQ(HexOf(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheSameAsTheWhole) {
  const std::string text(1000, 'q');
  for (std::size_t piece = 1; piece < 200; ++piece) {
    Sha256 hash;
    for (std::size_t at = 0; at < text.size(); at += piece) {
      hash.Update(std::string_view(text).substr(at, piece));
    }
    ASSERT_EQ(hash.Finish(), Sha256Of(text)) << piece;
  }
}

TEST(Sha256, PaddingIsRightAtEveryLengthAroundABlock) {
  // A hash of all the digests pins each of them; the value was made with another implementation.
  Sha256 all;
  for (std::size_t length = 0; length < 200; ++length) {
    all.Update(Hex(Sha256Of(std::string(length, 'x'))));
  }
  EXPECT_EQ(Hex(all.Finish()), "f61ffcc417e1f0e59eba2da7fa32fbe05b64e478b68c6bacf990455f00248b98");
}

TEST(Sha256, FinishLeavesTheObjectAsNew) {
  Sha256 hash;
  hash.Update("something");
  static_cast<void>(hash.Finish());
  hash.Update("abc");
  EXPECT_EQ(hash.Finish(), Sha256Of("abc"));
}

TEST(Sha256, PortableAndCpuFormsAgree) {
  if (!CpuHasSha256()) GTEST_SKIP() << "this CPU has no SHA instructions";
  for (unsigned seed = 0; seed < 500; ++seed) {
    const std::size_t blocks = seed % 9;
    const auto bytes = RandomBytes(blocks * 64 + 3, seed);
    Sha256State portable{};
    const auto start = RandomBytes(sizeof portable, seed + 1000);
    for (std::size_t i = 0; i < portable.size(); ++i)
      portable[i] = start[i] * 0x01010101U + start[i + 8];
    Sha256State cpu = portable;
    Sha256BlocksPortable(portable, bytes.data() + seed % 3, blocks);  // unaligned too
    Sha256BlocksCpu(cpu, bytes.data() + seed % 3, blocks);
    ASSERT_EQ(portable, cpu) << seed;
  }
}

// Run with --gtest_also_run_disabled_tests to see the speed.
TEST(Sha256, DISABLED_Speed) {
  const auto bytes = RandomBytes(64 << 20, 1);
  const auto measure = [&](const char* name, auto mix) {
    Sha256State state{};
    const auto start = std::chrono::steady_clock::now();
    mix(state, bytes.data(), bytes.size() / 64);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    std::printf("%s: %.0f MB/s\n", name, static_cast<double>(bytes.size()) / 1e6 / took.count());
  };
  measure("portable", Sha256BlocksPortable);
  if (CpuHasSha256()) measure("cpu", Sha256BlocksCpu);
}

}  // namespace
}  // namespace nv::base
