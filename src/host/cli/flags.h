// Flags: splits a command line by a table. No library: the client starts in under 3 ms, and every
// message must name the flag as the user wrote it together with what is accepted.
//
// "--name VALUE", "--name=VALUE", "-nVALUE", "-n VALUE"; "-" is a word; after "--" everything is
// for the program that runs. A flag's value is the next argument whatever it looks like.

#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nv::host::cli {

enum class FlagKind { kSwitch, kValue };
// Whether NEUROVISOR_<NAME> stands for the flag when it is not given.
enum class FlagVariable { kNone, kRead };

struct FlagSpec {
  std::string_view name;  // without dashes
  char letter = 0;        // short form, or 0
  FlagKind kind = FlagKind::kValue;
  FlagVariable variable = FlagVariable::kNone;
};

struct FlagValue {
  const FlagSpec* spec = nullptr;
  std::string source;  // what errors name: "--size", "-t", "NEUROVISOR_SIZE"
  std::string value;   // switches: empty
};

struct ParsedArgs {
  std::vector<FlagValue> flags;  // in the order given; those of the environment first
  std::vector<std::string> words;
  std::vector<std::string> rest;  // after "--"

  // The last value given for a flag, or nullptr.
  [[nodiscard]] const FlagValue* Find(std::string_view name) const;
};

// Reads one variable; nullopt when unset or empty (config::FlagFromEnvironment).
using VariableReader = std::optional<std::string> (*)(std::string_view flag);

// kInvalidArgument for an unknown flag (naming the accepted ones and the nearest), a missing value,
// a value for a switch, or a variable of a switch that is neither yes nor no.
[[nodiscard]] base::Result<ParsedArgs> ParseFlags(std::span<const FlagSpec> specs,
                                                  std::span<const std::string> args,
                                                  VariableReader read_variable);

// The nearest of `names` when it is near enough to be what was meant, else empty.
[[nodiscard]] std::string_view Nearest(std::string_view word,
                                       std::span<const std::string_view> names);

}  // namespace nv::host::cli
