#include "guest/executor/languages.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/io.h"

namespace nv::guest::executor {
namespace {

using Words = std::string_view;

constexpr std::array<Words, 1> kPythonAliases{"python3"};
// -u: what was printed before a timeout or a crash is output, not the content of a lost buffer.
constexpr std::array<Words, 2> kPythonRun{"/usr/bin/python3", "-u"};

constexpr std::array<Words, 2> kBashAliases{"sh", "shell"};
constexpr std::array<Words, 1> kBashRun{"/bin/bash"};

constexpr std::array<Words, 2> kJavascriptAliases{"node", "js"};
constexpr std::array<Words, 1> kJavascriptRun{"/usr/bin/node"};

constexpr std::array<Words, 1> kGoAliases{"golang"};
constexpr std::array<Words, 2> kGoRun{"/usr/bin/go", "run"};

constexpr std::array<Words, 1> kRustAliases{"rs"};
constexpr std::array<Words, 1> kRustRun{"/usr/bin/rustc"};

// The last three are known by name; how they compile and run comes with the image that has them.
constexpr std::array<Language, 5> kLanguages{{
    {"python", kPythonAliases, "main.py", {}, kPythonRun, {}, "mini"},
    {"bash", kBashAliases, "main.sh", {}, kBashRun, {}, "mini"},
    {"javascript", kJavascriptAliases, "main.js", {}, kJavascriptRun, {}, "base"},
    {"go", kGoAliases, "main.go", {}, kGoRun, {}, "base"},
    {"rust", kRustAliases, "main.rs", {}, kRustRun, {}, "base"},
}};

constexpr std::size_t kMaxFileBytes = 16 * 1024;
constexpr std::size_t kMaxShownName = 40;

}  // namespace

std::span<const Language> AllLanguages() { return kLanguages; }

base::Result<const Language*> FindLanguage(std::string_view name) {
  for (const Language& language : kLanguages) {
    if (language.name == name ||
        std::ranges::find(language.aliases, name) != language.aliases.end()) {
      return &language;
    }
  }
  std::string supported;
  for (const Language& language : kLanguages) {
    if (!supported.empty()) supported += ", ";
    supported += language.name;
    for (const std::string_view alias : language.aliases) supported += fmt::format("|{}", alias);
  }
  return base::Fail(base::Code::kInvalidArgument,
                    fmt::format("unsupported language '{}'; supported: {}",
                                name.substr(0, kMaxShownName), supported));
}

InstalledLanguages InstalledLanguages::Load(const std::string& path) {
  InstalledLanguages installed;
  const auto text = base::ReadFile(path, kMaxFileBytes);
  if (!text) {
    for (const Language& language : kLanguages) {
      if (access(std::string(language.run.front()).c_str(), X_OK) == 0) {
        installed.versions_.emplace(language.name, "unknown");
      }
    }
    return installed;
  }
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || space == 0) continue;
    installed.versions_.insert_or_assign(std::string(line.substr(0, space)),
                                         std::string(line.substr(space + 1)));
  }
  return installed;
}

std::string InstalledLanguages::Version(const Language& language) const {
  const auto found = versions_.find(language.name);
  return found == versions_.end() ? std::string() : found->second;
}

base::Status InstalledLanguages::Check(const Language& language) const {
  if (!Version(language).empty()) return {};
  return base::Fail(base::Code::kFailedPrecondition,
                    fmt::format("{}: toolchain missing in this image; image '{}' has it",
                                language.name, language.image));
}

}  // namespace nv::guest::executor
