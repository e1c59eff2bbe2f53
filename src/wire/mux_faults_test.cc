// The other end at its worst: seeded garbage, endless frames, and how much memory that costs.

#include <random>
#include <string>

#include <gtest/gtest.h>

#include "base/text.h"
#include "wire/mux_fuzz.h"
#include "wire/mux_test_support.h"

namespace nv::wire {
namespace {

// Mostly well-formed frames with odd numbers, so that the garbage gets past the header checks.
std::string RandomInput(std::mt19937& random) {
  std::string bytes(1, static_cast<char>(random()));
  for (auto parts = 1 + random() % 12; parts > 0; --parts) {
    if (random() % 8 == 0) {
      bytes += RandomText(random() % 300, static_cast<unsigned>(random()));
      continue;
    }
    const auto type = static_cast<FrameType>(1 + random() % 6);
    std::string payload;
    if (type == FrameType::kData) payload.assign(1 + random() % 5000, 'd');
    if (type == FrameType::kReset || type == FrameType::kResetAck) payload.assign(kNonceBytes, 'n');
    if (type == FrameType::kOpen || type == FrameType::kCredit) {
      payload =
          EncodeNumber(static_cast<std::uint32_t>(random() % 2 == 0 ? random() % 100 : random()));
    }
    std::string frame = EncodeFrame(type, static_cast<std::uint32_t>(random() % 4), payload);
    if (random() % 6 == 0) frame[random() % frame.size()] = static_cast<char>(random());
    if (random() % 10 == 0) frame.resize(random() % frame.size());
    bytes += frame;
  }
  return bytes;
}

TEST(MuxFaults, SeededGarbageNeitherCrashesNorHangsEitherEnd) {
  for (unsigned seed = 0; seed < 3000 && !HasFailure(); ++seed) {
    std::mt19937 random(seed);
    const std::string input = RandomInput(random);
    EXPECT_TRUE(FuzzMux(reinterpret_cast<const std::uint8_t*>(input.data()), input.size())) << seed;
  }
}

std::size_t ResidentBytes() {
  const std::string statm = base::ReadFile("/proc/self/statm", 200).value();
  const std::size_t begin = statm.find(' ') + 1;
  return base::ParseUint(statm.substr(begin, statm.find(' ', begin) - begin)).value() * 4096;
}

TEST(MuxFaults, FramesWithoutEndCostTimeButNoMemory) {
  HandMadeGuest guest;
  const base::UniqueFd stream = guest.OpenOne();
  const std::size_t before = ResidentBytes();
  // 512 MiB of data that is read, in frames of one window, with the credit that comes back.
  std::jthread reader([fd = stream.get()] {
    std::string into(256 * 1024, ' ');
    for (std::size_t got = 0; got < (std::size_t{512} << 20U);) {
      if (!base::PollUntil(fd, POLLIN, Soon()).value_or(false)) return;
      const ssize_t count = ::recv(fd, into.data(), into.size(), MSG_DONTWAIT);
      if (count == 0) return;
      if (count > 0) got += static_cast<std::size_t>(count);
    }
  });
  const std::string data = EncodeFrame(FrameType::kData, 1, std::string(kMaxPayload, 'd'));
  std::size_t credit = kWindowBytes;
  for (std::size_t sent = 0; sent < (std::size_t{512} << 20U); sent += kMaxPayload) {
    while (credit < kMaxPayload) {
      const std::string frame = ReadText(guest.port.get(), kHeaderBytes + 4);
      ASSERT_EQ(frame.substr(0, 4),
                EncodeFrame(FrameType::kCredit, 1, frame.substr(16)).substr(0, 4));
      credit += DecodeNumber(std::string_view(frame).substr(kHeaderBytes));
    }
    WriteText(guest.port.get(), data);
    credit -= kMaxPayload;
  }
  reader.join();
  EXPECT_EQ(guest.host->EndReason(), "");
  EXPECT_LT(ResidentBytes(), before + kMaxStreams * 2 * kWindowBytes + (std::size_t{24} << 20U));
}

TEST(MuxFaults, GuestThatReadsNothingHoldsBoundedMemory) {
  HandMadeGuest guest;
  const std::size_t before = ResidentBytes();
  std::vector<base::UniqueFd> streams;
  const std::string much(8'000'000, 'u');
  std::size_t taken = 0;
  for (unsigned i = 0; i < kMaxStreams; ++i) {
    streams.push_back(guest.host->Dial(i).value());
  }
  for (int idle = 0; idle < 50;) {
    bool moved = false;
    for (const base::UniqueFd& stream : streams) {
      const ssize_t sent =
          ::send(stream.get(), much.data(), much.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent > 0) {
        taken += static_cast<std::size_t>(sent);
        moved = true;
      }
    }
    idle = moved ? 0 : idle + 1;
    ::poll(nullptr, 0, 1);
  }
  // A window and two socket buffers a stream at the most, though the guest never answered.
  EXPECT_LT(taken, kMaxStreams * (kWindowBytes + 1024 * 1024));
  EXPECT_LT(ResidentBytes(), before + kMaxStreams * 2 * kWindowBytes + (std::size_t{24} << 20U));
  EXPECT_EQ(guest.host->EndReason(), "");
}

}  // namespace
}  // namespace nv::wire
