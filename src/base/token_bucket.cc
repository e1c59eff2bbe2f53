#include "base/token_bucket.h"

#include <algorithm>

namespace nv::base {
namespace {

constexpr std::int64_t kOneToken = 1'000'000'000;  // in nano tokens

}  // namespace

TokenBucket::TokenBucket(TokenBucketLimit limit, Time now)
    : limit_(limit), nano_tokens_(limit.capacity * kOneToken), refilled_at_(now) {}

std::chrono::nanoseconds TokenBucket::TakeOrWait(Time now) {
  const std::int64_t full = limit_.capacity * kOneToken;
  const std::int64_t rate = limit_.refill_per_second;  // nano tokens per nanosecond

  // A bucket left alone for a century must not overflow: past this gap it is full anyway.
  const std::chrono::nanoseconds time_to_full{(full - nano_tokens_) / rate + 1};
  const auto elapsed = std::clamp(now - refilled_at_, std::chrono::nanoseconds{0}, time_to_full);
  nano_tokens_ = std::min(full, nano_tokens_ + elapsed.count() * rate);
  refilled_at_ = std::max(refilled_at_, now);

  if (nano_tokens_ >= kOneToken) {
    nano_tokens_ -= kOneToken;
    return std::chrono::nanoseconds{0};
  }
  const std::int64_t missing = kOneToken - nano_tokens_;
  return std::chrono::nanoseconds{(missing + rate - 1) / rate};
}

}  // namespace nv::base
