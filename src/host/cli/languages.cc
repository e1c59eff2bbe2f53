#include "host/cli/languages.h"

#include <algorithm>
#include <array>
#include <span>

#include <fmt/format.h>

namespace nv::host::cli {
namespace {

struct Language {
  std::string_view name;
  std::array<std::string_view, 2> aliases;
  std::array<std::string_view, 3> suffixes;
  std::string_view interpreter;  // another name that a #! line may have
};

// The same five as in the guest; tests/layers has no say here, the contract's list has.
constexpr std::array<Language, 5> kLanguages{{
    {"python", {"python3", ""}, {".py", ".pyw", ""}, ""},
    {"bash", {"sh", "shell"}, {".sh", ".bash", ""}, ""},
    {"javascript", {"node", "js"}, {".js", ".mjs", ".cjs"}, "nodejs"},
    {"go", {"golang", ""}, {".go", "", ""}, ""},
    {"rust", {"rs", ""}, {".rs", "", ""}, ""},
}};

bool Has(std::span<const std::string_view> names, std::string_view name) {
  return !name.empty() && std::ranges::find(names, name) != names.end();
}

std::string_view BaseName(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// The next blank-separated word of `line`, which loses it.
std::string_view TakeWord(std::string_view& line) {
  constexpr std::string_view kBlanks = " \t\r";
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
  line.remove_prefix(word.size());
  return word;
}

const Language* FindByInterpreter(std::string_view name) {
  // python3.11 is python: what follows the letters is a version.
  const std::string_view letters = name.substr(0, name.find_first_of("0123456789.-"));
  for (const Language& language : kLanguages) {
    for (std::string_view candidate : {name, letters}) {
      if (candidate.empty()) continue;
      if (candidate == language.name || candidate == language.interpreter ||
          Has(language.aliases, candidate)) {
        return &language;
      }
    }
  }
  return nullptr;
}

}  // namespace

std::string SupportedLanguages() {
  std::string text;
  for (const Language& language : kLanguages) {
    std::string aliases;
    for (std::string_view alias : language.aliases) {
      if (!alias.empty()) aliases += fmt::format("{}{}", aliases.empty() ? "" : ", ", alias);
    }
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", language.name, aliases);
  }
  return text;
}

base::Result<std::string_view> ParseLanguage(std::string_view name) {
  for (const Language& language : kLanguages) {
    if (name == language.name || Has(language.aliases, name)) return language.name;
  }
  return base::Fail(
      base::Code::kInvalidArgument,
      fmt::format("language '{}' is unknown; supported: {}", name, SupportedLanguages()));
}

std::optional<std::string_view> LanguageOfSuffix(std::string_view path) {
  const std::string_view name = BaseName(path);
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  for (const Language& language : kLanguages) {
    if (Has(language.suffixes, name.substr(dot))) return language.name;
  }
  return std::nullopt;
}

base::Result<std::optional<std::string_view>> LanguageOfFirstLine(std::string_view code) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (code.starts_with(kByteOrderMark)) code.remove_prefix(kByteOrderMark.size());
  if (!code.starts_with("#!")) return std::nullopt;
  std::string_view line = code.substr(2, code.find('\n') - 2);
  if (code.find('\n') == std::string_view::npos) line = code.substr(2);

  std::string_view interpreter = BaseName(TakeWord(line));
  if (interpreter == "env") {
    // env's own options and assignments stand before the program.
    do {
      interpreter = BaseName(TakeWord(line));
    } while (interpreter.starts_with('-') || interpreter.find('=') != std::string_view::npos);
  }
  if (const Language* language = FindByInterpreter(interpreter)) return language->name;
  return base::Fail(
      base::Code::kInvalidArgument,
      fmt::format("the #! line names '{}', which is no supported language; supported: {}",
                  interpreter, SupportedLanguages()));
}

}  // namespace nv::host::cli
