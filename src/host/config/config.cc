#include "host/config/config.h"

#include <array>
#include <cstdlib>

#include <fmt/format.h>

namespace nv::host::config {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

struct NamedSize {
  Size size;
  std::array<std::string_view, 2> aliases;
};

constexpr std::array<NamedSize, 3> kSizes{{
    {{"small", 1, 256 * kMiB}, {"s", ""}},
    {{"medium", 2, 512 * kMiB}, {"m", "med"}},
    {{"large", 4, 1024 * kMiB}, {"l", "lg"}},
}};

}  // namespace

base::Result<Size> ParseSize(std::string_view name) {
  for (const NamedSize& entry : kSizes) {
    if (name == entry.size.name) return entry.size;
    for (std::string_view alias : entry.aliases) {
      if (!alias.empty() && name == alias) return entry.size;
    }
  }
  return base::Fail(
      base::Code::kInvalidArgument,
      fmt::format("size '{}' is unknown; accepted: small (s), medium (m, med), large (l, lg)",
                  name));
}

std::string VariableForFlag(std::string_view flag) {
  while (flag.starts_with('-')) flag.remove_prefix(1);
  std::string variable = "NEUROVISOR_";
  for (char c : flag) {
    // Not toupper(3): flags are ASCII, and the locale must not matter.
    variable += c == '-' ? '_' : (c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  }
  return variable;
}

std::optional<std::string> FlagFromEnvironment(std::string_view flag) {
  const char* value = std::getenv(VariableForFlag(flag).c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

}  // namespace nv::host::config
