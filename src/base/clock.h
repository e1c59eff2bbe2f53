// Clock: where time comes from, so that tests and the pool's simulation own it.

#pragma once

#include <chrono>

namespace nv::base {

class Clock {
 public:
  using Steady = std::chrono::steady_clock::time_point;
  using Wall = std::chrono::system_clock::time_point;

  virtual ~Clock() = default;
  [[nodiscard]] virtual Steady Now() const = 0;    // monotonic: deadlines, durations
  [[nodiscard]] virtual Wall WallNow() const = 0;  // UTC: ids, logs, the guest's clock
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] Steady Now() const override { return std::chrono::steady_clock::now(); }
  [[nodiscard]] Wall WallNow() const override { return std::chrono::system_clock::now(); }
};

class FakeClock final : public Clock {
 public:
  explicit FakeClock(Wall wall = Wall{std::chrono::seconds{1'800'000'000}}) : wall_(wall) {}
  [[nodiscard]] Steady Now() const override { return Steady{elapsed_}; }
  [[nodiscard]] Wall WallNow() const override {
    return wall_ + std::chrono::duration_cast<Wall::duration>(elapsed_);
  }
  void Advance(std::chrono::nanoseconds by) { elapsed_ += by; }

 private:
  Wall wall_;
  std::chrono::nanoseconds elapsed_{0};
};

}  // namespace nv::base
