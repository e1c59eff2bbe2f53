// What the calls to a guest have in common: deadlines on the host's clock, statuses turned into
// errors, guest text made harmless.
//
// Used by guest_link.cc and guest_run.cc alone: it shows gRPC types.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include "base/io.h"
#include "base/result.h"

namespace nv::host::guestlink {

// The call ends with DEADLINE_EXCEEDED then; Deadline::max() means never.
void SetDeadline(grpc::ClientContext& context, base::Deadline deadline);

// TRUST: text of a guest, cut and escaped, for messages to people.
[[nodiscard]] std::string GuestText(std::string_view text, std::size_t max_characters = 200);

// A failed call as our error. `what` is what was tried ("ask the guest to prepare"). A broken or
// silent channel keeps its code; INVALID_ARGUMENT, NOT_FOUND and FAILED_PRECONDITION are the
// guest's answer and kept; everything else is kDataLoss: an honest guest does not say it.
[[nodiscard]] base::Error ErrorFromGuest(const grpc::Status& status, std::string_view what);

}  // namespace nv::host::guestlink
