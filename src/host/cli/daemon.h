// The daemon's socket: which one to use, if any.

#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::host::cli {

// Candidates in the contract's order: --socket (may be empty), NEUROVISOR_SOCKET,
// $XDG_RUNTIME_DIR/neurovisor/api.sock, /run/neurovisor/api.sock.
[[nodiscard]] std::vector<std::string> DaemonSockets(
    const std::string& flag,
    const std::function<std::optional<std::string>(const std::string& name)>& environment);

// Connects to the first that answers (a stream socket, O_CLOEXEC). nullopt when none does.
// A socket that refuses or is absent is passed over; `on_skipped` is told its path and the reason.
// kPermissionDenied names the group that may connect; kInvalidArgument: a path too long for a
// socket; kUnavailable: a daemon that is too busy to take a connection.
[[nodiscard]] base::Result<std::optional<base::UniqueFd>> ConnectToDaemon(
    const std::vector<std::string>& sockets,
    const std::function<void(const std::string& path, const std::string& reason)>& on_skipped);

}  // namespace nv::host::cli
