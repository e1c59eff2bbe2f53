#include "host/cli/run_options.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.h"
#include "host/cli/languages.h"
#include "host/config/config.h"

namespace nv::host::cli {
namespace {

using base::Code;
using enum FlagKind;

// Flags that say something about one program (its code, language, input) have no variable.
constexpr FlagVariable kVariable = FlagVariable::kRead;
constexpr std::array<FlagSpec, 20> kFlags{{
    {"language", 'l'},
    {"code", 'c'},
    {"timeout", 't', kValue, kVariable},
    {"env", 'e'},
    {"stdin"},
    {"size", 0, kValue, kVariable},
    {"image", 0, kValue, kVariable},
    {"put", 'p'},
    {"get", 'g'},
    {"main"},
    {"max-output", 0, kValue, kVariable},
    {"json", 0, kSwitch, kVariable},
    {"timings", 0, kSwitch, kVariable},
    {"cold", 0, kSwitch, kVariable},
    {"standalone", 0, kSwitch, kVariable},
    {"socket"},
    {"accel", 0, kValue, kVariable},
    {"backend", 0, kValue, kVariable},
    {"data-dir", 0, kValue, kVariable},
    {"help", 'h', kSwitch},
}};

constexpr std::size_t kMaxImageName = 128;
constexpr std::size_t kShown = 60;  // characters of a bad value that a message repeats

std::unexpected<base::Error> Refuse(std::string message, std::string remedy = "") {
  return base::Fail(
      base::Error(Code::kInvalidArgument, std::move(message)).WithRemedy(std::move(remedy)));
}

std::string Shown(std::string_view value) {
  if (value.size() <= kShown) return std::string(value);
  return fmt::format("{}...", value.substr(0, kShown));
}

base::Status OneOf(const FlagValue& flag, std::span<const std::string_view> accepted) {
  if (std::ranges::find(accepted, flag.value) != accepted.end()) return {};
  return Refuse(fmt::format("{}: '{}' is not accepted; accepted: {}", flag.source,
                            Shown(flag.value), fmt::join(accepted, ", ")));
}

base::Status SetTimeout(const FlagValue& flag, RunOptions& options) {
  const auto seconds = base::ParseUint(flag.value);
  if (!seconds || *seconds < 1 || *seconds > base::kMaxTimeoutSecs) {
    return Refuse(fmt::format("{}: '{}' is no timeout; accepted: whole seconds from 1 to {}",
                              flag.source, Shown(flag.value), base::kMaxTimeoutSecs));
  }
  options.timeout_secs = static_cast<std::uint32_t>(*seconds);
  return {};
}

base::Status SetMaxOutput(const FlagValue& flag, RunOptions& options) {
  std::string_view digits = flag.value;
  unsigned shift = 0;
  if (!digits.empty()) {
    const std::size_t unit = std::string_view("KMG").find(digits.back());
    if (unit != std::string_view::npos) {
      shift = 10 * (static_cast<unsigned>(unit) + 1);
      digits.remove_suffix(1);
    }
  }
  const auto number = base::ParseUint(digits);
  if (!number || *number > (UINT64_MAX >> shift)) {
    return Refuse(
        fmt::format("{}: '{}' is no number of bytes; accepted: 0 (no limit), a number, "
                    "or one with K, M or G (1024, 1024^2, 1024^3)",
                    flag.source, Shown(flag.value)));
  }
  options.max_output_bytes = *number << shift;
  return {};
}

base::Status AddEnv(const FlagValue& flag, RunOptions& options) {
  const std::size_t equals = flag.value.find('=');
  if (equals == std::string::npos) {
    return Refuse(
        fmt::format("{}: '{}' has no '='; accepted: NAME=VALUE", flag.source, Shown(flag.value)),
        fmt::format("{} {}=VALUE", flag.source, Shown(flag.value)));
  }
  std::string name = flag.value.substr(0, equals);
  if (name.empty()) {
    return Refuse(fmt::format("{}: '{}' has no name before '='; accepted: NAME=VALUE", flag.source,
                              Shown(flag.value)));
  }
  if (!base::IsUtf8(name)) {
    return Refuse(fmt::format("{}: the name in '{}' is not UTF-8", flag.source, Shown(name)));
  }
  options.env.insert_or_assign(std::move(name), flag.value.substr(equals + 1));
  return {};
}

base::Status CheckEnvLimits(const RunOptions& options) {
  std::size_t bytes = 0;
  for (const auto& [name, value] : options.env) bytes += name.size() + value.size();
  if (options.env.size() > base::kMaxEnvEntries) {
    return Refuse(fmt::format("--env: {} variables; the limit is {}", options.env.size(),
                              base::kMaxEnvEntries));
  }
  if (bytes > base::kMaxEnvBytes) {
    return Refuse(
        fmt::format("--env: {} bytes in all; the limit is {} (128 KiB)", bytes, base::kMaxEnvBytes),
        "send large data by standard input");
  }
  return {};
}

base::Status CheckArgs(const RunOptions& options) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < options.args.size(); ++i) {
    bytes += options.args[i].size();
    if (!base::IsUtf8(options.args[i])) {
      return Refuse(
          fmt::format("argument {} after '--' is not UTF-8: '{}'", i + 1, Shown(options.args[i])),
          "send other bytes by standard input");
    }
  }
  if (options.args.size() > base::kMaxArgs) {
    return Refuse(fmt::format("{} arguments after '--'; the limit is {}", options.args.size(),
                              base::kMaxArgs));
  }
  if (bytes > base::kMaxArgsBytes) {
    return Refuse(fmt::format("the arguments after '--' are {} bytes; the limit is {} (128 KiB)",
                              bytes, base::kMaxArgsBytes),
                  "send large data by standard input");
  }
  return {};
}

base::Status ApplyFlag(const FlagValue& flag, RunOptions& options) {
  const std::string_view name = flag.spec->name;
  if (name == "json") options.json = true;
  if (name == "timings") options.timings = true;
  if (name == "cold") options.cold = true;
  if (name == "standalone") options.standalone = true;
  if (name == "code") options.code = flag.value;
  if (name == "timeout") return SetTimeout(flag, options);
  if (name == "max-output") return SetMaxOutput(flag, options);
  if (name == "env") return AddEnv(flag, options);
  if (name == "language") {
    const auto language = ParseLanguage(flag.value);
    if (!language) return base::Fail(base::Error(language.error()).WithContext(flag.source));
    options.language = *language;
  }
  if (name == "size") {
    const auto size = config::ParseSize(flag.value);
    if (!size) return base::Fail(base::Error(size.error()).WithContext(flag.source));
    options.size = size->name;
  }
  if (name == "image") {
    if (flag.value.empty() || flag.value.size() > kMaxImageName || !base::IsUtf8(flag.value)) {
      return Refuse(fmt::format("{}: '{}' is no image name; accepted: 1 to {} characters",
                                flag.source, Shown(flag.value), kMaxImageName),
                    "neurovisor image list");
    }
    options.image = flag.value;
  }
  if (name == "accel") {
    constexpr std::array<std::string_view, 3> kAccepted{"auto", "kvm", "tcg"};
    options.accel = flag.value;
    return OneOf(flag, kAccepted);
  }
  if (name == "backend") {
    constexpr std::array<std::string_view, 2> kAccepted{"auto", "qemu"};
    options.backend = flag.value;
    return OneOf(flag, kAccepted);
  }
  if (name == "stdin" || name == "socket" || name == "data-dir") {
    if (flag.value.empty()) return Refuse(fmt::format("{} needs a path", flag.source));
    if (name == "stdin") options.stdin_path = flag.value;
    if (name == "socket") options.socket = flag.value;
    if (name == "data-dir") options.data_dir = flag.value;
  }
  if (name == "put" || name == "get" || name == "main") {
    return base::Fail(
        base::Error(Code::kUnimplemented,
                    fmt::format("{}: files in and out are not in this version yet", flag.source))
            .WithRemedy("send data by standard input and read it from standard output"));
  }
  return {};
}

base::Status SetWords(const ParsedArgs& parsed, RunOptions& options) {
  options.args = parsed.rest;
  if (parsed.words.empty()) return {};
  const std::string& first = parsed.words[0];
  if (options.code) {
    return Refuse(fmt::format("both -c and '{}' give code; one of them is enough", Shown(first)),
                  "arguments for the program come after --");
  }
  if (parsed.words.size() > 1) {
    return Refuse(fmt::format("unexpected '{}' after '{}'", Shown(parsed.words[1]), Shown(first)),
                  fmt::format("arguments for the program come after --: neurovisor run {} -- {}",
                              Shown(first), Shown(parsed.words[1])));
  }
  if (first.empty()) return Refuse("the FILE to run is an empty text", "neurovisor run FILE");
  options.file = first;
  return {};
}

// Flags that only a private engine can obey. Their variables may be meant for a daemon, so they
// decide nothing.
base::Status CheckEngineFlags(const ParsedArgs& parsed, RunOptions& options) {
  for (std::string_view name : {"accel", "backend", "data-dir"}) {
    const FlagValue* flag = parsed.Find(name);
    if (flag == nullptr || !flag->source.starts_with('-')) continue;
    if (!options.socket.empty()) {
      return Refuse(
          fmt::format("{} is for a private engine, --socket for a daemon: give one", flag->source));
    }
    options.standalone = true;
  }
  if (options.standalone && !options.socket.empty()) {
    return Refuse("--standalone and --socket exclude each other: give one");
  }
  return {};
}

}  // namespace

base::Result<RunOptions> ParseRunOptions(std::span<const std::string> args,
                                         VariableReader read_variable) {
  const auto parsed = ParseFlags(kFlags, args, read_variable);
  RunOptions options;
  const std::string remedy = "neurovisor run --help";
  base::Status checked;
  if (!parsed) {
    checked = base::Fail(parsed.error());
  } else if (parsed->Find("help") != nullptr) {
    options.help = true;
    return options;
  } else {
    for (const FlagValue& flag : parsed->flags) {
      if (checked) checked = ApplyFlag(flag, options);
    }
    if (checked) checked = SetWords(*parsed, options);
    if (checked) checked = CheckEngineFlags(*parsed, options);
    if (checked) checked = CheckEnvLimits(options);
    if (checked) checked = CheckArgs(options);
    if (checked) return options;
  }
  if (checked.error().remedy().empty()) {
    return base::Fail(std::move(checked.error()).WithRemedy(remedy));
  }
  return base::Fail(std::move(checked.error()));
}

}  // namespace nv::host::cli
