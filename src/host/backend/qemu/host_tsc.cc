#include "host/backend/qemu/host_tsc.h"

#include <time.h>

#include <x86intrin.h>

namespace nv::host::backend::qemu {
namespace {

constexpr std::int64_t kWindowNs = 10'000'000;

std::int64_t RawNs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

TscMeter::TscMeter() : start_ticks_(__rdtsc()), start_ns_(RawNs()) {}

std::uint32_t TscMeter::Khz() const {
  std::int64_t elapsed = RawNs() - start_ns_;
  while (elapsed < kWindowNs) {
    const timespec rest{.tv_sec = 0, .tv_nsec = kWindowNs - elapsed};
    ::nanosleep(&rest, nullptr);
    elapsed = RawNs() - start_ns_;
  }
  const std::uint64_t ticks = __rdtsc() - start_ticks_;
  return static_cast<std::uint32_t>(static_cast<double>(ticks) * 1e6 /
                                    static_cast<double>(elapsed));
}

}  // namespace nv::host::backend::qemu
