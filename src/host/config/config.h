// Config: plain values that flags, environment and defaults decide, and where things live on this
// machine.
//
// Called by cli and engine at start; immutable afterwards. Precedence: flag > environment > default
// (the config file comes with the daemon). Nothing here reads a file but the build tree's own
// CMakeCache.txt.

#pragma once

#include <cstdint>
#include <functional>
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

// All absolute.
struct Paths {
  // NEUROVISOR_DATA_DIR; root: /var/lib/neurovisor; else $XDG_DATA_HOME/neurovisor, else
  // $HOME/.local/share/neurovisor.
  std::string data;
  // NEUROVISOR_RUNTIME_DIR; root: /run/neurovisor; else $XDG_RUNTIME_DIR/neurovisor, else
  // <data>/run.
  std::string runtime;
  // Where neurovisor-engine, neurovisor-jail, guest_agent and guest_preinit are:
  // NEUROVISOR_LIBEXEC_DIR; build/<preset>/bin in a build tree; else <prefix>/libexec/neurovisor.
  std::string libexec;
  // Image recipes: <source>/image in a build tree, else <prefix>/share/neurovisor/image.
  std::string recipes;
};
// From the environment, the effective uid and /proc/self/exe. kFailedPrecondition when a user has
// neither HOME nor the variables above.
[[nodiscard]] base::Result<Paths> FindPaths();

// The facts that FindPaths looks at, so that tests can say them.
struct Machine {
  // Value of a variable; nullopt when unset. An empty value counts as unset.
  std::function<std::optional<std::string>(const std::string& name)> environment;
  std::string executable;  // absolute
  std::string working_directory;
  bool is_root = false;
};
[[nodiscard]] base::Result<Paths> FindPathsOn(const Machine& machine);

// "NEUROVISOR_QUEUE_TIMEOUT" for "--queue-timeout".
[[nodiscard]] std::string VariableForFlag(std::string_view flag);
// The value of that variable; nullopt when unset or empty.
[[nodiscard]] std::optional<std::string> FlagFromEnvironment(std::string_view flag);

}  // namespace nv::host::config
