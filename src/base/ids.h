// Ids: UUID version 7 (RFC 9562), VM ids and trace ids.
//
// Trace ids follow the contract: a UUID's 16 bytes ARE the OpenTelemetry trace id; any other
// printable ASCII text of at most 128 characters maps to the first 16 bytes of its SHA-256, and
// keeps its text for logs.

#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace nv::base {

using Uuid = std::array<std::uint8_t, 16>;

// Time from the clock (milliseconds), the other 74 bits from getrandom(2).
[[nodiscard]] Uuid NewUuidV7(const Clock& clock);
// 8-4-4-4-12, lower case.
[[nodiscard]] std::string FormatUuid(const Uuid& uuid);
// Accepts upper and lower case, dashes required.
[[nodiscard]] Result<Uuid> ParseUuid(std::string_view text);

// "vm-<uuid v7>".
struct VmId {
  std::string text;
  auto operator<=>(const VmId&) const = default;
};
[[nodiscard]] VmId NewVmId(const Clock& clock);

class TraceId {
 public:
  static constexpr std::size_t kMaxText = 128;  // characters

  [[nodiscard]] static TraceId New(const Clock& clock);
  // From a client's x-trace-id. kInvalidArgument when empty, over kMaxText, or not printable ASCII
  // (0x20..0x7e).
  [[nodiscard]] static Result<TraceId> FromText(std::string_view text);
  // From a W3C traceparent header, version 00 (https://www.w3.org/TR/trace-context/).
  [[nodiscard]] static Result<TraceId> FromTraceparent(std::string_view header);

  [[nodiscard]] const std::string& text() const {
    return text_;
  }  // what the client sent, or the UUID
  [[nodiscard]] const Uuid& bytes() const { return bytes_; }
  [[nodiscard]] std::string Hex() const;  // 32 lower-case digits
  // "00-<hex>-<random span id>-01".
  [[nodiscard]] std::string Traceparent() const;

 private:
  TraceId(std::string text, Uuid bytes) : text_(std::move(text)), bytes_(bytes) {}
  std::string text_;
  Uuid bytes_;
};

// Fills from getrandom(2); ends the process if the kernel cannot.
void FillRandom(void* buffer, std::size_t bytes);

}  // namespace nv::base
