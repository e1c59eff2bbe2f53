#include "base/text.h"

#include <random>

#include <gtest/gtest.h>

namespace nv::base {
namespace {

using std::string_literals::operator""s;

#define FFFD "\xef\xbf\xbd"

TEST(Utf8, WellFormedTextPassesUnchanged) {
  const std::string text =
      "plain, \xc3\xa9, \xe2\x82\xac, \xf0\x9f\x90\x8d, \xf4\x8f\xbf\xbf"s + '\0';
  EXPECT_TRUE(IsUtf8(text));
  EXPECT_EQ(ReplaceInvalidUtf8(text), text);
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_EQ(ReplaceInvalidUtf8(""), "");
}

TEST(Utf8, OverlongFormsAreOneReplacementPerByte) {
  EXPECT_EQ(ReplaceInvalidUtf8("\xc0\xaf"), FFFD FFFD);
  EXPECT_EQ(ReplaceInvalidUtf8("\xe0\x80\xaf"), FFFD FFFD FFFD);
  EXPECT_EQ(ReplaceInvalidUtf8("\xf0\x80\x80\xaf"), FFFD FFFD FFFD FFFD);
  EXPECT_FALSE(IsUtf8("\xc1\x81"));
}

TEST(Utf8, SurrogatesAndPastTheLastCodePointAreIllFormed) {
  EXPECT_EQ(ReplaceInvalidUtf8("\xed\xa0\x80"), FFFD FFFD FFFD);
  EXPECT_EQ(ReplaceInvalidUtf8("\xf4\x90\x80\x80"), FFFD FFFD FFFD FFFD);
  EXPECT_EQ(ReplaceInvalidUtf8("\xf5\xff"), FFFD FFFD);
  EXPECT_TRUE(IsUtf8("\xed\x9f\xbf"));
  EXPECT_TRUE(IsUtf8("\xee\x80\x80"));
}

// The example of table 3-8 in the Unicode Standard.
TEST(Utf8, MaximalSubpartsBecomeOneReplacementEach) {
  EXPECT_EQ(ReplaceInvalidUtf8("\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64"),
            "a" FFFD FFFD FFFD "b" FFFD "c" FFFD FFFD "d");
}

TEST(Utf8, CutCharacterAtTheEndIsOneReplacement) {
  EXPECT_EQ(ReplaceInvalidUtf8("ab\xf0\x9f\x90"), "ab" FFFD);
  EXPECT_EQ(ReplaceInvalidUtf8("ab\xe2"), "ab" FFFD);
}

TEST(Utf8, ReplacedTextIsAlwaysWellFormedAndStable) {
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 24, 'a');
    for (char& byte : bytes) {
      if (random() % 2 == 0) byte = static_cast<char>(random());
    }
    const std::string text = ReplaceInvalidUtf8(bytes);
    ASSERT_TRUE(IsUtf8(text));
    ASSERT_EQ(IsUtf8(bytes), text == bytes);
    ASSERT_EQ(ReplaceInvalidUtf8(text), text);
  }
}

TEST(EscapeForTerminal, NothingThatATerminalActsOnSurvives) {
  EXPECT_EQ(EscapeForTerminal("\x1b[31mred\x07\x7f\x9b\\\r\n\t", 100),
            "\\x1b[31mred\\x07\\x7f\\x9b\\\\\\x0d\\x0a\\x09");
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  for (const char c : EscapeForTerminal(all, 10'000)) EXPECT_TRUE(c >= 0x20 && c <= 0x7e);
}

TEST(EscapeForTerminal, NewlinesStayWhenAsked) {
  EXPECT_EQ(EscapeForTerminal("a\nb\r", 100, Newlines::kKeep), "a\nb\\x0d");
}

TEST(EscapeForTerminal, CutsBetweenEscapesAndSaysSo) {
  EXPECT_EQ(EscapeForTerminal("abc", 3), "abc");
  EXPECT_EQ(EscapeForTerminal("abcd", 3), "abc...");
  EXPECT_EQ(EscapeForTerminal("a\x01z", 4), "a...");
  EXPECT_EQ(EscapeForTerminal("a", 0), "...");
}

TEST(ParseUint, TakesWholeNumbersOnly) {
  EXPECT_EQ(ParseUint("0").value(), 0U);
  EXPECT_EQ(ParseUint("18446744073709551615").value(), UINT64_MAX);
  for (const char* bad :
       {"", "-1", "+1", " 1", "1 ", "1.5", "0x10", "1e9", "18446744073709551616"}) {
    const auto parsed = ParseUint(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code(), Code::kInvalidArgument);
  }
}

// RFC 4648, section 10.
TEST(Base64, VectorsOfTheRfc) {
  EXPECT_EQ(Base64(""), "");
  EXPECT_EQ(Base64("f"), "Zg==");
  EXPECT_EQ(Base64("fo"), "Zm8=");
  EXPECT_EQ(Base64("foo"), "Zm9v");
  EXPECT_EQ(Base64("foob"), "Zm9vYg==");
  EXPECT_EQ(Base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(Base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64("\xff\xfe\xfb"), "//77");
}

}  // namespace
}  // namespace nv::base
