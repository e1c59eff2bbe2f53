#include "host/cli/flags.h"

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nv::host::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::array<FlagSpec, 4> kSpecs{{
    {"timeout", 't', FlagKind::kValue, FlagVariable::kRead},
    {"env", 'e'},
    {"json", 0, FlagKind::kSwitch, FlagVariable::kRead},
    {"help", 'h', FlagKind::kSwitch},
}};

std::optional<std::string> NoVariables(std::string_view) { return std::nullopt; }

base::Result<ParsedArgs> Parse(std::vector<std::string> args,
                               VariableReader read_variable = NoVariables) {
  return ParseFlags(kSpecs, args, read_variable);
}

std::string Message(std::vector<std::string> args, VariableReader read_variable = NoVariables) {
  const auto parsed = Parse(std::move(args), read_variable);
  return parsed ? "accepted" : parsed.error().message();
}

TEST(Flags, EachSpellingOfAValueIsRead) {
  for (const auto& args : std::vector<std::vector<std::string>>{
           {"--timeout", "5"}, {"--timeout=5"}, {"-t", "5"}, {"-t5"}}) {
    const auto parsed = Parse(args);
    ASSERT_TRUE(parsed) << args[0];
    ASSERT_NE(parsed->Find("timeout"), nullptr);
    EXPECT_EQ(parsed->Find("timeout")->value, "5");
    EXPECT_EQ(parsed->Find("timeout")->source, args[0].substr(0, args[0][1] == '-' ? 9 : 2));
  }
}

TEST(Flags, ValueMayLookLikeAFlag) {
  const auto parsed = Parse({"-t", "-1", "--env", "--", "word"});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->Find("timeout")->value, "-1");
  EXPECT_EQ(parsed->Find("env")->value, "--");
  EXPECT_THAT(parsed->words, ElementsAre("word"));
}

TEST(Flags, EverythingAfterTwoDashesIsForTheProgram) {
  const auto parsed = Parse({"file", "--", "-t", "--", ""});
  ASSERT_TRUE(parsed);
  EXPECT_THAT(parsed->words, ElementsAre("file"));
  EXPECT_THAT(parsed->rest, ElementsAre("-t", "--", ""));
  EXPECT_EQ(parsed->Find("timeout"), nullptr);
}

TEST(Flags, DashAndEmptyTextAreWords) {
  const auto parsed = Parse({"-", ""});
  ASSERT_TRUE(parsed);
  EXPECT_THAT(parsed->words, ElementsAre("-", ""));
}

TEST(Flags, LastValueWins) { EXPECT_EQ(Parse({"-t1", "-t2"})->Find("timeout")->value, "2"); }

TEST(Flags, UnknownFlagIsNamedWithTheAcceptedOnesAndTheNearest) {
  EXPECT_THAT(Message({"--tiemout=5"}),
              testing::AllOf(HasSubstr("'--tiemout'"), HasSubstr("did you mean --timeout?"),
                             HasSubstr("accepted: --timeout (-t), --env (-e), --json")));
  EXPECT_THAT(Message({"-x"}), HasSubstr("unknown flag '-x';"));
  EXPECT_THAT(Message({"-"}), "accepted");
}

TEST(Flags, MissingAndSuperfluousValuesAreNamed) {
  EXPECT_EQ(Message({"--timeout"}), "--timeout needs a value");
  EXPECT_EQ(Message({"-e"}), "-e needs a value");
  EXPECT_THAT(Message({"--json=yes"}), HasSubstr("--json takes no value"));
  EXPECT_THAT(Message({"-hx"}), HasSubstr("-h takes no value"));
}

TEST(Flags, VariableStandsInAndTheFlagWins) {
  const VariableReader seven = [](std::string_view flag) -> std::optional<std::string> {
    if (flag == "timeout") return "7";
    return std::nullopt;
  };
  auto parsed = Parse({}, seven);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->Find("timeout")->value, "7");
  EXPECT_EQ(parsed->Find("timeout")->source, "NEUROVISOR_TIMEOUT");
  EXPECT_EQ(Parse({"-t5"}, seven)->Find("timeout")->value, "5");
}

TEST(Flags, VariableOfASwitchIsYesOrNo) {
  const VariableReader yes = [](std::string_view) -> std::optional<std::string> { return "yes"; };
  const VariableReader off = [](std::string_view) -> std::optional<std::string> { return "off"; };
  const VariableReader bad = [](std::string_view) -> std::optional<std::string> { return "maybe"; };
  EXPECT_NE(Parse({}, yes)->Find("json"), nullptr);
  EXPECT_EQ(Parse({}, off)->Find("json"), nullptr);
  EXPECT_THAT(Message({}, bad), HasSubstr("NEUROVISOR_JSON: 'maybe' is neither yes nor no"));
}

TEST(Flags, FarAwayWordsSuggestNothing) {
  constexpr std::array<std::string_view, 2> kNames{"run", "version"};
  EXPECT_EQ(Nearest("rum", kNames), "run");
  EXPECT_EQ(Nearest("versoin", kNames), "version");
  EXPECT_EQ(Nearest("frobnicate", kNames), "");
  EXPECT_EQ(Nearest("xyz", kNames), "");
  EXPECT_EQ(Nearest(std::string(100'000, 'r'), kNames), "");
}

}  // namespace
}  // namespace nv::host::cli
