// What a cell's processes see of the file system: their own /proc, /tmp, /dev/shm and working
// directory, all gone with the cell.
//
// Called by the reaper, in the new mount namespace, before any program runs.

#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/runner/cell_protocol.h"

namespace nv::guest::runner {

// Makes the view and returns the open working directory, owned by the cell's user. Errors are
// short: they travel in an Event.
[[nodiscard]] base::Result<base::UniqueFd> MakeView(const MakeCell& cell);

}  // namespace nv::guest::runner
