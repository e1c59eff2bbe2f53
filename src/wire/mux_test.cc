#include "wire/mux.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <future>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "wire/mux_frame.h"

namespace nv::wire {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

// As every program of ours does.
const auto kIgnoresSigpipe = ::signal(SIGPIPE, SIG_IGN);

base::Deadline Soon() { return steady_clock::now() + seconds{20}; }

std::string ReadSome(int fd) {
  std::string out(70'000, '\0');
  auto ready = base::PollUntil(fd, POLLIN, Soon());
  if (!ready || !*ready) return "TIMEOUT";
  const ssize_t got = ::recv(fd, out.data(), out.size(), MSG_DONTWAIT);
  out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return out;
}

std::string ReadCount(int fd, std::size_t count) {
  std::string all;
  while (all.size() < count) {
    const std::string some = ReadSome(fd);
    if (some.empty() || some == "TIMEOUT") break;
    all += some;
  }
  return all;
}

bool ReachesEnd(int fd) {
  while (true) {
    const std::string some = ReadSome(fd);
    if (some == "TIMEOUT") return false;
    if (some.empty()) return true;
  }
}

// Both muxes over a socketpair, the guest's handing its streams to echo threads.
class MuxPair {
 public:
  MuxPair() {
    auto port = base::MakeSocketPair(SOCK_STREAM);
    guest = *Mux::Start(Mux::Role::kGuest, std::move(port->second),
                        [this](std::uint32_t number, base::UniqueFd fd) {
                          if (number == 1) return;  // refused
                          if (number == 2) {
                            const std::lock_guard lock(mutex);
                            kept.push_back(std::move(fd));  // never read
                            return;
                          }
                          echoes.emplace_back([held = std::move(fd)] {
                            while (true) {
                              const std::string some = ReadSome(held.get());
                              if (some.empty() || !base::WriteAll(held.get(), some, Soon())) return;
                            }
                          });
                        });
    host = *Mux::Start(Mux::Role::kHost, std::move(port->first), {});
  }
  std::vector<std::jthread> echoes;
  std::mutex mutex;
  std::vector<base::UniqueFd> kept;
  std::unique_ptr<Mux> guest;
  std::unique_ptr<Mux> host;
};

TEST(Mux, EchoesRandomSizesOnManyStreamsAtOnce) {
  MuxPair pair;
  std::vector<std::future<bool>> done;
  for (unsigned seed = 0; seed < 8; ++seed) {
    auto fd = pair.host->Dial(6000);
    ASSERT_TRUE(fd);
    done.push_back(std::async(std::launch::async, [seed, held = std::move(*fd)] {
      std::mt19937 random(seed);
      for (int round = 0; round < 40; ++round) {
        std::string sent(1 + random() % 150'000, '\0');
        for (char& byte : sent) byte = static_cast<char>(random());
        auto writer = std::async(std::launch::async, [&] {
          return base::WriteAll(held.get(), sent, Soon()).has_value();
        });
        if (ReadCount(held.get(), sent.size()) != sent || !writer.get()) return false;
      }
      return true;
    }));
  }
  for (auto& one : done) EXPECT_TRUE(one.get());
  EXPECT_EQ(pair.host->EndReason(), "");
}

TEST(Mux, StreamThatNobodyReadsDoesNotStopTheOthers) {
  MuxPair pair;
  auto stuck = pair.host->Dial(2);
  ASSERT_TRUE(stuck);
  // Fill it until nothing more is taken: its window, then the socket buffers.
  const std::string block(64 * 1024, 's');
  while (::send(stuck->get(), block.data(), block.size(), MSG_DONTWAIT) > 0) {
  }
  auto fd = pair.host->Dial(6000);
  ASSERT_TRUE(fd);
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(base::WriteAll(fd->get(), "ping", Soon()));
    ASSERT_EQ(ReadCount(fd->get(), 4), "ping");
    (void)::send(stuck->get(), block.data(), block.size(), MSG_DONTWAIT);
  }
}

TEST(Mux, BytesBeforeACloseArrive) {
  MuxPair pair;
  for (int round = 0; round < 50; ++round) {
    auto fd = pair.host->Dial(2);
    ASSERT_TRUE(fd) << fd.error().message();
    ASSERT_TRUE(base::WriteAll(fd->get(), std::string(50'000, 'x'), Soon()));
    fd->Reset();
    base::UniqueFd other;
    while (!other.valid()) {
      const std::lock_guard lock(pair.mutex);
      if (!pair.kept.empty()) {
        other = std::move(pair.kept.back());
        pair.kept.pop_back();
      }
    }
    EXPECT_EQ(ReadCount(other.get(), 50'000).size(), 50'000u);
    EXPECT_TRUE(ReachesEnd(other.get()));
  }
}

TEST(Mux, RefusedPortEndsTheStream) {
  MuxPair pair;
  auto fd = pair.host->Dial(1);
  ASSERT_TRUE(fd);
  EXPECT_TRUE(ReachesEnd(fd->get()));
  EXPECT_EQ(pair.host->EndReason(), "");
}

TEST(Mux, StreamsPastTheLimitAreRefused) {
  MuxPair pair;
  std::vector<base::UniqueFd> held;
  for (std::size_t i = 0; i < kMaxStreams; ++i) held.push_back(std::move(*pair.host->Dial(2)));
  const auto refused = pair.host->Dial(2);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::Code::kResourceExhausted);
}

// A guest's mux that sees one host after another on the same port, each cut off anywhere.
TEST(Mux, NewHostRecoversFromAnyHalfFrame) {
  auto port = base::MakeSocketPair(SOCK_STREAM);
  std::vector<std::jthread> echoes;
  auto guest =
      Mux::Start(Mux::Role::kGuest, std::move(port->second), [&](std::uint32_t, base::UniqueFd fd) {
        echoes.emplace_back([held = std::move(fd)] {
          while (true) {
            const std::string some = ReadSome(held.get());
            if (some.empty() || !base::WriteAll(held.get(), some, Soon())) return;
          }
        });
      });
  ASSERT_TRUE(guest);
  for (unsigned seed = 0; seed < 100; ++seed) {
    std::mt19937 random(seed);
    // The first host: some stale bytes, cut in the middle of a frame.
    const std::string frame = EncodeFrame(FrameType::kReset, 0, std::string(kNonceBytes, 'n')) +
                              EncodeFrame(FrameType::kOpen, 1, EncodeNumber(6000)) +
                              EncodeFrame(FrameType::kData, 1, std::string(kMaxPayload, 'd'));
    ASSERT_TRUE(
        base::WriteAll(port->first.get(), frame.substr(0, random() % frame.size()), Soon()));
    // The next one.
    base::UniqueFd again(::dup(port->first.get()));
    auto host = Mux::Start(Mux::Role::kHost, std::move(again), {});
    ASSERT_TRUE(host);
    auto fd = (*host)->Dial(6000);
    ASSERT_TRUE(fd);
    ASSERT_TRUE(base::WriteAll(fd->get(), "hello", Soon()));
    ASSERT_EQ(ReadCount(fd->get(), 5), "hello") << "seed " << seed << " " << (*host)->EndReason();
  }
  guest->reset();
}

// Plays a hostile guest: reads the host's RESET, answers right, then sends `bytes`.
std::string ReasonAfter(const std::string& bytes, bool answer = true) {
  auto port = base::MakeSocketPair(SOCK_STREAM);
  auto host = Mux::Start(Mux::Role::kHost, std::move(port->first), {});
  auto fd = (*host)->Dial(6000);
  const std::string preamble =
      ReadCount(port->second.get(), kMaxPayload + kHeaderBytes + kHeaderBytes + kNonceBytes);
  const std::size_t reset = preamble.find("NVMX");
  const std::string nonce = preamble.substr(reset + kHeaderBytes, kNonceBytes);
  if (answer)
    (void)base::WriteAll(port->second.get(), EncodeFrame(FrameType::kResetAck, 0, nonce), Soon());
  (void)base::WriteAll(port->second.get(), bytes, Soon());
  if (!ReachesEnd(fd->get())) return "HANGS";
  while ((*host)->EndReason().empty()) std::this_thread::yield();
  return (*host)->EndReason();
}

TEST(Mux, HostileGuestEndsItsOwnChannelAndIsNamed) {
  EXPECT_NE(ReasonAfter("garbage that is no frame").find("no"), std::string::npos);
  std::string huge = EncodeFrame(FrameType::kData, 1, "x");
  huge[12] = huge[13] = huge[14] = huge[15] = '\xff';
  EXPECT_NE(ReasonAfter(huge).find("length 4294967295"), std::string::npos);
  std::string unknown = EncodeFrame(FrameType::kClose, 1, {});
  unknown[4] = 77;
  EXPECT_NE(ReasonAfter(unknown).find("type 77"), std::string::npos);
  EXPECT_NE(ReasonAfter(EncodeFrame(FrameType::kOpen, 9, EncodeNumber(1))).find("stream 9"),
            std::string::npos);
  EXPECT_NE(ReasonAfter(EncodeFrame(FrameType::kData, 4000, "x")).find("4000"), std::string::npos);
  EXPECT_NE(ReasonAfter(EncodeFrame(FrameType::kCredit, 1, EncodeNumber(0xffffffff))).find("rules"),
            std::string::npos);
  EXPECT_NE(
      ReasonAfter(EncodeFrame(FrameType::kClose, 1, {}) + EncodeFrame(FrameType::kClose, 1, {}))
          .size(),
      0u);
  EXPECT_NE(ReasonAfter(std::string((1 << 20) + 100'000, 'g'), /*answer=*/false).find("1 MiB"),
            std::string::npos);
}

TEST(Mux, DataPastTheWindowEndsTheSession) {
  auto port = base::MakeSocketPair(SOCK_STREAM);
  auto host = Mux::Start(Mux::Role::kHost, std::move(port->first), {});
  auto fd = (*host)->Dial(6000);  // never read
  const std::string preamble =
      ReadCount(port->second.get(), kMaxPayload + kHeaderBytes + kHeaderBytes + kNonceBytes);
  const std::string nonce = preamble.substr(preamble.find("NVMX") + kHeaderBytes, kNonceBytes);
  ASSERT_TRUE(
      base::WriteAll(port->second.get(), EncodeFrame(FrameType::kResetAck, 0, nonce), Soon()));
  const std::string data = EncodeFrame(FrameType::kData, 1, std::string(kMaxPayload, 'd'));
  std::size_t sent = 0;
  while ((*host)->EndReason().empty() && sent < 100 * kWindowBytes) {
    if (!base::WriteAll(port->second.get(), data, Soon())) break;
    sent += kMaxPayload;
  }
  while ((*host)->EndReason().empty()) std::this_thread::yield();
  EXPECT_NE((*host)->EndReason().find("rules"), std::string::npos) << (*host)->EndReason();
  // The local socket's buffer and one window were taken, no more.
  EXPECT_LT(sent, 8 * kWindowBytes);
}

TEST(Mux, RandomGarbageNeitherCrashesNorHangs) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    std::mt19937 random(seed);
    std::string bytes;
    for (int part = 0; part < 20; ++part) {
      const auto type = static_cast<FrameType>(1 + random() % 7);
      std::string frame = EncodeFrame(type, static_cast<std::uint32_t>(random() % 3),
                                      std::string(random() % 40, static_cast<char>(random())));
      if (random() % 3 == 0) frame[random() % frame.size()] = static_cast<char>(random());
      bytes += frame;
    }
    bytes += "X";
    EXPECT_NE(ReasonAfter(bytes + std::string(64, 'X')), "HANGS") << seed;
  }
}

TEST(Mux, EndOfThePortEndsEverything) {
  auto port = base::MakeSocketPair(SOCK_STREAM);
  auto host = Mux::Start(Mux::Role::kHost, std::move(port->first), {});
  auto fd = (*host)->Dial(6000);
  port->second.Reset();
  EXPECT_TRUE(ReachesEnd(fd->get()));
  while ((*host)->EndReason().empty()) std::this_thread::yield();
  EXPECT_FALSE((*host)->Dial(6000));
}

}  // namespace
}  // namespace nv::wire
