#include "base/tail_buffer.h"

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace nv::base {
namespace {

constexpr std::size_t kMaxLineCharacters = 400;

}  // namespace

void TailBuffer::Append(std::string_view bytes) {
  total_bytes_ += bytes.size();
  if (bytes.size() >= max_bytes_) {
    ring_.assign(bytes.substr(bytes.size() - max_bytes_));
    oldest_ = 0;
    return;
  }
  const std::size_t room = std::min(max_bytes_ - ring_.size(), bytes.size());
  ring_.append(bytes.substr(0, room));
  bytes.remove_prefix(room);
  while (!bytes.empty()) {  // full: at most two turns, before and after the wrap
    const std::size_t count = std::min(bytes.size(), max_bytes_ - oldest_);
    ring_.replace(oldest_, count, bytes.substr(0, count));
    oldest_ = (oldest_ + count) % max_bytes_;
    bytes.remove_prefix(count);
  }
}

std::string TailBuffer::Bytes() const { return ring_.substr(oldest_) + ring_.substr(0, oldest_); }

std::string TailBuffer::LastLinesEscaped(std::size_t lines) const {
  std::string bytes = Bytes();
  std::erase(bytes, '\r');
  std::string_view rest = bytes;
  while (rest.ends_with('\n')) rest.remove_suffix(1);

  std::vector<std::string_view> last;  // newest first
  while (!rest.empty() && last.size() < lines) {
    const std::size_t newline = rest.rfind('\n');
    if (newline == std::string_view::npos) {
      last.push_back(rest);
      break;
    }
    last.push_back(rest.substr(newline + 1));
    rest = rest.substr(0, newline);
  }

  std::string text;
  for (auto line = last.rbegin(); line != last.rend(); ++line) {
    if (line != last.rbegin()) text += '\n';
    text += EscapeForTerminal(*line, kMaxLineCharacters);
  }
  return text;
}

}  // namespace nv::base
