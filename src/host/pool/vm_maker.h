// VmMaker: makes one guest ready for user code: start, connect, ping, prepare, lease. Also for a
// run without a pool.
//
// Called by the gateway's private run and by bench; later by the pool. Blocking, on the caller's
// thread.

#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "host/backend/backend.h"
#include "host/guestlink/guest_link.h"

namespace nv::host::pool {

// When each thing happened, host clock; zero when it has not.
struct BootTimes {
  std::chrono::steady_clock::time_point requested;    // Boot was called
  std::chrono::steady_clock::time_point vmm_started;  // the jail answered: VMM runs
  std::chrono::steady_clock::time_point
      kernel_started;  // guest's boot clock zero, computed from the first ping
  std::chrono::steady_clock::time_point agent_started;  // guest's PID 1 began, computed likewise
  std::chrono::steady_clock::time_point agent_ready;    // first Ping answered
  std::chrono::steady_clock::time_point leased;         // Lease confirmed
};

// A guest on loan to one client: an RAII handle. Destruction stops the guest.
class Lease {
 public:
  Lease(std::unique_ptr<backend::Guest> guest, std::unique_ptr<guestlink::GuestLink> link,
        guestlink::GuestFacts facts, BootTimes times);
  Lease(Lease&&) = default;
  // Stops the guest at once (StopMode::kKill, bounded wait): its storage is throwaway.
  ~Lease();

  // A failed call on link(), explained: when the VMM has ended, how, and its last console lines.
  // Waits at most a moment for the VMM's end.
  [[nodiscard]] base::Error Explain(base::Error error) const;

  [[nodiscard]] guestlink::GuestLink& link() { return *link_; }
  [[nodiscard]] backend::Guest& guest() { return *guest_; }
  [[nodiscard]] const guestlink::GuestFacts& facts() const { return facts_; }
  [[nodiscard]] const BootTimes& times() const { return times_; }

 private:
  std::unique_ptr<backend::Guest> guest_;
  std::unique_ptr<guestlink::GuestLink> link_;
  guestlink::GuestFacts facts_;
  BootTimes times_;
};

class VmMaker {
 public:
  VmMaker(backend::Backend& backend, const base::Clock& clock) : backend_(backend), clock_(clock) {}

  // Boots and leases. When the guest never answers, the error's details carry the last 20 console
  // lines, escaped, and the message says how long it waited; when its VMM ended first, how it
  // ended.
  [[nodiscard]] base::Result<Lease> Boot(const backend::GuestSpec& spec, const base::TraceId& trace,
                                         std::chrono::milliseconds boot_timeout,
                                         std::stop_token stop);

 private:
  backend::Backend& backend_;
  const base::Clock& clock_;
};

}  // namespace nv::host::pool
