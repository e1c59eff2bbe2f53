// What users of the streams rely on: order, ends, independence, speed.

#include <sys/socket.h>

#include <algorithm>

#include <gtest/gtest.h>

#include "wire/mux_test_support.h"

namespace nv::wire {
namespace {

using std::chrono::steady_clock;

TEST(MuxStreams, BytesWrittenBeforeTheGuestExistsArrive) {
  base::FdPair port = base::MakeSocketPair(SOCK_STREAM).value();
  const auto host = Mux::Start(Mux::Role::kHost, std::move(port.first), nullptr).value();
  const base::UniqueFd stream = host->Dial(1).value();
  WriteText(stream.get(), "hello");
  Accepted accepted;
  const auto guest =
      Mux::Start(Mux::Role::kGuest, std::move(port.second), accepted.Handler()).value();
  EXPECT_EQ(ReadText(accepted.Next().second.get(), 5), "hello");
}

TEST(MuxStreams, SixteenStreamsEchoAtOnce) {
  Link link;
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < kMaxStreams; ++i) {
    base::UniqueFd host = link.host->Dial(i).value();
    auto [port, guest] = link.accepted.Next();
    EXPECT_EQ(port, i);
    const std::string sent = RandomText(1 + i * 77'777, i);
    threads.emplace_back([guest = std::move(guest), size = sent.size()] {
      WriteText(guest.get(), ReadText(guest.get(), size));
      EXPECT_EQ(ReadToEnd(guest.get()), "");
    });
    threads.emplace_back([host = std::move(host), sent] {
      std::mt19937 random(static_cast<unsigned>(sent.size()));
      for (std::size_t at = 0; at < sent.size();) {
        const std::size_t piece = std::min<std::size_t>(1 + random() % 100'000, sent.size() - at);
        WriteText(host.get(), std::string_view(sent).substr(at, piece));
        at += piece;
      }
      EXPECT_TRUE(ReadText(host.get(), sent.size()) == sent);
    });
  }
  threads.clear();
  EXPECT_EQ(link.host->EndReason(), "");
}

// The application closes with bytes of the peer unread: what it wrote itself still arrives.
TEST(MuxStreams, BytesBeforeACloseArriveThoughTheCloserHadMoreToRead) {
  Link link;
  for (unsigned round = 0; round < 20; ++round) {
    base::Result<base::UniqueFd> host = base::Fail(base::Code::kInternal, "");
    ASSERT_TRUE(Until([&] { return (host = link.host->Dial(1)).has_value(); }));
    auto [port, guest] = link.accepted.Next();
    WriteText(guest.get(), "x");
    EXPECT_EQ(ReadText(host->get(), 1), "x");
    const std::string much(2'000'000, 'd');
    while (::send(guest.get(), much.data(), much.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
    ASSERT_TRUE(base::PollUntil(host->get(), POLLIN, Soon()).value());
    const std::string sent = RandomText(100'000, round);
    WriteText(host->get(), sent);
    host->Reset();
    EXPECT_TRUE(ReadText(guest.get(), sent.size()) == sent) << round;
    EXPECT_EQ(ReadToEnd(guest.get()), "");
  }
}

TEST(MuxStreams, CloseDeliversAllBytesBeforeIt) {
  Link link;
  const std::string sent = RandomText(600'000, 3);
  base::UniqueFd host = link.host->Dial(1).value();
  auto [port, guest] = link.accepted.Next();
  std::jthread writer([&] {
    WriteText(host.get(), sent);
    host.Reset();
  });
  EXPECT_TRUE(ReadToEnd(guest.get()) == sent);
}

TEST(MuxStreams, DropInTheMiddleOfAnUploadFreesTheStream) {
  Link link;
  for (unsigned i = 0; i < 3 * kMaxStreams; ++i) {
    base::Result<base::UniqueFd> host = base::Fail(base::Code::kInternal, "");
    ASSERT_TRUE(Until([&] { return (host = link.host->Dial(1)).has_value(); })) << i;
    auto [port, guest] = link.accepted.Next();
    const std::string sent = RandomText(150'000, i);
    WriteText(host->get(), sent);
    host->Reset();
    EXPECT_TRUE(ReadToEnd(guest.get()) == sent);
  }
  EXPECT_EQ(link.host->EndReason(), "");
}

TEST(MuxStreams, ReceiverThatClosesWithBytesUnreadEndsTheSender) {
  Link link;
  base::UniqueFd host = link.host->Dial(1).value();
  auto [port, guest] = link.accepted.Next();
  guest.Reset();
  // Far more than windows and socket buffers hold: an error must come, not a stall.
  EXPECT_FALSE(base::WriteAll(host.get(), std::string(8'000'000, 'x'), Soon()));
  base::UniqueFd next = link.host->Dial(2).value();
  EXPECT_EQ(link.accepted.Next().first, 2U);
}

TEST(MuxStreams, StalledReaderDoesNotBlockOtherStreams) {
  Link link;
  const base::UniqueFd stalled = link.host->Dial(1).value();
  auto [port, unread] = link.accepted.Next();
  // Fill it until nothing moves any more, in both directions.
  const std::string much(4'000'000, 's');
  std::size_t upload = 0;
  std::size_t download = 0;
  for (int idle = 0; idle < 50;) {
    const ssize_t up = ::send(stalled.get(), much.data(), much.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    const ssize_t down =
        ::send(unread.get(), much.data(), much.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    idle = up > 0 || down > 0 ? 0 : idle + 1;
    upload += up > 0 ? static_cast<std::size_t>(up) : 0;
    download += down > 0 ? static_cast<std::size_t>(down) : 0;
    ::poll(nullptr, 0, 1);
  }
  EXPECT_LT(upload, 2'000'000U);

  const base::UniqueFd other = link.host->Dial(2).value();
  auto [other_port, other_guest] = link.accepted.Next();
  const std::string sent = RandomText(3'000'000, 9);
  std::jthread writer([&] { WriteText(other.get(), sent); });
  EXPECT_TRUE(ReadText(other_guest.get(), sent.size()) == sent);
  // And the stalled bytes are all still there.
  EXPECT_EQ(ReadText(unread.get(), upload).find_first_not_of('s'), std::string::npos);
  EXPECT_EQ(ReadText(stalled.get(), download).find_first_not_of('s'), std::string::npos);
}

TEST(MuxStreams, StreamsPastTheLimitAreRefusedAndComeBack) {
  Link link;
  std::vector<base::UniqueFd> streams;
  for (unsigned i = 0; i < kMaxStreams; ++i) streams.push_back(link.host->Dial(i).value());
  const auto refused = link.host->Dial(99);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::Code::kResourceExhausted);
  streams.clear();
  EXPECT_TRUE(Until([&] { return link.host->Dial(100).has_value(); }));
}

TEST(MuxStreams, GuestDoesNotDial) {
  Link link;
  EXPECT_FALSE(link.guest->Dial(1));
}

TEST(MuxStreams, DestructionIsPromptAndClosesTheStreams) {
  for (int i = 0; i < 20; ++i) {
    Link link;
    const base::UniqueFd host = link.host->Dial(1).value();
    auto [port, guest] = link.accepted.Next();
    const auto start = steady_clock::now();
    link.host.reset();
    link.guest.reset();
    EXPECT_LT(steady_clock::now() - start, std::chrono::seconds{5});
    EXPECT_EQ(ReadToEnd(host.get()), "");
    EXPECT_EQ(ReadToEnd(guest.get()), "");
  }
}

// Run with --gtest_also_run_disabled_tests to see the figures.
TEST(MuxStreams, DISABLED_Speed) {
  Link link;
  const base::UniqueFd host = link.host->Dial(1).value();
  auto [port, guest] = link.accepted.Next();
  constexpr std::size_t kTotal = std::size_t{4} << 30U;
  const std::string chunk(256 * 1024, 'x');
  for (const bool upload : {true, false}) {
    const int from = upload ? host.get() : guest.get();
    const int to = upload ? guest.get() : host.get();
    const auto start = steady_clock::now();
    std::jthread writer([&] {
      for (std::size_t sent = 0; sent < kTotal; sent += chunk.size()) WriteText(from, chunk);
    });
    std::string into(chunk.size(), ' ');
    for (std::size_t got = 0; got < kTotal;) {
      ASSERT_TRUE(base::PollUntil(to, POLLIN, Soon()).value());
      const ssize_t count = ::recv(to, into.data(), into.size(), MSG_DONTWAIT);
      if (count > 0) got += static_cast<std::size_t>(count);
    }
    const std::chrono::duration<double> took = steady_clock::now() - start;
    std::printf("%s: %.2f GiB/s\n", upload ? "upload" : "download", 4.0 / took.count());
  }
  std::vector<double> micros;
  std::jthread echo([fd = guest.get()] {
    for (int i = 0; i < 20'000; ++i) WriteText(fd, ReadText(fd, 16));
  });
  const std::string message(16, 'p');
  for (int i = 0; i < 20'000; ++i) {
    const auto start = steady_clock::now();
    WriteText(host.get(), message);
    static_cast<void>(ReadText(host.get(), 16));
    micros.push_back(
        std::chrono::duration<double, std::micro>(steady_clock::now() - start).count());
  }
  std::ranges::sort(micros);
  std::printf("round trip: p50 %.0f us, p99 %.0f us\n", micros[10'000], micros[19'800]);
}

}  // namespace
}  // namespace nv::wire
