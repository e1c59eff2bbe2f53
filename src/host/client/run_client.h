// RunClient: the client's side of sandbox.v1 Run, over a descriptor to a daemon or a private
// engine.
//
// Called by cli's `run` alone. One client makes one run. No guest byte is interpreted here: output
// goes to the callbacks as it came. Memory is bounded by the channel's window (256 KiB) while a
// callback blocks: nothing is read ahead.
//
// TRUST: the engine is believed about the result (it is our own process or the daemon that the user
// chose); what it relays from a guest (output, hint) is not. Whether it answers at all is not
// believed: the call has a deadline. (No keepalive: a callback that blocks on a pager would miss
// the answers.)

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::host::client {

struct RunRequest {
  std::string language;                    // canonical name or alias
  std::string code;                        // any bytes
  std::vector<std::string> args;           // UTF-8: the wire's strings are
  std::map<std::string, std::string> env;  // names UTF-8, values any bytes
  std::uint32_t timeout_secs = 30;
  std::uint64_t max_output_bytes = 0;  // a stream; 0 no limit
  std::string size;                    // empty: the engine's default
  std::string image;                   // empty: the engine's default
  bool cold = false;
  std::string trace_id;
  int stdin_fd = -1;  // borrowed; -1: the program's stdin is empty
};

struct RunReport {
  int exit_code = 0;  // 0..255
  std::string outcome;
  int signal = 0;
  std::uint64_t stdout_truncated = 0;  // bytes discarded past the limit
  std::uint64_t stderr_truncated = 0;
  std::string trace_id;
  std::string vm_id;
  std::string backend;
  std::string accelerator;
  double acquire_ms = 0, prepare_ms = 0, compile_ms = 0, run_ms = 0, total_ms = 0, duration_ms = 0;
  double cpu_ms = 0;
  std::uint64_t max_rss_bytes = 0;
  std::string hint;  // unescaped
};

struct RunCallbacks {
  // Return false to cancel (stdout was closed). Called on the thread of Run.
  std::function<bool(std::string_view)> on_stdout;
  std::function<bool(std::string_view)> on_stderr;
  // What the engine waits for; unescaped.
  std::function<void(std::string_view)> on_progress;
};

struct RunClientOptions {
  // How long a run may take beyond its own timeout: queueing, boot, compiling, the host's grace.
  // The engine has shorter limits for each; this one is against an engine that forgot.
  std::chrono::milliseconds overhead = std::chrono::minutes{20};
};

class RunClient {
 public:
  // Takes a connected stream socket to the gateway.
  [[nodiscard]] static std::unique_ptr<RunClient> Create(base::UniqueFd fd,
                                                         RunClientOptions options = {});
  // Closes the connection, which ends a run that still goes on.
  virtual ~RunClient() = default;
  // Blocks to the end; call once. Errors carry the server's code, message, remedy and details.
  // kCancelled after Cancel() or when a callback asked for it; kUnavailable when the engine went
  // away; kDeadlineExceeded past timeout_secs and the overhead; kInternal when it breaks the
  // protocol.
  [[nodiscard]] virtual base::Result<RunReport> Run(const RunRequest& request,
                                                    const RunCallbacks& callbacks) = 0;
  // Any thread (not a signal handler), also before Run: that Run then returns at once.
  virtual void Cancel() = 0;
};

}  // namespace nv::host::client
