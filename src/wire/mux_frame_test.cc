#include "wire/mux_frame.h"

#include <random>

#include <gtest/gtest.h>

#include "wire/mux.h"

namespace nv::wire {
namespace {

struct Seen {
  FrameType type;
  std::uint32_t stream;
  std::string payload;
};

// Feeds in pieces of `step` bytes and glues the payloads together.
base::Status FeedAll(std::string_view bytes, std::size_t step, std::vector<Seen>& seen) {
  FrameParser parser;
  std::string payload;
  auto handler = [&](const FrameHeader& header, std::string_view piece, bool last) -> base::Status {
    payload += piece;
    if (last) seen.push_back({header.type, header.stream, std::exchange(payload, {})});
    return {};
  };
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    if (auto status = parser.Feed(bytes.substr(at, step), handler); !status) return status;
  }
  return {};
}

TEST(MuxFrame, FramesSurviveAnySplitting) {
  const std::string bytes = EncodeFrame(FrameType::kOpen, 1, EncodeNumber(6000)) +
                            std::string(40, '\0') +
                            EncodeFrame(FrameType::kData, 1, std::string(1000, 'x')) +
                            EncodeFrame(FrameType::kClose, 1, {});
  for (std::size_t step : {1, 2, 3, 7, 15, 16, 17, 100, 5000}) {
    std::vector<Seen> seen;
    ASSERT_TRUE(FeedAll(bytes, step, seen)) << step;
    ASSERT_EQ(seen.size(), 3u) << step;
    EXPECT_EQ(DecodeNumber(seen[0].payload), 6000u);
    EXPECT_EQ(seen[1].payload, std::string(1000, 'x'));
    EXPECT_EQ(seen[2].type, FrameType::kClose);
  }
}

TEST(MuxFrame, BadHeadersAreRefusedAndSayWhy) {
  auto with = [](std::size_t at, char value) {
    std::string bytes = EncodeFrame(FrameType::kData, 1, "abc").substr(0, kHeaderBytes);
    bytes[at] = value;
    return DecodeHeader(bytes);
  };
  EXPECT_FALSE(with(0, 'X'));
  EXPECT_FALSE(with(5, 1));
  EXPECT_FALSE(with(12, 0));  // no data
  const auto unknown = with(4, 77);
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message().find("77"), std::string::npos);
  const auto huge = with(15, '\xff');  // over 4 GiB - 16 MiB
  ASSERT_FALSE(huge);
  EXPECT_NE(huge.error().message().find("length"), std::string::npos);
}

TEST(MuxFrame, ControlFramesHaveOneLength) {
  std::vector<Seen> seen;
  EXPECT_FALSE(FeedAll(EncodeFrame(FrameType::kOpen, 1, "12345"), 100, seen));
  EXPECT_FALSE(FeedAll(EncodeFrame(FrameType::kClose, 1, "1"), 100, seen));
  EXPECT_FALSE(FeedAll(EncodeFrame(FrameType::kReset, 0, "short"), 100, seen));
  EXPECT_TRUE(seen.empty());
}

TEST(MuxFrame, RandomBytesNeverPassForFrames) {
  for (unsigned seed = 0; seed < 2000; ++seed) {
    std::mt19937 random(seed);
    std::string bytes(random() % 300, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    std::vector<Seen> seen;
    [[maybe_unused]] const auto status = FeedAll(bytes, 1 + random() % 50, seen);
    EXPECT_TRUE(seen.empty()) << seed;
  }
}

}  // namespace
}  // namespace nv::wire
