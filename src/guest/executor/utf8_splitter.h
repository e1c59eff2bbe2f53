// Utf8Splitter: cuts a byte stream so that no chunk ends inside a character.
//
// Used by ExecuteStream, one per stream. Holds at most 3 bytes back.

#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace nv::guest::executor {

class Utf8Splitter {
 public:
  // What was held back and `bytes`, up to the last whole character. Bytes that can never become a
  // character are passed on at once.
  [[nodiscard]] std::string Feed(std::string_view bytes);
  // The rest, at the end of the stream.
  [[nodiscard]] std::string Flush() { return std::exchange(held_, {}); }

 private:
  std::string held_;
};

// How many bytes at the end begin a character whose rest is missing: 0..3.
[[nodiscard]] std::size_t IncompleteTail(std::string_view bytes);

}  // namespace nv::guest::executor
