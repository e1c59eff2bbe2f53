// One Run of guest.v1, from the first byte sent to the verdict. Used by guest_link.cc alone.
//
// Threads: the caller's reads the answers; one writes stdin when there is any; one watches the
// clock. All have ended when RunInGuest returns.

#pragma once

#include <memory>
#include <stop_token>

#include "base/result.h"
#include "host/guestlink/guest_link.h"

namespace grpc {
class Channel;
}

namespace nv::host::guestlink {

// See GuestLink::Run.
[[nodiscard]] base::Result<RunOutcome> RunInGuest(const std::shared_ptr<grpc::Channel>& channel,
                                                  const LinkOptions& options, const RunSpec& spec,
                                                  StdinSource* input, OutputSink& output,
                                                  std::stop_token stop);

}  // namespace nv::host::guestlink
