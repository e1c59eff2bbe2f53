#include "base/outcome.h"

namespace nv::base {

std::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kSuccess:
      return "success";
    case Outcome::kError:
      return "error";
    case Outcome::kCompileError:
      return "compile_error";
    case Outcome::kTimeout:
      return "timeout";
    case Outcome::kOom:
      return "oom";
    case Outcome::kSignal:
      return "signal";
    case Outcome::kOutputLimit:
      return "output_limit";
    case Outcome::kCancelled:
      return "cancelled";
  }
  return "error";  // a number from the wire outside the closed set
}

int ExitCodeFor(Outcome outcome, int program_exit_code, int signal) {
  switch (outcome) {
    case Outcome::kTimeout:
      return 124;
    case Outcome::kOom:
      return 137;
    case Outcome::kCancelled:
      return 130;
    case Outcome::kSuccess:
    case Outcome::kError:
    case Outcome::kCompileError:
    case Outcome::kSignal:
    case Outcome::kOutputLimit:
      break;
  }
  return signal != 0 ? 128 + signal : program_exit_code;
}

}  // namespace nv::base
