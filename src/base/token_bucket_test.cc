#include "base/token_bucket.h"

#include <gtest/gtest.h>

namespace nv::base {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr TokenBucket::Time kStart{};

int TakeAll(TokenBucket& bucket, TokenBucket::Time now) {
  int taken = 0;
  while (bucket.TakeOrWait(now) == nanoseconds{0}) ++taken;
  return taken;
}

TEST(TokenBucket, FirstBurstIsTheWholeCapacity) {
  TokenBucket bucket({.capacity = 100, .refill_per_second = 50}, kStart);
  EXPECT_EQ(TakeAll(bucket, kStart), 100);
}

TEST(TokenBucket, EmptyBucketSaysExactlyHowLongToWait) {
  TokenBucket bucket({.capacity = 1, .refill_per_second = 50}, kStart);
  ASSERT_EQ(bucket.TakeOrWait(kStart), nanoseconds{0});
  const nanoseconds wait = bucket.TakeOrWait(kStart);
  EXPECT_EQ(wait, milliseconds{20});
  EXPECT_NE(bucket.TakeOrWait(kStart + wait - nanoseconds{1}), nanoseconds{0});
  EXPECT_EQ(bucket.TakeOrWait(kStart + wait), nanoseconds{0});
}

TEST(TokenBucket, ClockGoingBackGivesNothingAndTakesNothing) {
  TokenBucket bucket({.capacity = 2, .refill_per_second = 1}, kStart + hours{1});
  EXPECT_EQ(TakeAll(bucket, kStart), 2);
  EXPECT_EQ(TakeAll(bucket, kStart + hours{1}), 0);
}

TEST(TokenBucket, LongIdleFillsToCapacityWithoutOverflow) {
  TokenBucket bucket({.capacity = 100, .refill_per_second = 4'000'000'000}, kStart);
  EXPECT_EQ(TakeAll(bucket, kStart), 100);
  EXPECT_EQ(TakeAll(bucket, kStart + hours{24 * 365 * 100}), 100);
}

}  // namespace
}  // namespace nv::base
