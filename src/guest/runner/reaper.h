// The reaper: PID 1 of a cell. It makes the cell's view, starts programs on command, reaps every
// process of the cell, and kills them all when told, or when the agent goes away.
//
// Runs in a process of its own, forked by the spawner; single-threaded; root, so that programs can
// neither signal nor trace it. It is PID 1 because a PID 1 ignores its own signals: a program there
// would survive abort() and SIGTERM. When it ends, the kernel kills the rest of its namespace.

#pragma once

#include <cstdint>
#include <string_view>

#include "base/unique_fd.h"
#include "guest/runner/cell_protocol.h"

namespace nv::guest::runner {

[[noreturn]] void RunReaper(const MakeCell& cell, base::UniqueFd control);

[[nodiscard]] std::int64_t MonotonicNs();
// Fills event.what, cut to fit.
void SetWhat(Event& event, std::string_view what);

}  // namespace nv::guest::runner
