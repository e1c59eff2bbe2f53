#include "wire/mux_frame.h"

#include <algorithm>

#include <fmt/format.h>

#include "wire/mux.h"

namespace nv::wire {
namespace {

constexpr std::string_view kMagic =
    "NVMX";  // its first byte is not zero: padding never looks like a header

bool IsControl(FrameType type) { return type != FrameType::kData; }

// Exact payload length of a control frame.
std::uint32_t ControlLength(FrameType type) {
  switch (type) {
    case FrameType::kReset:
    case FrameType::kResetAck:
      return kNonceBytes;
    case FrameType::kOpen:
    case FrameType::kCredit:
      return 4;
    default:
      return 0;
  }
}

}  // namespace

std::string EncodeNumber(std::uint32_t number) {
  std::string out(4, '\0');
  for (std::size_t i = 0; i < 4; ++i) out[i] = static_cast<char>((number >> (8 * i)) & 0xff);
  return out;
}

std::uint32_t DecodeNumber(std::string_view payload) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    number |= static_cast<std::uint32_t>(static_cast<std::uint8_t>(payload[i])) << (8 * i);
  }
  return number;
}

std::string EncodeFrame(FrameType type, std::uint32_t stream, std::string_view payload) {
  std::string out(kMagic);
  out.reserve(kHeaderBytes + payload.size());
  out.push_back(static_cast<char>(type));
  out.append(3, '\0');
  out += EncodeNumber(stream);
  out += EncodeNumber(static_cast<std::uint32_t>(payload.size()));
  out += payload;
  return out;
}

base::Result<FrameHeader> DecodeHeader(std::string_view bytes) {
  if (!bytes.starts_with(kMagic) || bytes.substr(5, 3) != std::string_view("\0\0\0", 3)) {
    return base::Fail(base::Code::kInvalidArgument, "what should be a frame header is none");
  }
  const auto type = static_cast<std::uint8_t>(bytes[4]);
  if (type < 1 || type > 6) {
    return base::Fail(base::Code::kInvalidArgument,
                      fmt::format("a frame has the unknown type {}", type));
  }
  const FrameHeader header{.type = static_cast<FrameType>(type),
                           .stream = DecodeNumber(bytes.substr(8, 4)),
                           .length = DecodeNumber(bytes.substr(12, 4))};
  const bool right = IsControl(header.type) ? header.length == ControlLength(header.type)
                                            : header.length >= 1 && header.length <= kMaxPayload;
  if (!right) {
    return base::Fail(base::Code::kInvalidArgument,
                      fmt::format("a frame of type {} has the length {}", type, header.length));
  }
  return header;
}

base::Status FrameParser::Feed(std::string_view bytes, const Handler& handler) {
  while (!bytes.empty()) {
    if (!in_payload_) {
      if (header_bytes_.empty()) {
        const std::size_t start = bytes.find_first_not_of('\0');
        if (start == std::string_view::npos) return {};
        bytes.remove_prefix(start);
      }
      const std::size_t take = std::min(kHeaderBytes - header_bytes_.size(), bytes.size());
      header_bytes_ += bytes.substr(0, take);
      bytes.remove_prefix(take);
      if (header_bytes_.size() < kHeaderBytes) return {};
      auto header = DecodeHeader(header_bytes_);
      header_bytes_.clear();
      if (!header) return base::Fail(std::move(header.error()));
      header_ = *header;
      left_ = header_.length;
      control_.clear();
      if (left_ == 0) {
        if (auto status = handler(header_, {}, true); !status) return status;
        continue;
      }
      in_payload_ = true;
    }
    const std::string_view piece = bytes.substr(0, std::min<std::size_t>(left_, bytes.size()));
    bytes.remove_prefix(piece.size());
    left_ -= static_cast<std::uint32_t>(piece.size());
    in_payload_ = left_ > 0;
    base::Status status;
    if (!IsControl(header_.type)) {
      status = handler(header_, piece, left_ == 0);
    } else {
      control_ += piece;
      if (left_ == 0) status = handler(header_, control_, true);
    }
    if (!status) return status;
  }
  return {};
}

void FrameParser::Reset() {
  header_bytes_.clear();
  control_.clear();
  left_ = 0;
  in_payload_ = false;
}

}  // namespace nv::wire
