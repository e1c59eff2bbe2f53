#include "base/ids.h"

#include <set>

#include <gtest/gtest.h>

#include "base/sha256.h"

namespace nv::base {
namespace {

TEST(Uuid, Version7CarriesTheClockAndTheFixedBits) {
  const FakeClock clock(Clock::Wall{std::chrono::milliseconds{0x0123456789ab}});
  const Uuid uuid = NewUuidV7(clock);
  const std::string text = FormatUuid(uuid);
  EXPECT_EQ(text.substr(0, 15), "01234567-89ab-7");
  EXPECT_NE(std::string("89ab").find(text[19]), std::string::npos);
  EXPECT_EQ(text.size(), 36U);
  EXPECT_EQ(ParseUuid(text).value(), uuid);
}

TEST(Uuid, NoTwoAreEqualInTheSameMillisecond) {
  const FakeClock clock;
  std::set<Uuid> seen;
  for (int i = 0; i < 10'000; ++i) EXPECT_TRUE(seen.insert(NewUuidV7(clock)).second);
}

TEST(Uuid, ParsingWantsDashesAndHexDigits) {
  EXPECT_TRUE(ParseUuid("0190163d-8694-739b-aea5-966c26f8ad90"));
  EXPECT_EQ(ParseUuid("0190163D-8694-739B-AEA5-966C26F8AD90").value(),
            ParseUuid("0190163d-8694-739b-aea5-966c26f8ad90").value());
  for (const char* bad :
       {"", "0190163d8694739baea5966c26f8ad90", "0190163d-8694-739b-aea5-966c26f8ad9",
        "0190163d-8694-739b-aea5-966c26f8ad900", "0190163g-8694-739b-aea5-966c26f8ad90",
        "0190163d-8694-739b-aea5966c26f8ad90-", "{190163d-8694-739b-aea5-966c26f8ad9}"}) {
    EXPECT_FALSE(ParseUuid(bad)) << bad;
  }
}

TEST(VmId, IsAUuidWithAPrefix) {
  const VmId id = NewVmId(FakeClock());
  EXPECT_TRUE(id.text.starts_with("vm-"));
  EXPECT_TRUE(ParseUuid(std::string_view(id.text).substr(3)));
}

TEST(TraceId, BytesOfAUuidAreTheTraceId) {
  const TraceId id = TraceId::FromText("0190163D-8694-739b-aea5-966c26f8ad90").value();
  EXPECT_EQ(id.Hex(), "0190163d8694739baea5966c26f8ad90");
  EXPECT_EQ(id.text(), "0190163D-8694-739b-aea5-966c26f8ad90");
}

TEST(TraceId, OtherTextIsTheStartOfItsSha256) {
  const TraceId id = TraceId::FromText("my-trace-123").value();
  EXPECT_EQ(id.text(), "my-trace-123");
  EXPECT_EQ(id.Hex(), Hex(Sha256Of("my-trace-123")).substr(0, 32));
}

TEST(TraceId, NilUuidIsNotAnAllZeroTraceId) {
  const TraceId id = TraceId::FromText("00000000-0000-0000-0000-000000000000").value();
  EXPECT_NE(id.Hex(), std::string(32, '0'));
}

TEST(TraceId, TextMustBePrintableAsciiOfBoundedLength) {
  EXPECT_TRUE(TraceId::FromText(std::string(128, '~')));
  EXPECT_TRUE(TraceId::FromText(" "));
  for (const std::string& bad :
       {std::string(), std::string(129, 'a'), std::string("a\n"), std::string("\x7f"),
        std::string("\xc3\xa9"), std::string(1, '\0')}) {
    const auto parsed = TraceId::FromText(bad);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().code(), Code::kInvalidArgument);
  }
}

TEST(TraceId, TraceparentRoundTrips) {
  const TraceId id = TraceId::New(FakeClock());
  const std::string header = id.Traceparent();
  EXPECT_EQ(header.size(), 55U);
  EXPECT_TRUE(header.starts_with("00-" + id.Hex() + "-"));
  EXPECT_TRUE(header.ends_with("-01"));
  const TraceId parsed = TraceId::FromTraceparent(header).value();
  EXPECT_EQ(parsed.bytes(), id.bytes());
  EXPECT_EQ(parsed.text(), FormatUuid(id.bytes()));
  EXPECT_NE(id.Traceparent(), header) << "each hop has a span id of its own";
}

TEST(TraceId, MalformedTraceparentIsRefused) {
  const std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  ASSERT_TRUE(TraceId::FromTraceparent(good));
  for (const char* bad : {"", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
                          "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                          "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                          "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                          "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                          "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                          "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
                          "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01"}) {
    EXPECT_FALSE(TraceId::FromTraceparent(bad)) << bad;
  }
}

}  // namespace
}  // namespace nv::base
