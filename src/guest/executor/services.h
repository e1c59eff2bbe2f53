// The two services of the guest: guest.v1 (called by the host's guestlink) and ExecutionService.
//
// Registered with the server by main; gRPC's callback API, so no thread waits for a call. Prepare,
// Lease and Shutdown act on the machine through GuestMachine, which a test replaces.

#pragma once

#include <cstdint>
#include <memory>

#include "guest/boot/guest_machine.h"
#include "guest/executor/engine.h"

namespace grpc {
class Service;
}

namespace nv::guest::executor {

// Both must outlive the service.
// start_boottime_ns: CLOCK_BOOTTIME when the agent began.
[[nodiscard]] std::unique_ptr<grpc::Service> MakeGuestService(Engine& engine,
                                                              boot::GuestMachine& machine,
                                                              std::int64_t start_boottime_ns);
// neurovisor.execution.ExecutionService, the older shape of the same engine.
[[nodiscard]] std::unique_ptr<grpc::Service> MakeExecutionService(Engine& engine);

}  // namespace nv::guest::executor
