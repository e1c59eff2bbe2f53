#include "host/backend/backend.h"

#include <cstring>

#include <fmt/format.h>

namespace nv::host::backend {

std::string_view AcceleratorName(Accelerator accelerator) {
  switch (accelerator) {
    case Accelerator::kKvm:
      return "kvm";
    case Accelerator::kTcg:
      return "tcg";
    case Accelerator::kNone:
      break;
  }
  return "none";
}

std::string GuestExit::Describe() const {
  if (signal == 0) return fmt::format("exited with status {}", exit_code);
  const char* name = sigabbrev_np(signal);
  return fmt::format("was killed by signal {} (SIG{})", signal, name != nullptr ? name : "?");
}

}  // namespace nv::host::backend
