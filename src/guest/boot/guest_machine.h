// GuestMachine: the parts of the machine that the host may set: random numbers, clock, names,
// power.
//
// After a restore every clone has the same random state and an old clock; nothing else in the guest
// knows. Called by the guest service; RealMachine acts on the kernel, tests have their own.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nv::guest::boot {

class GuestMachine {
 public:
  virtual ~GuestMachine() = default;
  // Credits the bytes to the kernel's pool and reseeds at once (RNDADDENTROPY, RNDRESEEDCRNG:
  // random(4)). False where the guest may not do that: Lacks has "rng_feed".
  [[nodiscard]] virtual base::Result<bool> FeedEntropy(std::string_view bytes) = 0;
  // UTC. False where the guest may not do that: Lacks has "clock_set".
  [[nodiscard]] virtual base::Result<bool> SetClock(std::int64_t unix_ns) = 0;
  [[nodiscard]] virtual base::Status SetNames(const std::string& hostname,
                                              const std::string& machine_id) = 0;
  [[nodiscard]] virtual std::vector<std::string> Lacks() const = 0;
  // Ends the machine soon after the call, from another thread: the answer must still get out.
  virtual void RequestShutdown() = 0;
};

// The kernel's own switches, as PID 1 of a guest. `on_shutdown` is called once.
class RealMachine final : public GuestMachine {
 public:
  explicit RealMachine(std::function<void()> on_shutdown) : on_shutdown_(std::move(on_shutdown)) {}
  [[nodiscard]] base::Result<bool> FeedEntropy(std::string_view bytes) override;
  [[nodiscard]] base::Result<bool> SetClock(std::int64_t unix_ns) override;
  [[nodiscard]] base::Status SetNames(const std::string& hostname,
                                      const std::string& machine_id) override;
  [[nodiscard]] std::vector<std::string> Lacks() const override { return {}; }
  void RequestShutdown() override { on_shutdown_(); }

 private:
  const std::function<void()> on_shutdown_;
};

// A guest that is not a machine of its own (a test on a host, a container): touches nothing.
class BorrowedMachine final : public GuestMachine {
 public:
  explicit BorrowedMachine(std::function<void()> on_shutdown)
      : on_shutdown_(std::move(on_shutdown)) {}
  [[nodiscard]] base::Result<bool> FeedEntropy(std::string_view) override { return false; }
  [[nodiscard]] base::Result<bool> SetClock(std::int64_t) override { return false; }
  [[nodiscard]] base::Status SetNames(const std::string&, const std::string&) override {
    return {};
  }
  [[nodiscard]] std::vector<std::string> Lacks() const override {
    return {"rng_feed", "clock_set", "names"};
  }
  void RequestShutdown() override { on_shutdown_(); }

 private:
  const std::function<void()> on_shutdown_;
};

// Nanoseconds of CLOCK_BOOTTIME.
[[nodiscard]] std::int64_t BoottimeNs();

}  // namespace nv::guest::boot
