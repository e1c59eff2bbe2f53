// The host's TSC rate, for the guest's tsc_early_khz= under TCG.
//
// Under TCG the guest reads the host's TSC. A guest that calibrates it against the emulated PIT on
// a busy host fails now and then, and hangs at boot or keeps a 10 ms clock for life (measured), so
// the rate is handed over. It is measured here against CLOCK_MONOTONIC_RAW: cpuid leaf 0x15 is
// absent on AMD and on many hypervisors, and /proc/cpuinfo shows the core's present frequency
// instead.

#pragma once

#include <cstdint>

namespace nv::host::backend::qemu {

// Starts at construction, so that the time measured over passes while the caller does something
// else.
class TscMeter {
 public:
  TscMeter();
  // kHz, right to about 0.01 %. Waits until 3 ms have passed since construction.
  [[nodiscard]] std::uint32_t Khz() const;

 private:
  struct Moment {
    std::uint64_t ticks;
    std::int64_t ns;
  };
  static Moment Now();
  Moment start_;
};

}  // namespace nv::host::backend::qemu
