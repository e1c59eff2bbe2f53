#include "host/gateway/languages.h"

#include <algorithm>

namespace nv::host::gateway {
namespace {

using std::string_view;

constexpr string_view kPython[] = {"python3"};
constexpr string_view kBash[] = {"sh", "shell"};
constexpr string_view kJavascript[] = {"node", "js"};
constexpr string_view kGo[] = {"golang"};
constexpr string_view kRust[] = {"rs"};

constexpr LanguageName kLanguages[] = {
    {"python", kPython, ".py"}, {"bash", kBash, ".sh"}, {"javascript", kJavascript, ".js"},
    {"go", kGo, ".go"},         {"rust", kRust, ".rs"},
};

constexpr std::size_t kMaxShebang = 256;  // characters; the kernel's own limit

// The next word of a line; cut off from it.
string_view TakeWord(string_view& line) {
  const std::size_t start = std::min(line.find_first_not_of(" \t"), line.size());
  line.remove_prefix(start);
  const string_view word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

}  // namespace

std::span<const LanguageName> Languages() { return kLanguages; }

std::optional<string_view> CanonicalLanguage(string_view name_or_alias) {
  for (const LanguageName& language : kLanguages) {
    if (language.name == name_or_alias ||
        std::ranges::find(language.aliases, name_or_alias) != language.aliases.end()) {
      return language.name;
    }
  }
  return std::nullopt;
}

std::string SupportedLanguages() {
  std::string text;
  for (const LanguageName& language : kLanguages) {
    if (!text.empty()) text += ", ";
    text += language.name;
    text += " (";
    for (const string_view& alias : language.aliases) {
      if (&alias != language.aliases.data()) text += ", ";
      text += alias;
    }
    text += ")";
  }
  return text;
}

std::optional<string_view> LanguageFromShebang(string_view code) {
  if (!code.starts_with("#!")) return std::nullopt;
  string_view line = code.substr(2, kMaxShebang);
  line = line.substr(0, line.find_first_of("\r\n"));
  string_view program = TakeWord(line);
  program = program.substr(program.rfind('/') + 1);
  if (program == "env") {
    program = TakeWord(line);
    if (program == "-S") program = TakeWord(line);
  }
  // python3.11 is python3, node22 is node: the guest has one version of each.
  if (const auto exact = CanonicalLanguage(program)) return exact;
  return CanonicalLanguage(program.substr(0, program.find_last_not_of("0123456789.") + 1));
}

}  // namespace nv::host::gateway
