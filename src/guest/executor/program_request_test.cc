#include "guest/executor/program_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"

namespace nv::guest::executor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ProgramEnvironment, RequestComesLastAndNothingIsInherited) {
  const std::string_view language[] = {"GOFLAGS=-mod=mod", "LANG=en"};
  EXPECT_THAT(ProgramEnvironment("/home/sandbox", {.trace_id = "t", .traceparent = "p"}, language,
                                 {{"LANG", "x=y"}, {"A", ""}}),
              ElementsAre("A=", "GOFLAGS=-mod=mod", "HOME=/home/sandbox", "LANG=x=y",
                          "NEUROVISOR_TRACE_ID=t",
                          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                          "TRACEPARENT=p"));
}

TEST(ProgramEnvironment, WithoutATraceItsVariablesAreAbsent) {
  for (const std::string& entry : ProgramEnvironment("/h", {}, {}, {})) {
    EXPECT_THAT(entry, testing::Not(HasSubstr("TRACE")));
  }
}

TEST(ProgramRequest, LimitsHoldAtTheirExactValue) {
  EXPECT_TRUE(CheckCode(std::string(base::kMaxCodeBytes, 'x')));
  EXPECT_FALSE(CheckCode(std::string(base::kMaxCodeBytes + 1, 'x')));
  EXPECT_TRUE(CheckArguments(std::vector<std::string>(base::kMaxArgs, "x")));
  EXPECT_FALSE(CheckArguments(std::vector<std::string>(base::kMaxArgs + 1, "x")));
  EXPECT_TRUE(CheckArguments({std::string(base::kMaxArgsBytes - 1, 'x')}));
  EXPECT_FALSE(CheckArguments({std::string(base::kMaxArgsBytes, 'x')}));
  EXPECT_TRUE(CheckEnvironment({{"A", std::string(base::kMaxEnvBytes - 3, 'x')}}));
  EXPECT_FALSE(CheckEnvironment({{"A", std::string(base::kMaxEnvBytes - 2, 'x')}}));
  std::map<std::string, std::string> many;
  for (std::size_t i = 0; i < base::kMaxEnvEntries; ++i) many["K" + std::to_string(i)] = "";
  EXPECT_TRUE(CheckEnvironment(many));
  many["one more"] = "";
  EXPECT_THAT(CheckEnvironment(many).error().message(), HasSubstr("257 entries, the limit is 256"));
}

TEST(ProgramRequest, NamesThatWouldNotArriveAreRefusedAndShownHarmless) {
  EXPECT_FALSE(CheckEnvironment({{"", "x"}}));
  EXPECT_FALSE(CheckEnvironment({{"A=", "x"}}));
  EXPECT_FALSE(CheckEnvironment({{std::string("A\0", 2), "x"}}));
  EXPECT_FALSE(CheckEnvironment({{"A", std::string("\0", 1)}}));
  EXPECT_THAT(CheckEnvironment({{"\x1b[31m=", "x"}}).error().message(),
              testing::Not(HasSubstr("\x1b")));
}

TEST(ProgramRequest, TimeoutZeroIsTheDefault) {
  EXPECT_EQ(CheckTimeout(0).value(), std::chrono::seconds(30));
  EXPECT_EQ(CheckTimeout(86'400'000).value(), std::chrono::hours(24));
  EXPECT_FALSE(CheckTimeout(86'400'001));
}

}  // namespace
}  // namespace nv::guest::executor
