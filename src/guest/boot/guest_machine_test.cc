// Only what touches nothing: the rest of RealMachine needs a machine of its own (tests/vm).

#include "guest/boot/guest_machine.h"

#include <gtest/gtest.h>

namespace nv::guest::boot {
namespace {

TEST(RealMachine, NamesThatAreNoneAreRefusedBeforeAnythingIsSet) {
  RealMachine machine([] {});
  for (const std::string& name : {std::string("a b"), std::string("a\n"), std::string("a\0", 2),
                                  std::string(65, 'a'), std::string("../x")}) {
    const auto refused = machine.SetNames(name, "");
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().code(), base::Code::kInvalidArgument);
  }
  for (const char* id : {"x", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef\n"}) {
    const auto refused = machine.SetNames("", id);
    ASSERT_FALSE(refused) << id;
    EXPECT_EQ(refused.error().code(), base::Code::kInvalidArgument);
  }
}

TEST(BorrowedMachine, DeclaresAllThatItDoesNotDo) {
  BorrowedMachine machine([] {});
  EXPECT_FALSE(machine.FeedEntropy("x").value());
  EXPECT_FALSE(machine.SetClock(1).value());
  EXPECT_EQ(machine.Lacks().size(), 3U);
}

TEST(Boottime, GoesForward) {
  const auto first = BoottimeNs();
  EXPECT_GT(first, 0);
  EXPECT_GE(BoottimeNs(), first);
}

}  // namespace
}  // namespace nv::guest::boot
