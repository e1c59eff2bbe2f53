#include "host/gateway/run_request.h"

#include <functional>

#include <gtest/gtest.h>

#include "base/limits.h"
#include "host/gateway/languages.h"

namespace nv::host::gateway {
namespace {

using neurovisor::sandbox::v1::Start;

Start GoodStart() {
  Start start;
  start.set_language("python");
  start.set_code("print(1)");
  return start;
}

TEST(PlanRun, DefaultsAreTheContracts) {
  Start start = GoodStart();
  const auto plan = PlanRun(start);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->spec.language, "python");
  EXPECT_EQ(plan->spec.code, "print(1)");
  EXPECT_EQ(plan->spec.timeout, std::chrono::seconds{30});
  EXPECT_EQ(plan->spec.max_output_bytes, 10u << 20);
  EXPECT_EQ(plan->vcpus, 2u);  // medium
  EXPECT_EQ(plan->memory_bytes, 512ull << 20);
  EXPECT_FALSE(plan->spec.stdin_follows);
}

TEST(PlanRun, WhatIsAskedForArrives) {
  Start start = GoodStart();
  start.set_language("shell");
  start.set_code(std::string("\xff\0x", 3));  // bytes, not text
  start.add_args("a b");
  (*start.mutable_env())["K"] = "V=W";
  start.set_timeout_secs(86'400);
  start.set_max_output_bytes(0);
  start.set_size("l");
  start.set_image("mini");
  start.set_cold(true);
  start.set_stdin_follows(true);
  const auto plan = PlanRun(start);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->spec.language, "bash");
  EXPECT_EQ(plan->spec.code, std::string("\xff\0x", 3));
  EXPECT_EQ(plan->spec.args, std::vector<std::string>{"a b"});
  EXPECT_EQ(plan->spec.env.at("K"), "V=W");
  EXPECT_EQ(plan->spec.timeout, std::chrono::hours{24});
  EXPECT_EQ(plan->spec.max_output_bytes, 0u);
  EXPECT_EQ(plan->vcpus, 4u);
  EXPECT_EQ(plan->image, "mini");
  EXPECT_TRUE(plan->cold);
  EXPECT_TRUE(plan->spec.stdin_follows);
}

struct Refused {
  const char* name;
  std::function<void(Start&)> spoil;
  std::vector<std::string> message_has;
};

TEST(PlanRun, PastALimitTheErrorNamesFieldSizeAndLimit) {
  const std::vector<Refused> cases = {
      {"empty code", [](Start& s) { s.clear_code(); }, {"code"}},
      {"code",
       [](Start& s) { s.set_code(std::string(base::kMaxCodeBytes + 1, 'x')); },
       {"code", "4194305", "4194304"}},
      {"args count",
       [](Start& s) {
         for (int i = 0; i < 257; ++i) s.add_args("x");
       },
       {"args", "257", "256"}},
      {"args bytes",
       [](Start& s) { s.add_args(std::string(128 * 1024, 'x')); },
       {"args", "131073", "131072"}},
      {"NUL in args", [](Start& s) { s.add_args(std::string("a\0b", 3)); }, {"args", "NUL"}},
      {"env count",
       [](Start& s) {
         for (int i = 0; i < 257; ++i) (*s.mutable_env())["K" + std::to_string(i)] = "";
       },
       {"env", "257", "256"}},
      {"env bytes",
       [](Start& s) { (*s.mutable_env())["K"] = std::string(128 * 1024 - 2, 'x'); },
       {"env", "131073", "131072"}},
      {"env name", [](Start& s) { (*s.mutable_env())["A=B"] = "x"; }, {"env", "A=B"}},
      {"env without name", [](Start& s) { (*s.mutable_env())[""] = "x"; }, {"env"}},
      {"NUL in env",
       [](Start& s) { (*s.mutable_env())["K"] = std::string("\0", 1); },
       {"env", "NUL"}},
      {"timeout", [](Start& s) { s.set_timeout_secs(86'401); }, {"timeout_secs", "86401", "86400"}},
      {"size", [](Start& s) { s.set_size("huge"); }, {"size", "huge", "medium"}},
      {"image", [](Start& s) { s.set_image(std::string(65, 'x')); }, {"image", "65", "64"}},
      {"language",
       [](Start& s) { s.set_language("cobol\x1b"); },
       {"language", "cobol\\x1b", "python", "bash", "rust"}},
      {"no language", [](Start& s) { s.clear_language(); }, {"language", "python"}},
  };
  for (const Refused& refused : cases) {
    Start start = GoodStart();
    refused.spoil(start);
    const auto plan = PlanRun(start);
    ASSERT_FALSE(plan) << refused.name;
    EXPECT_EQ(plan.error().code(), base::Code::kInvalidArgument) << refused.name;
    for (const std::string& word : refused.message_has) {
      EXPECT_NE(plan.error().message().find(word), std::string::npos)
          << refused.name << ": " << plan.error().message();
    }
  }
}

TEST(PlanRun, AtEachLimitARunIsAccepted) {
  Start start = GoodStart();
  start.set_code(std::string(base::kMaxCodeBytes, 'x'));
  start.add_args(std::string(128 * 1024 - 1, 'x'));
  (*start.mutable_env())["K"] = std::string(128 * 1024 - 3, 'x');
  EXPECT_TRUE(PlanRun(start));
}

TEST(PlanRun, FilesAreNotThereYetAndSaidSo) {
  for (const auto& spoil : std::vector<std::function<void(Start&)>>{
           [](Start& s) { s.set_files_follow(true); },
           [](Start& s) { s.add_get("out.txt"); },
           [](Start& s) { s.set_main("main.py"); },
       }) {
    Start start = GoodStart();
    spoil(start);
    const auto plan = PlanRun(start);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code(), base::Code::kUnimplemented);
  }
}

TEST(PlanRun, TheFirstLineMayNameTheLanguage) {
  Start start = GoodStart();
  start.clear_language();
  start.set_code("#!/usr/bin/env python3.11\nprint(1)");
  const auto plan = PlanRun(start);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->spec.language, "python");
}

TEST(Languages, EveryAliasIsItsLanguage) {
  EXPECT_EQ(CanonicalLanguage("python3"), "python");
  EXPECT_EQ(CanonicalLanguage("sh"), "bash");
  EXPECT_EQ(CanonicalLanguage("node"), "javascript");
  EXPECT_EQ(CanonicalLanguage("golang"), "go");
  EXPECT_EQ(CanonicalLanguage("rs"), "rust");
  EXPECT_FALSE(CanonicalLanguage("Python"));
  EXPECT_FALSE(CanonicalLanguage(""));
}

TEST(Languages, ShebangLines) {
  EXPECT_EQ(LanguageFromShebang("#!/bin/sh -e\n"), "bash");
  EXPECT_EQ(LanguageFromShebang("#! /usr/bin/bash"), "bash");
  EXPECT_EQ(LanguageFromShebang("#!/usr/bin/env -S node --x\n"), "javascript");
  EXPECT_FALSE(LanguageFromShebang("#!"));
  EXPECT_FALSE(LanguageFromShebang("#!/usr/bin/env"));
  EXPECT_FALSE(LanguageFromShebang("#!/usr/bin/perl\n"));
  EXPECT_FALSE(LanguageFromShebang("print(1)"));
  EXPECT_FALSE(LanguageFromShebang("#!" + std::string(10'000, 'x') + "/python"));
}

TEST(ChooseTrace, TraceparentWinsThenTheFieldThenTheHeader) {
  const base::SystemClock clock;
  constexpr std::string_view kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  EXPECT_EQ(ChooseTrace(kParent, "field", "header", clock)->Hex(),
            "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(ChooseTrace("", "field", "header", clock)->text(), "field");
  EXPECT_EQ(ChooseTrace("", "", "header", clock)->text(), "header");
  EXPECT_EQ(ChooseTrace("nonsense", "", "header", clock)->text(), "header");
  EXPECT_EQ(ChooseTrace("", "", "", clock)->text().size(), 36u);
  EXPECT_FALSE(ChooseTrace("", "a\nb", "", clock));
}

}  // namespace
}  // namespace nv::host::gateway
