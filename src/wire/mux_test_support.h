// Helpers of the multiplexer's tests: deadlines, whole reads and writes, an echo server, a
// hand-made peer.

#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/io.h"
#include "wire/mux.h"
#include "wire/mux_frame.h"

namespace nv::wire {

// WriteAll wants it; the muxes themselves do not.
inline const auto kIgnoresSigpipe = std::signal(SIGPIPE, SIG_IGN);

inline base::Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds{60}; }

inline std::string RandomText(std::size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::string text(bytes, ' ');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

inline std::string ReadText(int fd, std::size_t bytes) {
  std::string text(bytes, ' ');
  const base::Status done = base::ReadExactly(fd, std::as_writable_bytes(std::span(text)), Soon());
  EXPECT_TRUE(done) << (done ? "" : done.error().message());
  return text;
}

// Up to the end of the stream, whichever way it ends.
inline std::string ReadToEnd(int fd) {
  std::string text;
  std::array<char, 64 * 1024> buffer{};
  while (base::PollUntil(fd, POLLIN, Soon()).value_or(false)) {
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ADD_FAILURE() << "the stream did not end";
  return text;
}

inline void WriteText(int fd, std::string_view text) {
  const base::Status done = base::WriteAll(fd, text, Soon());
  EXPECT_TRUE(done) << (done ? "" : done.error().message());
}

inline bool Until(const std::function<bool()>& condition) {
  const base::Deadline deadline = Soon();
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

// The guest's side of a test: hands accepted streams out in order.
class Accepted {
 public:
  Mux::AcceptHandler Handler() {
    return [this](std::uint32_t port, base::UniqueFd fd) {
      const std::scoped_lock lock(mutex_);
      streams_.emplace_back(port, std::move(fd));
    };
  }
  // The next stream, and its port.
  std::pair<std::uint32_t, base::UniqueFd> Next() {
    std::pair<std::uint32_t, base::UniqueFd> next;
    EXPECT_TRUE(Until([&] {
      const std::scoped_lock lock(mutex_);
      if (streams_.empty()) return false;
      next = std::move(streams_.front());
      streams_.erase(streams_.begin());
      return true;
    }));
    return next;
  }

 private:
  std::mutex mutex_;
  std::vector<std::pair<std::uint32_t, base::UniqueFd>> streams_;
};

// Two muxes over one socket pair.
struct Link {
  Link() {
    base::FdPair port = base::MakeSocketPair(SOCK_STREAM).value();
    guest = Mux::Start(Mux::Role::kGuest, std::move(port.second), accepted.Handler()).value();
    host = Mux::Start(Mux::Role::kHost, std::move(port.first), nullptr).value();
  }
  Accepted accepted;
  std::unique_ptr<Mux> guest;
  std::unique_ptr<Mux> host;
};

// A host mux whose guest is written by hand: it has read the RESET.
struct HandMadeGuest {
  HandMadeGuest() {
    base::FdPair pair = base::MakeSocketPair(SOCK_STREAM).value();
    port = std::move(pair.second);
    host = Mux::Start(Mux::Role::kHost, std::move(pair.first), nullptr).value();
    const std::string start = ReadText(port.get(), kMaxPayload + 2 * kHeaderBytes + kNonceBytes);
    EXPECT_EQ(start.substr(0, kMaxPayload + kHeaderBytes),
              std::string(kMaxPayload + kHeaderBytes, '\0'));
    nonce = start.substr(start.size() - kNonceBytes);
  }
  // Answers, dials, and reads the OPEN: stream 1 is up.
  base::UniqueFd OpenOne() {
    WriteText(port.get(), EncodeFrame(FrameType::kResetAck, 0, nonce));
    base::UniqueFd stream = host->Dial(7).value();
    EXPECT_EQ(ReadText(port.get(), kHeaderBytes + 4),
              EncodeFrame(FrameType::kOpen, 1, EncodeNumber(7)));
    return stream;
  }
  base::UniqueFd port;
  std::unique_ptr<Mux> host;
  std::string nonce;
};

}  // namespace nv::wire
