#include "base/result.h"

#include <gtest/gtest.h>

#include "base/outcome.h"

namespace nv::base {
namespace {

TEST(Error, ErrnoChoosesTheCodeAndIsKept) {
  const Error missing = Error::FromErrno(ENOENT, "cannot open 'x'");
  EXPECT_EQ(missing.code(), Code::kNotFound);
  EXPECT_EQ(missing.error_number(), ENOENT);
  EXPECT_EQ(missing.message(), "cannot open 'x': No such file or directory");
  EXPECT_EQ(Error::FromErrno(EACCES, "").code(), Code::kPermissionDenied);
  EXPECT_EQ(Error::FromErrno(EPERM, "").code(), Code::kPermissionDenied);
  EXPECT_EQ(Error::FromErrno(EEXIST, "").code(), Code::kAlreadyExists);
  EXPECT_EQ(Error::FromErrno(ENOSPC, "").code(), Code::kResourceExhausted);
  EXPECT_EQ(Error::FromErrno(EMFILE, "").code(), Code::kResourceExhausted);
  EXPECT_EQ(Error::FromErrno(ENOMEM, "").code(), Code::kResourceExhausted);
  EXPECT_EQ(Error::FromErrno(ETIMEDOUT, "").code(), Code::kDeadlineExceeded);
  EXPECT_EQ(Error::FromErrno(EPIPE, "").code(), Code::kUnavailable);
}

TEST(Error, ContextGoesInFrontAndKeepsTheRest) {
  const Error error = Error::FromErrno(EPIPE, "write")
                          .WithRemedy("start it again")
                          .WithDetails("line")
                          .WithContext("channel")
                          .WithContext("vm-1");
  EXPECT_EQ(error.message(), "vm-1: channel: write: Broken pipe");
  EXPECT_EQ(error.error_number(), EPIPE);
  EXPECT_EQ(error.remedy(), "start it again");
  EXPECT_EQ(error.details(), "line");
}

TEST(Error, CodeNamesAreThoseOfGrpc) {
  EXPECT_EQ(CodeName(Code::kInvalidArgument), "INVALID_ARGUMENT");
  EXPECT_EQ(CodeName(Code::kUnauthenticated), "UNAUTHENTICATED");
  EXPECT_EQ(CodeName(static_cast<Code>(999)), "UNKNOWN");
}

TEST(Outcome, ExitStatusFollowsTheContract) {
  EXPECT_EQ(ExitCodeFor(Outcome::kSuccess, 0, 0), 0);
  EXPECT_EQ(ExitCodeFor(Outcome::kError, 7, 0), 7);
  EXPECT_EQ(ExitCodeFor(Outcome::kCompileError, 1, 0), 1);
  EXPECT_EQ(ExitCodeFor(Outcome::kTimeout, 0, 9), 124);
  EXPECT_EQ(ExitCodeFor(Outcome::kOom, 0, 9), 137);
  EXPECT_EQ(ExitCodeFor(Outcome::kSignal, 0, 11), 139);
  EXPECT_EQ(ExitCodeFor(Outcome::kOutputLimit, 3, 0), 3);
  EXPECT_EQ(ExitCodeFor(Outcome::kOutputLimit, 0, 13), 141);
  EXPECT_EQ(ExitCodeFor(Outcome::kCancelled, 0, 15), 130);
}

TEST(Outcome, NamesAreTheClosedSet) {
  EXPECT_EQ(OutcomeName(Outcome::kSuccess), "success");
  EXPECT_EQ(OutcomeName(Outcome::kError), "error");
  EXPECT_EQ(OutcomeName(Outcome::kCompileError), "compile_error");
  EXPECT_EQ(OutcomeName(Outcome::kTimeout), "timeout");
  EXPECT_EQ(OutcomeName(Outcome::kOom), "oom");
  EXPECT_EQ(OutcomeName(Outcome::kSignal), "signal");
  EXPECT_EQ(OutcomeName(Outcome::kOutputLimit), "output_limit");
  EXPECT_EQ(OutcomeName(Outcome::kCancelled), "cancelled");
  EXPECT_EQ(OutcomeName(static_cast<Outcome>(0)), "error");
}

}  // namespace
}  // namespace nv::base
