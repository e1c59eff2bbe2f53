// Languages: the names that users may write, and how a file tells its own.
//
// Called by `run` before anything starts, so that a typo costs no boot. What the names mean (how a
// program is compiled and started) is known in the guest alone: src/guest/executor/languages.h.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nv::host::cli {

// "python (python3), bash (sh, shell), ...".
[[nodiscard]] std::string SupportedLanguages();

// Canonical name of a name or alias. kInvalidArgument names the supported ones.
[[nodiscard]] base::Result<std::string_view> ParseLanguage(std::string_view name);

// By the suffix of the file's name; nullopt when it has none that we know.
[[nodiscard]] std::optional<std::string_view> LanguageOfSuffix(std::string_view path);

// By the first line: "#!/usr/bin/python3.11 -u", "#!/usr/bin/env -S VAR=1 node". nullopt without a
// #! line; an interpreter that we do not know is kInvalidArgument naming it.
[[nodiscard]] base::Result<std::optional<std::string_view>> LanguageOfFirstLine(
    std::string_view code);

}  // namespace nv::host::cli
