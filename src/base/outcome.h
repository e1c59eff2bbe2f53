// Outcome: how user code ended. One closed set, used by protos, metrics, the CLI and the docs. Not
// an Error: an Error is what NeuroVisor failed at. The first verdict on a run wins.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nv::base {

enum class Outcome : std::uint8_t {
  kSuccess = 1,  // exit status 0
  kError = 2,    // non-zero exit status
  kCompileError = 3,
  kTimeout = 4,
  kOom = 5,          // killed by the guest's memory limit
  kSignal = 6,       // killed by a signal that we did not send
  kOutputLimit = 7,  // ended by itself, but output past the limit was discarded
  kCancelled = 8,
};

// "success", "error", "compile_error", "timeout", "oom", "signal", "output_limit", "cancelled".
[[nodiscard]] std::string_view OutcomeName(Outcome outcome);

// Exit status that the contract gives: the program's own; 124 timeout; 128+N signal (137 oom); 130
// cancelled.
[[nodiscard]] int ExitCodeFor(Outcome outcome, int program_exit_code, int signal);

}  // namespace nv::base
