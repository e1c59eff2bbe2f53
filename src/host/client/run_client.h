// RunClient: the client's side of sandbox.v1 Run, over a descriptor to a daemon or a private
// engine.
//
// Called by cli's `run` alone. No guest byte is interpreted here: output goes to the callbacks as
// it came.

#pragma once

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
  std::string language;
  std::string code;
  std::vector<std::string> args;
  std::map<std::string, std::string> env;
  std::uint32_t timeout_secs = 30;
  std::uint64_t max_output_bytes = 0;  // 0 no limit
  std::string size;
  std::string image;
  bool cold = false;
  std::string trace_id;
  int stdin_fd = -1;  // -1: the program's stdin is empty
};

struct RunReport {
  int exit_code = 0;
  std::string outcome;
  int signal = 0;
  std::uint64_t stdout_truncated = 0;
  std::uint64_t stderr_truncated = 0;
  std::string trace_id;
  std::string vm_id;
  std::string backend;
  std::string accelerator;
  double acquire_ms = 0, prepare_ms = 0, compile_ms = 0, run_ms = 0, total_ms = 0, duration_ms = 0;
  double cpu_ms = 0;
  std::uint64_t max_rss_bytes = 0;
  std::string hint;
};

struct RunCallbacks {
  // Return false to cancel (stdout was closed). Called on the thread of Run.
  std::function<bool(std::string_view)> on_stdout;
  std::function<bool(std::string_view)> on_stderr;
  std::function<void(std::string_view)> on_progress;
};

class RunClient {
 public:
  // Takes a connected stream socket to the gateway.
  [[nodiscard]] static std::unique_ptr<RunClient> Create(base::UniqueFd fd);
  virtual ~RunClient() = default;
  // Blocks to the end. Errors carry the server's code, message, remedy and details. kCancelled
  // after Cancel().
  [[nodiscard]] virtual base::Result<RunReport> Run(const RunRequest& request,
                                                    const RunCallbacks& callbacks) = 0;
  // Any thread (not a signal handler).
  virtual void Cancel() = 0;
};

}  // namespace nv::host::client
