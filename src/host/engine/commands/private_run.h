// private-run: one client on descriptor 3, one engine, no daemon.
//
// Started by neurovisor run, in a session of its own. Ends when the client's socket closes, however
// that happens; the jail and the guest end with it. Settings come by environment, as every flag has
// it: NEUROVISOR_ACCEL, NEUROVISOR_BACKEND, NEUROVISOR_DATA_DIR, NEUROVISOR_QEMU,
// NEUROVISOR_BOOT_TIMEOUT (seconds, 1 to 600; default 60).

#pragma once

#include <span>
#include <string>

namespace nv::host::engine {

// Exit status 0 when the client was served (whatever came of its run), 1 with a line on stderr when
// not.
[[nodiscard]] int PrivateRunCommand(std::span<const std::string> args);

}  // namespace nv::host::engine
