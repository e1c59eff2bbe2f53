#include "host/backend/qemu/host_tsc.h"

#include <time.h>

#include <x86intrin.h>

namespace nv::host::backend::qemu {
namespace {

constexpr std::int64_t kWindowNs = 3'000'000;
constexpr int kTries = 8;

std::int64_t RawNs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

// Both clocks at one moment: the clock is read between two TSC reads, and the try with the closest
// two counts. An interruption in between would otherwise go into the rate.
TscMeter::Moment TscMeter::Now() {
  Moment best{};
  std::uint64_t narrowest = ~std::uint64_t{0};
  for (int i = 0; i < kTries; ++i) {
    const std::uint64_t before = __rdtsc();
    const std::int64_t ns = RawNs();
    const std::uint64_t width = __rdtsc() - before;
    if (width < narrowest) {
      narrowest = width;
      best = {before + width / 2, ns};
    }
  }
  return best;
}

TscMeter::TscMeter() : start_(Now()) {}

std::uint32_t TscMeter::Khz() const {
  for (std::int64_t elapsed = RawNs() - start_.ns; elapsed < kWindowNs;
       elapsed = RawNs() - start_.ns) {
    const timespec rest{.tv_sec = 0, .tv_nsec = kWindowNs - elapsed};
    ::nanosleep(&rest, nullptr);
  }
  const Moment now = Now();
  return static_cast<std::uint32_t>(static_cast<double>(now.ticks - start_.ticks) * 1e6 /
                                    static_cast<double>(now.ns - start_.ns));
}

}  // namespace nv::host::backend::qemu
