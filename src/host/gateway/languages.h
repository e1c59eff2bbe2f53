// The languages that a client may name: canonical names and aliases, for early errors. What can run
// is the guest's to say (src/guest/executor/languages.*).

#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace nv::host::gateway {

struct LanguageName {
  std::string_view name;                      // canonical, as guest.v1 has it
  std::span<const std::string_view> aliases;  // without the name itself
  std::string_view suffix;                    // of source files, with the dot
};

[[nodiscard]] std::span<const LanguageName> Languages();

// "Python3" is not "python3": names are lower case. nullopt: unknown.
[[nodiscard]] std::optional<std::string_view> CanonicalLanguage(std::string_view name_or_alias);
// "python (python3), bash (sh, shell), ...": for messages.
[[nodiscard]] std::string SupportedLanguages();
// From the interpreter that a #! line names, by itself or through env(1), versions ignored
// ("#!/usr/bin/env python3.11"). nullopt: no such line, or an interpreter of no language of ours.
[[nodiscard]] std::optional<std::string_view> LanguageFromShebang(std::string_view code);

}  // namespace nv::host::gateway
