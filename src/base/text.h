// Text from outside made safe to show or to send.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nv::base {

// True when the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms).
[[nodiscard]] bool IsUtf8(std::string_view bytes);
// Each maximal ill-formed subsequence becomes U+FFFD (Unicode 15, section 3.9, "substitution of
// maximal subparts").
[[nodiscard]] std::string ReplaceInvalidUtf8(std::string_view bytes);

// For terminals and logs: control characters, DEL and bytes over 0x7e as \xNN, backslash as \\;
// newline stays when keep_newlines. Cut after max_characters with "..." . TRUST: this is what
// stands between a guest's console and a terminal.
enum class Newlines { kEscape, kKeep };
[[nodiscard]] std::string EscapeForTerminal(std::string_view bytes, std::size_t max_characters,
                                            Newlines newlines = Newlines::kEscape);

// Decimal without sign, blanks or overflow; kInvalidArgument otherwise.
[[nodiscard]] Result<std::uint64_t> ParseUint(std::string_view text);

// RFC 4648 base64 with padding.
[[nodiscard]] std::string Base64(std::string_view bytes);

}  // namespace nv::base
