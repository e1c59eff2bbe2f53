#include "guest/executor/utf8_splitter.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace nv::guest::executor {
namespace {

TEST(Utf8Splitter, NoChunkEndsInsideACharacterWhereverTheCutsAre) {
  const std::string text = "aä€😀z";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    for (std::size_t second = cut; second <= text.size(); ++second) {
      Utf8Splitter splitter;
      std::string joined;
      for (const std::string& piece :
           {splitter.Feed(text.substr(0, cut)), splitter.Feed(text.substr(cut, second - cut)),
            splitter.Feed(text.substr(second)), splitter.Flush()}) {
        EXPECT_TRUE(base::IsUtf8(piece));
        joined += piece;
      }
      EXPECT_EQ(joined, text);
    }
  }
}

TEST(Utf8Splitter, BytesThatAreNoCharacterAreNotHeldBack) {
  Utf8Splitter splitter;
  EXPECT_EQ(splitter.Feed("\xff"), "\xff");
  EXPECT_EQ(splitter.Feed("\x80\x80"), "\x80\x80");
  EXPECT_EQ(splitter.Feed("\xc0"), "\xc0");  // never a lead byte
}

TEST(Utf8Splitter, UnfinishedCharacterComesAtTheEnd) {
  Utf8Splitter splitter;
  EXPECT_EQ(splitter.Feed("x\xe2\x82"), "x");
  EXPECT_EQ(splitter.Flush(), "\xe2\x82");
  EXPECT_EQ(splitter.Flush(), "");
}

}  // namespace
}  // namespace nv::guest::executor
