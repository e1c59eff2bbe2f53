// One measured boot: image to the exit of `print(1)`, as a private run does it.
//
// Called by `bench boot`, on its thread.

#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "host/config/config.h"
#include "host/pool/lease_source.h"

namespace nv::host::engine {

// What is timed, in the order in which it happens.
enum class BootEvent : std::size_t {
  kVmmStarted,     // image opened, VMM running: what the host adds before the guest's own time
  kKernelStarted,  // zero of the guest's clock
  kAgentStarted,   // the guest's first process began
  kAgentReady,     // first answer of the guest
  kLeased,         // entropy, clock and trace id confirmed
  kFirstOutput,    // first byte of the program's output
  kExit,           // the result is here
};
inline constexpr std::size_t kBootEvents = 7;
// "VMM started", ... for people; "vmm_started", ... for JSON.
[[nodiscard]] std::string_view EventTitle(BootEvent event);
[[nodiscard]] std::string_view EventKey(BootEvent event);

struct BootSample {
  std::array<double, kBootEvents> ms{};  // since the request, by BootEvent
  double guest_run_ms = 0;               // of the program, by the guest's clock
};

[[nodiscard]] base::Result<BootSample> MeasureBoot(pool::LeaseSource& source,
                                                   const base::Clock& clock,
                                                   const std::string& image,
                                                   const config::Size& size);

}  // namespace nv::host::engine
