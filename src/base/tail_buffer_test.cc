#include "base/tail_buffer.h"

#include <random>

#include <gtest/gtest.h>

namespace nv::base {
namespace {

TEST(TailBuffer, KeepsTheNewestBytesWhateverTheAppends) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const std::size_t limit = random() % 20;
    TailBuffer buffer(limit);
    std::string everything;
    for (int append = 0; append < 20; ++append) {
      std::string piece(random() % 30, ' ');
      for (char& c : piece) c = static_cast<char>('a' + random() % 26);
      buffer.Append(piece);
      everything += piece;
      const std::size_t kept = std::min(limit, everything.size());
      ASSERT_EQ(buffer.Bytes(), everything.substr(everything.size() - kept));
      ASSERT_EQ(buffer.total_bytes(), everything.size());
    }
  }
}

TEST(TailBuffer, LastLinesAreCountedFromTheEndWithoutTrailingEmptyOnes) {
  TailBuffer buffer(1000);
  buffer.Append("one\r\ntwo\r\n\r\nthree\r\n\n\r\n");
  EXPECT_EQ(buffer.LastLinesEscaped(2), "\nthree");
  EXPECT_EQ(buffer.LastLinesEscaped(3), "two\n\nthree");
  EXPECT_EQ(buffer.LastLinesEscaped(100), "one\ntwo\n\nthree");
  EXPECT_EQ(buffer.LastLinesEscaped(0), "");
}

TEST(TailBuffer, EmptyBufferHasNoLines) {
  TailBuffer buffer(10);
  EXPECT_EQ(buffer.LastLinesEscaped(5), "");
  buffer.Append("\n\n");
  EXPECT_EQ(buffer.LastLinesEscaped(5), "");
}

TEST(TailBuffer, LinesAreEscapedAndCut) {
  TailBuffer buffer(10'000);
  buffer.Append("\x1b[2J\n" + std::string(1000, 'x') + "\n");
  EXPECT_EQ(buffer.LastLinesEscaped(2), "\\x1b[2J\n" + std::string(400, 'x') + "...");
}

}  // namespace
}  // namespace nv::base
