// Token bucket: how many things one party may start, on average and in a burst.
//
// Called by the gateway (one bucket per identity) and by guestlink (one per VM). Thread-compatible:
// the caller holds its lock. Time comes from the caller, never from here, so that tests and the
// simulation own the clock.

#pragma once

#include <chrono>
#include <cstdint>

namespace nv::base {

// Capacity and rate of a bucket. Both at least 1: the caller has checked them.
struct TokenBucketLimit {
  std::uint32_t capacity = 100;          // tokens; the largest burst
  std::uint32_t refill_per_second = 50;  // tokens per second
};

class TokenBucket {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Starts full: a client's first burst is never refused.
  TokenBucket(TokenBucketLimit limit, Time now);

  // Takes one token and returns zero, or takes nothing and returns how long until one is there
  // (the value for google.rpc.RetryInfo). `now` before an earlier `now` counts as that earlier one.
  [[nodiscard]] std::chrono::nanoseconds TakeOrWait(Time now);

 private:
  TokenBucketLimit limit_;
  std::int64_t nano_tokens_;  // 1e-9 token: refill at 1/s stays exact over single nanoseconds
  Time refilled_at_;
};

}  // namespace nv::base
