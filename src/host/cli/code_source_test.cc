#include "host/cli/code_source.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "host/cli/languages.h"

namespace nv::host::cli {
namespace {

using testing::HasSubstr;

std::string LanguageOf(const std::string& file, const std::string& code,
                       const std::string& flag = "") {
  RunOptions options;
  if (!file.empty()) options.file = file;
  options.language = flag;
  const auto source = CheckCode(options, code, file);
  return source ? source->language : "refused: " + source.error().message();
}

TEST(Languages, NamesAndAliasesAreTheContracts) {
  EXPECT_EQ(*ParseLanguage("python3"), "python");
  EXPECT_EQ(*ParseLanguage("sh"), "bash");
  EXPECT_EQ(*ParseLanguage("shell"), "bash");
  EXPECT_EQ(*ParseLanguage("node"), "javascript");
  EXPECT_EQ(*ParseLanguage("js"), "javascript");
  EXPECT_EQ(*ParseLanguage("golang"), "go");
  EXPECT_EQ(*ParseLanguage("rs"), "rust");
  for (const char* bad : {"", "Python", "ruby", "py", "python "}) {
    ASSERT_FALSE(ParseLanguage(bad)) << bad;
    EXPECT_THAT(ParseLanguage(bad).error().message(), HasSubstr(SupportedLanguages()));
  }
}

TEST(CodeSource, LanguageComesFromTheFlagThenTheSuffixThenTheFirstLine) {
  EXPECT_EQ(LanguageOf("a.py", "#!/bin/bash\n", "go"), "go");
  EXPECT_EQ(LanguageOf("a.py", "#!/bin/bash\n"), "python");
  EXPECT_EQ(LanguageOf("dir.py/a.mjs", "x"), "javascript");
  EXPECT_EQ(LanguageOf("a.rs", "x"), "rust");
  EXPECT_EQ(LanguageOf("a", "#!/bin/bash\necho"), "bash");
  EXPECT_EQ(LanguageOf("a.txt", "#! /bin/sh -e\r\necho"), "bash");
  EXPECT_EQ(LanguageOf("a", "#!/usr/bin/env python3"), "python");
  EXPECT_EQ(LanguageOf("a", "#!/usr/bin/env -S A=1 node --x\n"), "javascript");
  EXPECT_EQ(LanguageOf("a", "\xef\xbb\xbf#!/usr/local/bin/python3.11\n"), "python");
}

TEST(CodeSource, CodeWithoutAFileIsPythonUnlessItsFirstLineTells) {
  EXPECT_EQ(LanguageOf("", "print(1)"), "python");
  EXPECT_EQ(LanguageOf("-", "print(1)"), "python");
  EXPECT_EQ(LanguageOf("-", "#!/bin/bash\necho 1"), "bash");
}

TEST(CodeSource, FileOfUnknownLanguageIsRefused) {
  EXPECT_THAT(LanguageOf("a.txt", "hello"), HasSubstr("neither a known suffix nor a #! line"));
  EXPECT_THAT(LanguageOf("a", "#!/usr/bin/perl\n"), HasSubstr("names 'perl'"));
  EXPECT_THAT(LanguageOf("a", "#!/usr/bin/env\n"), HasSubstr("refused"));
  EXPECT_THAT(LanguageOf("a", "#!"), HasSubstr("refused"));
  EXPECT_THAT(LanguageOf("dir.py/a", "x"), HasSubstr("refused"));
}

TEST(CodeSource, EmptyNulAndTooLargeCodeAreRefusedTheLimitItselfIsNot) {
  EXPECT_THAT(LanguageOf("a.py", ""), HasSubstr("the code is empty"));
  EXPECT_THAT(LanguageOf("a.py", std::string("ab\0c", 4)), HasSubstr("NUL byte at offset 2"));
  EXPECT_EQ(LanguageOf("a.py", std::string(base::kMaxCodeBytes, '#')), "python");
  EXPECT_THAT(LanguageOf("a.py", std::string(base::kMaxCodeBytes + 1, '#')),
              HasSubstr("over the limit of 4194304 bytes"));
}

TEST(CodeSource, CodeIsTakenAsItIsEvenWhenItIsNoUtf8) {
  const auto source = CheckCode(RunOptions{}, "print('\xff')\r\n", "-c");
  ASSERT_TRUE(source);
  EXPECT_EQ(source->code, "print('\xff')\r\n");
}

}  // namespace
}  // namespace nv::host::cli
