// Frames of the serial-port multiplexer: bytes <-> frames, no I/O. Layout in docs/wire-mux.md. Used
// by mux.cc alone.
//
// TRUST: FrameParser reads the other end's bytes. It holds at most one header and hands payload on
// in pieces, so a length field cannot make it allocate; lengths over kMaxPayload and unknown types
// are errors.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nv::wire {

enum class FrameType : std::uint8_t {
  kReset = 1,     // nonce: drop every stream, a new session begins; host only
  kResetAck = 2,  // the same nonce; guest only
  kOpen = 3,      // port, 4 bytes: a new stream; host only
  kData = 4,      // 1..kMaxPayload bytes
  kCredit = 5,    // 4 bytes: this many more may be sent
  kClose = 6,     // empty: everything before it is delivered first
};

inline constexpr std::size_t kHeaderBytes = 16;
inline constexpr std::size_t kNonceBytes = 16;
using Nonce = std::array<std::uint8_t, kNonceBytes>;

struct FrameHeader {
  FrameType type;
  std::uint32_t stream;
  std::uint32_t length;  // of the payload
};

// Header and payload, ready to be written.
[[nodiscard]] std::string EncodeFrame(FrameType type, std::uint32_t stream,
                                      std::string_view payload);
[[nodiscard]] std::string EncodeNumber(std::uint32_t number);        // little-endian, 4 bytes
[[nodiscard]] std::uint32_t DecodeNumber(std::string_view payload);  // of exactly 4 bytes

// kInvalidArgument naming what is wrong. `bytes` has kHeaderBytes.
[[nodiscard]] base::Result<FrameHeader> DecodeHeader(std::string_view bytes);

class FrameParser {
 public:
  // Called for each piece of a frame's payload, in order; `first`/`last` mark its ends (both for an
  // empty payload). Control frames come in one piece. A failed status stops the parsing.
  using Handler =
      std::function<base::Status(const FrameHeader& header, std::string_view piece, bool last)>;

  // Zero bytes between frames are padding. After an error the parser must be Reset.
  [[nodiscard]] base::Status Feed(std::string_view bytes, const Handler& handler);
  void Reset();

 private:
  std::string header_bytes_;  // of a header not complete yet
  std::string control_;       // payload of a control frame not complete yet
  FrameHeader header_{};
  std::uint32_t left_ = 0;  // payload bytes still to come
  bool in_payload_ = false;
};

}  // namespace nv::wire
