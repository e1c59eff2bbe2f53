// Config: plain values that flags, environment and defaults decide, and where things live on this
// machine.
//
// Called by cli and engine at start; immutable afterwards. Precedence: flag > environment > default
// (the config file comes with the daemon).

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nv::host::config {

struct Size {
  std::string_view name;
  std::uint32_t vcpus;
  std::uint64_t memory_bytes;
};
// small, medium, large, or an alias (s, m, med, l, lg). kInvalidArgument names the accepted values.
[[nodiscard]] base::Result<Size> ParseSize(std::string_view name);
inline constexpr std::string_view kDefaultSize = "medium";

struct Paths {
  std::string
      data;  // NEUROVISOR_DATA_DIR; root: /var/lib/neurovisor; else $XDG_DATA_HOME/neurovisor
  std::string runtime;  // NEUROVISOR_RUNTIME_DIR; root: /run/neurovisor; else
                        // $XDG_RUNTIME_DIR/neurovisor, else <data>/run
  std::string libexec;  // where neurovisor-engine, neurovisor-jail, guest_agent, guest_preinit are:
                        // beside this program in a build tree, else <prefix>/libexec/neurovisor;
                        // NEUROVISOR_LIBEXEC_DIR
  std::string recipes;  // image recipes: <source>/image in a build tree, else
                        // <prefix>/share/neurovisor/image
};
// From the environment and /proc/self/exe. kFailedPrecondition when a user has neither HOME nor the
// variables above.
[[nodiscard]] base::Result<Paths> FindPaths();

// NEUROVISOR_<FLAG> for "--queue-timeout": NEUROVISOR_QUEUE_TIMEOUT. nullopt when unset or empty.
[[nodiscard]] std::optional<std::string> FlagFromEnvironment(std::string_view flag);

}  // namespace nv::host::config
