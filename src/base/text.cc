#include "base/text.h"

#include <charconv>
#include <cstring>

namespace nv::base {
namespace {

std::uint8_t ByteAt(std::string_view bytes, std::size_t index) {
  return static_cast<std::uint8_t>(bytes[index]);
}

// Length of the leading run of ASCII, eight bytes at a time: program output is mostly that.
std::size_t AsciiPrefix(std::string_view bytes) {
  std::size_t at = 0;
  while (bytes.size() - at >= sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    if ((word & 0x8080808080808080U) != 0) break;
    at += sizeof word;
  }
  while (at < bytes.size() && ByteAt(bytes, at) < 0x80) ++at;
  return at;
}

struct Sequence {
  std::size_t length = 0;  // bytes of a character, or of a maximal ill-formed subpart
  bool valid = false;
};

// The sequence at the start of non-empty `bytes`, by table 3-7 of the Unicode Standard: only the
// second byte has ranges that depend on the first.
Sequence NextSequence(std::string_view bytes) {
  const std::uint8_t lead = ByteAt(bytes, 0);
  if (lead < 0x80) return {1, true};
  std::size_t length = 0;
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;   // below: overlong
    if (lead == 0xed) high = 0x9f;  // above: surrogates
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;   // below: overlong
    if (lead == 0xf4) high = 0x8f;  // above: past U+10FFFF
  } else {
    return {1, false};
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {i, false};
    const std::uint8_t byte = ByteAt(bytes, i);
    if (byte < low || byte > high) return {i, false};
    low = 0x80;
    high = 0xbf;
  }
  return {length, true};
}

constexpr std::string_view kHexDigits = "0123456789abcdef";

}  // namespace

bool IsUtf8(std::string_view bytes) {
  while (true) {
    bytes.remove_prefix(AsciiPrefix(bytes));
    if (bytes.empty()) return true;
    const Sequence next = NextSequence(bytes);
    if (!next.valid) return false;
    bytes.remove_prefix(next.length);
  }
}

std::string ReplaceInvalidUtf8(std::string_view bytes) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  std::string text;
  text.reserve(bytes.size());
  while (true) {
    const std::size_t ascii = AsciiPrefix(bytes);
    text += bytes.substr(0, ascii);
    bytes.remove_prefix(ascii);
    if (bytes.empty()) return text;
    const Sequence next = NextSequence(bytes);
    text += next.valid ? bytes.substr(0, next.length) : kReplacement;
    bytes.remove_prefix(next.length);
  }
}

std::string EscapeForTerminal(std::string_view bytes, std::size_t max_characters,
                              Newlines newlines) {
  std::string text;
  for (const char character : bytes) {
    const auto byte = static_cast<std::uint8_t>(character);
    char escaped[4] = {'\\', 'x', kHexDigits[byte >> 4U], kHexDigits[byte & 0xfU]};
    std::string_view piece(escaped, sizeof escaped);
    if (character == '\\') {
      piece = "\\\\";
    } else if ((byte >= 0x20 && byte <= 0x7e) ||
               (character == '\n' && newlines == Newlines::kKeep)) {
      piece = std::string_view(&character, 1);
    }
    if (text.size() + piece.size() > max_characters) {
      text += "...";
      break;
    }
    text += piece;
  }
  return text;
}

Result<std::uint64_t> ParseUint(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  // from_chars takes no blank and no plus; for an unsigned type it takes no minus either.
  const auto [stopped_at, error] = std::from_chars(text.data(), end, value, 10);
  if (error != std::errc() || stopped_at != end) {
    return Fail(Code::kInvalidArgument,
                "'" + EscapeForTerminal(text, 40) + "' is not a whole number of at most 64 bits");
  }
  return value;
}

std::string Base64(std::string_view bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t left = bytes.size() - at;
    std::uint32_t group = static_cast<std::uint32_t>(ByteAt(bytes, at)) << 16U;
    if (left > 1) group |= static_cast<std::uint32_t>(ByteAt(bytes, at + 1)) << 8U;
    if (left > 2) group |= ByteAt(bytes, at + 2);
    text += kAlphabet[group >> 18U];
    text += kAlphabet[(group >> 12U) & 63U];
    text += left > 1 ? kAlphabet[(group >> 6U) & 63U] : '=';
    text += left > 2 ? kAlphabet[group & 63U] : '=';
  }
  return text;
}

}  // namespace nv::base
