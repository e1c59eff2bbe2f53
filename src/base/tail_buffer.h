// TailBuffer: the last N bytes of an endless stream (a guest's console, a VMM's stderr). Memory is
// bounded by N, and an append costs its own length. Thread-compatible: the caller holds its lock.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nv::base {

class TailBuffer {
 public:
  explicit TailBuffer(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  void Append(std::string_view bytes);
  // What is kept, oldest first.
  [[nodiscard]] std::string Bytes() const;
  // The last `lines` lines, escaped for a terminal, each cut at 400 characters, joined by newline;
  // carriage returns and trailing empty lines dropped.
  [[nodiscard]] std::string LastLinesEscaped(std::size_t lines) const;
  [[nodiscard]] std::uint64_t total_bytes() const { return total_bytes_; }

 private:
  std::size_t max_bytes_;
  std::uint64_t total_bytes_ = 0;
  std::string ring_;        // grows to max_bytes_, then wraps
  std::size_t oldest_ = 0;  // index of the oldest byte once the ring is full
};

}  // namespace nv::base
