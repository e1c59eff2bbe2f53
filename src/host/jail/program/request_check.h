// RequestCheck: what the jail believes of a request. Pure: no system call, no allocation.
//
// Called by the server on every record, before anything else looks at it.
//
// TRUST: the record comes from the engine, which may be taken over. Every field is read here once
// and bounded; what passes is safe to act on.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "host/jail/protocol/messages.h"

namespace nv::host::jail {

// nullptr when the record is acceptable; otherwise what is wrong with it, a constant text for
// Reply::stage. `fds_received` is the number of descriptors that really arrived.
[[nodiscard]] const char* CheckRequest(const Request& request, std::size_t fds_received);

// argv for exec: [0] is `program`, then the request's arguments, then nullptr. The pointers lie in
// `request`, which must have passed CheckRequest.
using Argv = std::array<const char*, kMaxArguments + 2>;
void FillArgv(const Request& request, const char* program, Argv& argv);

}  // namespace nv::host::jail
