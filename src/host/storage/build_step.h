// RunStep: one recipe script, with its output in a log and its failure explained.
//
// Called by the builder, on its thread. The script and everything that it starts end when the
// builder ends, however that dies: they watch a pipe whose other end the builder holds.

#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace nv::host::storage {

struct Step {
  std::string name;                    // of the log: <log_directory>/<name>.log
  std::string log_directory;           // exists
  std::vector<std::string> command;    // a recipe script and its arguments
  std::vector<std::string> variables;  // "K=V", over base::HelperEnvironment()
  int cancel_fd = -1;
};

// kCancelled; kResourceExhausted when a tool met a full disk; else kUnavailable with the script's
// own message and remedy (its lines "error: " and "remedy: "), the command, and the last lines of
// its output as details.
[[nodiscard]] base::Status RunStep(const Step& step,
                                   const std::function<void(std::string_view line)>& on_line);

}  // namespace nv::host::storage
