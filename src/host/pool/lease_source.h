// LeaseSource: where the gateway gets a guest for one request: booted on the spot now
// (BootOnDemand), from the warm pool once there is one.
//
// Called by the gateway, on the request's thread; any number at once.

#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "host/pool/vm_maker.h"

namespace nv::host::pool {

struct LeaseRequest {
  base::TraceId trace;
  std::string language;  // canonical name; the image must have it
  std::string image;     // empty: the default
  std::uint32_t vcpus = 1;
  std::uint64_t memory_bytes = 256ull << 20;
  bool cold = false;  // boot, no template; under TCG the tuned kernel goes without its APIC timer
};

// What is being waited for, for a person: "boot a microVM (qemu, tcg)". Called on Acquire's thread.
using StageHandler = std::function<void(std::string_view stage)>;

class LeaseSource {
 public:
  virtual ~LeaseSource() = default;
  // Blocks until a guest is ready for user code. kNotFound: no such image (remedy: build it);
  // kFailedPrecondition: the image lacks the language (remedy: the image that has it); kDataLoss:
  // damaged image; kDeadlineExceeded, kUnavailable: the guest did not come up; kCancelled.
  [[nodiscard]] virtual base::Result<Lease> Acquire(const LeaseRequest& request,
                                                    const StageHandler& on_stage,
                                                    std::stop_token stop) = 0;
  // What its guests run on: "qemu" and "tcg".
  [[nodiscard]] virtual std::string backend() const = 0;
  [[nodiscard]] virtual std::string accelerator() const = 0;
};

}  // namespace nv::host::pool
