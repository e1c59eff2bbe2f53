#include "host/cli/flags.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "host/config/config.h"

namespace nv::host::cli {
namespace {

constexpr std::size_t kNearEnough = 2;    // edits
constexpr std::size_t kMaxCompared = 40;  // characters: longer words are nobody's typo

std::unexpected<base::Error> Refuse(std::string message) {
  return base::Fail(base::Code::kInvalidArgument, std::move(message));
}

// Levenshtein's distance, one row at a time.
std::size_t Edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t change = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({change, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

const FlagSpec* FindLong(std::span<const FlagSpec> specs, std::string_view name) {
  const auto found = std::ranges::find(specs, name, &FlagSpec::name);
  return found == specs.end() ? nullptr : &*found;
}

const FlagSpec* FindShort(std::span<const FlagSpec> specs, char letter) {
  const auto found = std::ranges::find(specs, letter, &FlagSpec::letter);
  return letter == 0 || found == specs.end() ? nullptr : &*found;
}

std::unexpected<base::Error> UnknownFlag(std::span<const FlagSpec> specs, std::string_view flag) {
  std::string accepted;
  std::vector<std::string_view> names;
  for (const FlagSpec& spec : specs) {
    names.push_back(spec.name);
    accepted += fmt::format("{}--{}", accepted.empty() ? "" : ", ", spec.name);
    if (spec.letter != 0) accepted += fmt::format(" (-{})", spec.letter);
  }
  std::string_view word = flag;
  while (word.starts_with('-')) word.remove_prefix(1);
  const std::string_view nearest = word.size() > 1 ? Nearest(word, names) : "";
  const std::string meant = nearest.empty() ? "" : fmt::format(" (did you mean --{}?)", nearest);
  return Refuse(fmt::format("unknown flag '{}'{}; accepted: {}", flag, meant, accepted));
}

base::Status AddFromEnvironment(std::span<const FlagSpec> specs, VariableReader read_variable,
                                ParsedArgs& parsed) {
  constexpr std::array<std::string_view, 4> kYes{"1", "true", "yes", "on"};
  constexpr std::array<std::string_view, 4> kNo{"0", "false", "no", "off"};
  for (const FlagSpec& spec : specs) {
    if (spec.variable == FlagVariable::kNone) continue;
    std::optional<std::string> value = read_variable(spec.name);
    if (!value) continue;
    std::string source = config::VariableForFlag(spec.name);
    if (spec.kind == FlagKind::kSwitch) {
      if (std::ranges::find(kNo, *value) != kNo.end()) continue;
      if (std::ranges::find(kYes, *value) == kYes.end()) {
        return Refuse(
            fmt::format("{}: '{}' is neither yes nor no; accepted: 1, true, yes, on, 0, "
                        "false, no, off",
                        source, *value));
      }
      value->clear();
    }
    parsed.flags.push_back({&spec, std::move(source), *std::move(value)});
  }
  return {};
}

}  // namespace

std::string_view Nearest(std::string_view word, std::span<const std::string_view> names) {
  if (word.size() > kMaxCompared) return {};
  std::string_view best;
  std::size_t best_edits = kNearEnough + 1;
  for (std::string_view name : names) {
    const std::size_t edits = Edits(word, name);
    if (edits < best_edits && edits < name.size()) {
      best = name;
      best_edits = edits;
    }
  }
  return best;
}

const FlagValue* ParsedArgs::Find(std::string_view name) const {
  for (auto flag = flags.rbegin(); flag != flags.rend(); ++flag) {
    if (flag->spec->name == name) return &*flag;
  }
  return nullptr;
}

base::Result<ParsedArgs> ParseFlags(std::span<const FlagSpec> specs,
                                    std::span<const std::string> args,
                                    VariableReader read_variable) {
  ParsedArgs parsed;
  if (auto read = AddFromEnvironment(specs, read_variable, parsed); !read) {
    return base::Fail(std::move(read.error()));
  }
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "--") {
      parsed.rest.assign(args.begin() + static_cast<std::ptrdiff_t>(i) + 1, args.end());
      break;
    }
    if (arg.size() < 2 || arg[0] != '-') {
      parsed.words.push_back(arg);
      continue;
    }

    FlagValue flag;
    std::optional<std::string> attached;
    if (arg[1] == '-') {
      const std::size_t equals = arg.find('=');
      flag.source = arg.substr(0, equals);
      if (equals != std::string::npos) attached = arg.substr(equals + 1);
      flag.spec = FindLong(specs, std::string_view(flag.source).substr(2));
    } else {
      flag.source = arg.substr(0, 2);
      if (arg.size() > 2) attached = arg.substr(2);
      flag.spec = FindShort(specs, arg[1]);
    }
    if (flag.spec == nullptr) return UnknownFlag(specs, arg[1] == '-' ? flag.source : arg);

    if (flag.spec->kind == FlagKind::kSwitch) {
      if (attached) {
        return Refuse(fmt::format("{} takes no value, but '{}' gives one", flag.source, arg));
      }
    } else if (attached) {
      flag.value = *std::move(attached);
    } else if (i + 1 < args.size()) {
      flag.value = args[++i];
    } else {
      return Refuse(fmt::format("{} needs a value", flag.source));
    }
    parsed.flags.push_back(std::move(flag));
  }
  return parsed;
}

}  // namespace nv::host::cli
