#include "base/ids.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <span>

#include "base/check.h"
#include "base/sha256.h"

namespace nv::base {
namespace {

enum class LetterCase { kAny, kLower };

// -1 when the character is no hex digit.
int HexValue(char character, LetterCase letters) {
  if (character >= '0' && character <= '9') return character - '0';
  if (character >= 'a' && character <= 'f') return character - 'a' + 10;
  if (letters == LetterCase::kAny && character >= 'A' && character <= 'F') {
    return character - 'A' + 10;
  }
  return -1;
}

// Exactly 2 * out.size() digits.
bool ParseHex(std::string_view text, std::span<std::uint8_t> out, LetterCase letters) {
  if (text.size() != out.size() * 2) return false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = HexValue(text[2 * i], letters);
    const int low = HexValue(text[2 * i + 1], letters);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return true;
}

bool AllZero(std::span<const std::uint8_t> bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

void FillRandom(void* buffer, std::size_t bytes) {
  auto* at = static_cast<std::uint8_t*>(buffer);
  while (bytes > 0) {
    const ssize_t got = ::getrandom(at, bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    NV_CHECK(got > 0);
    at += got;
    bytes -= static_cast<std::size_t>(got);
  }
}

Uuid NewUuidV7(const Clock& clock) {
  Uuid uuid{};
  FillRandom(uuid.data(), uuid.size());
  const auto since_epoch = clock.WallNow().time_since_epoch();
  const auto milliseconds = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count());
  for (unsigned i = 0; i < 6; ++i) {
    uuid[i] = static_cast<std::uint8_t>(milliseconds >> (40U - 8U * i));
  }
  uuid[6] = static_cast<std::uint8_t>((uuid[6] & 0x0fU) | 0x70U);  // version 7
  uuid[8] = static_cast<std::uint8_t>((uuid[8] & 0x3fU) | 0x80U);  // variant 10
  return uuid;
}

std::string FormatUuid(const Uuid& uuid) {
  std::string text = Hex(uuid);
  for (const std::size_t dash : {8U, 13U, 18U, 23U}) text.insert(dash, 1, '-');
  return text;
}

Result<Uuid> ParseUuid(std::string_view text) {
  Uuid uuid{};
  std::string digits;
  bool well_formed = text.size() == 36;
  for (std::size_t i = 0; well_formed && i < text.size(); ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      well_formed = text[i] == '-';
    } else {
      digits += text[i];
    }
  }
  if (!well_formed || !ParseHex(digits, uuid, LetterCase::kAny)) {
    return Fail(Code::kInvalidArgument, "not a UUID (8-4-4-4-12 hex digits)");
  }
  return uuid;
}

VmId NewVmId(const Clock& clock) { return VmId{"vm-" + FormatUuid(NewUuidV7(clock))}; }

TraceId TraceId::New(const Clock& clock) {
  const Uuid uuid = NewUuidV7(clock);
  return TraceId(FormatUuid(uuid), uuid);
}

Result<TraceId> TraceId::FromText(std::string_view text) {
  const bool printable = std::ranges::all_of(text, [](char c) { return c >= 0x20 && c <= 0x7e; });
  if (text.empty() || text.size() > kMaxText || !printable) {
    return Fail(Code::kInvalidArgument, "x-trace-id must be 1 to " + std::to_string(kMaxText) +
                                            " printable ASCII characters; got " +
                                            std::to_string(text.size()) + " bytes");
  }
  const Result<Uuid> uuid = ParseUuid(text);
  // The nil UUID would be an all-zero trace id, which OpenTelemetry calls invalid: it is hashed.
  if (uuid && !AllZero(*uuid)) return TraceId(std::string(text), *uuid);
  const Sha256Digest digest = Sha256Of(text);
  Uuid bytes{};
  std::copy_n(digest.begin(), bytes.size(), bytes.begin());
  return TraceId(std::string(text), bytes);
}

Result<TraceId> TraceId::FromTraceparent(std::string_view header) {
  // version "-" trace-id "-" parent-id "-" flags: 2, 32, 16 and 2 lower-case hex digits.
  std::array<std::uint8_t, 1> version{};
  Uuid trace{};
  std::array<std::uint8_t, 8> parent{};
  std::array<std::uint8_t, 1> flags{};
  const bool well_formed = header.size() == 55 && header[2] == '-' && header[35] == '-' &&
                           header[52] == '-' &&
                           ParseHex(header.substr(0, 2), version, LetterCase::kLower) &&
                           ParseHex(header.substr(3, 32), trace, LetterCase::kLower) &&
                           ParseHex(header.substr(36, 16), parent, LetterCase::kLower) &&
                           ParseHex(header.substr(53, 2), flags, LetterCase::kLower);
  if (!well_formed || version[0] != 0 || AllZero(trace) || AllZero(parent)) {
    return Fail(Code::kInvalidArgument, "not a version 00 traceparent header");
  }
  return TraceId(FormatUuid(trace), trace);
}

std::string TraceId::Hex() const { return base::Hex(bytes_); }

std::string TraceId::Traceparent() const {
  std::array<std::uint8_t, 8> span{};
  do {
    FillRandom(span.data(), span.size());
  } while (AllZero(span));
  return "00-" + Hex() + "-" + base::Hex(span) + "-01";
}

}  // namespace nv::base
