#include "guest/executor/utf8_splitter.h"

#include <algorithm>

namespace nv::guest::executor {

std::size_t IncompleteTail(std::string_view bytes) {
  const std::size_t reach = std::min<std::size_t>(3, bytes.size());
  for (std::size_t back = 1; back <= reach; ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;  // a continuation: its lead is further back
    std::size_t length = 1;
    if (byte >= 0xC2 && byte <= 0xDF) length = 2;
    if (byte >= 0xE0 && byte <= 0xEF) length = 3;
    if (byte >= 0xF0 && byte <= 0xF4) length = 4;
    return length > back ? back : 0;
  }
  return 0;
}

std::string Utf8Splitter::Feed(std::string_view bytes) {
  std::string whole = std::exchange(held_, {});
  whole += bytes;
  const std::size_t tail = IncompleteTail(whole);
  held_ = whole.substr(whole.size() - tail);
  whole.resize(whole.size() - tail);
  return whole;
}

}  // namespace nv::guest::executor
