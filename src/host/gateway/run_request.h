// A client's Start, checked and made into what the rest of the engine works with.
//
// Called by the Sandboxes service. TRUST: the client is hostile; past this file a request is within
// the limits of base/limits.h. Includes the client proto: only the gateway's own files and tests
// include this.

#pragma once

#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "host/guestlink/guest_link.h"
#include "neurovisor/sandbox.pb.h"

namespace nv::host::gateway {

struct RunPlan {
  guestlink::RunSpec spec;
  std::string image;  // empty: the default
  std::uint32_t vcpus = 1;
  std::uint64_t memory_bytes = 0;
  bool cold = false;
};

// Takes the code out of `start`. kInvalidArgument names field, size and limit; kUnimplemented what
// this version cannot do (files in and out).
[[nodiscard]] base::Result<RunPlan> PlanRun(neurovisor::sandbox::v1::Start& start);

// The trace of a request: traceparent wins, then the request's own field, then x-trace-id, then a
// new one. Empty strings are absent. kInvalidArgument for a bad trace id; a bad traceparent is
// ignored, as W3C says.
[[nodiscard]] base::Result<base::TraceId> ChooseTrace(std::string_view traceparent,
                                                      std::string_view field,
                                                      std::string_view header,
                                                      const base::Clock& clock);

}  // namespace nv::host::gateway
