#include "wire/mux.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "base/ids.h"
#include "wire/mux_frame.h"
#include "wire/mux_stream.h"

namespace nv::wire {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;
// While more than this waits for the port, no stream is read: the back-pressure towards the local
// sockets.
constexpr std::size_t kOutHighWater = 256 * 1024;
// Control frames are bounded by credit and stream counts; more than this waiting means the peer
// plays games.
constexpr std::size_t kOutLimit = 4 * 1024 * 1024;
// A guest's stale bytes before its answer to RESET.
constexpr std::size_t kMaxSkippedBytes = 1024 * 1024;
// The guest's port reports a hang-up, level-triggered, while no host is connected.
constexpr int kHangupPauseMs = 50;

class MuxImpl final : public Mux {
 public:
  MuxImpl(Role role, base::UniqueFd port, AcceptHandler on_open, base::FdPair wake)
      : role_(role), port_(std::move(port)), on_open_(std::move(on_open)), wake_(std::move(wake)) {}

  ~MuxImpl() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    Wake();
    if (thread_.joinable()) thread_.join();
  }

  void Run() {
    thread_ = std::jthread([this] {
      if (role_ == Role::kHost) BeginSession();
      Loop();
    });
  }

  base::Result<base::UniqueFd> Dial(std::uint32_t port) override {
    auto pair = base::MakeSocketPair(SOCK_STREAM);
    if (!pair) return base::Fail(std::move(pair.error()));
    for (const int fd : {pair->first.get(), pair->second.get()}) {
      if (auto set = base::SetNonBlocking(fd, true); !set) return base::Fail(set.error());
    }
    {
      const std::lock_guard lock(mutex_);
      if (!end_reason_.empty()) {
        return base::Fail(base::Code::kUnavailable,
                          fmt::format("the channel has ended: {}", end_reason_));
      }
      if (role_ != Role::kHost)
        return base::Fail(base::Code::kFailedPrecondition, "only the host dials");
      if (stream_count_ >= kMaxStreams) {
        return base::Fail(base::Code::kResourceExhausted, "the channel has no free stream");
      }
      ++stream_count_;
      dialled_.emplace_back(port, std::move(pair->second));
    }
    Wake();
    return std::move(pair->first);
  }

  std::string EndReason() const override {
    const std::lock_guard lock(mutex_);
    return end_reason_;
  }

 private:
  void Wake() {
    const char byte = 0;
    // Full: a wake-up is pending already.
    [[maybe_unused]] const ssize_t sent =
        ::send(wake_.second.get(), &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  void BeginSession() {
    base::FillRandom(nonce_.data(), nonce_.size());
    // A guest in the middle of a frame takes up to kMaxPayload bytes as its rest; what is left is
    // padding.
    out_.assign(kMaxPayload + kHeaderBytes, '\0');
    out_ += EncodeFrame(FrameType::kReset, 0, NonceText());
    searching_ = true;
  }

  std::string_view NonceText() const {
    return {reinterpret_cast<const char*>(nonce_.data()), nonce_.size()};
  }

  void End(std::string reason) {
    const std::lock_guard lock(mutex_);
    if (end_reason_.empty()) end_reason_ = std::move(reason);
  }

  // False when the thread should end.
  bool TakeRequests() {
    std::array<char, 64> bytes;
    while (::recv(wake_.first.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
    }
    std::vector<std::pair<std::uint32_t, base::UniqueFd>> dialled;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ || !end_reason_.empty()) return false;
      dialled.swap(dialled_);
    }
    for (auto& [port, fd] : dialled) {
      const std::uint32_t id = next_stream_++;
      streams_.emplace(id, MuxStream(std::move(fd)));
      out_ += EncodeFrame(FrameType::kOpen, id, EncodeNumber(port));
    }
    return true;
  }

  void Loop() {
    while (TakeRequests()) {
      std::vector<pollfd> polled = {
          {wake_.first.get(), POLLIN, 0},
          {port_.get(), static_cast<short>(POLLIN | (OutWaits() ? POLLOUT : 0)), 0}};
      std::vector<std::uint32_t> ids;  // of polled[2] and on
      const bool may_read =
          out_.size() - out_from_ < kOutHighWater && (role_ == Role::kHost || !searching_);
      for (auto& [id, stream] : streams_) {
        const auto events = static_cast<short>((may_read && stream.WantsRead() ? POLLIN : 0) |
                                               (stream.WantsWrite() ? POLLOUT : 0));
        // Asked for nothing: left out, or its hang-up would wake the loop again and again.
        if (events == 0) continue;
        polled.push_back({stream.fd(), events, 0});
        ids.push_back(id);
      }
      if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) {
        End(fmt::format("poll: {}", std::strerror(errno)));
        break;
      }
      if ((polled[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !ReadPort()) break;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const pollfd& polled_stream = polled[i + 2];
        const auto found = streams_.find(ids[i]);  // ReadPort may have ended it
        if (found == streams_.end() || polled_stream.revents == 0) continue;
        if ((polled_stream.events & POLLOUT) != 0) found->second.Flush();
        if ((polled_stream.events & POLLIN) != 0) ReadStream(found->first, found->second);
      }
      Settle();
      if (!WritePort()) break;
      if (out_.size() - out_from_ > kOutLimit) {
        End("the other end does not read what it makes us answer");
        break;
      }
    }
    streams_.clear();
    port_.Reset();
    const std::lock_guard lock(mutex_);
    if (end_reason_.empty()) end_reason_ = "stopped";
    dialled_.clear();
  }

  [[nodiscard]] bool OutWaits() const { return out_from_ < out_.size(); }

  void ReadStream(std::uint32_t id, MuxStream& stream) {
    if (stream.ReadLocal(scratch_, kMaxPayload))
      out_ += EncodeFrame(FrameType::kData, id, scratch_);
  }

  // Credits, closes, and streams that are over.
  void Settle() {
    for (auto it = streams_.begin(); it != streams_.end();) {
      auto& [id, stream] = *it;
      stream.EndIfDelivered();
      if (const std::uint32_t credit = stream.TakeCredit(); credit > 0) {
        out_ += EncodeFrame(FrameType::kCredit, id, EncodeNumber(credit));
      }
      if (stream.MustSendClose()) {
        out_ += EncodeFrame(FrameType::kClose, id, {});
        stream.CloseSent();
        stream.EndIfDelivered();
      }
      if (!stream.Done()) {
        ++it;
        continue;
      }
      it = streams_.erase(it);
      const std::lock_guard lock(mutex_);
      if (stream_count_ > 0) --stream_count_;
    }
  }

  bool WritePort() {
    while (OutWaits()) {
      const ssize_t sent = ::write(port_.get(), out_.data() + out_from_, out_.size() - out_from_);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && errno == EAGAIN) break;
      if (sent < 0) {
        if (role_ == Role::kGuest) break;  // no host just now; it will begin with RESET
        End(fmt::format("writing to the guest's port: {}", std::strerror(errno)));
        return false;
      }
      out_from_ += static_cast<std::size_t>(sent);
    }
    if (out_from_ == out_.size() || out_from_ > kOutHighWater) {
      out_.erase(0, out_from_);
      out_from_ = 0;
    }
    return true;
  }

  bool ReadPort() {
    buffer_.resize(kReadBytes);
    const ssize_t got = ::read(port_.get(), buffer_.data(), buffer_.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    if (got <= 0) {
      if (role_ == Role::kGuest) {
        // Only the wake-up is watched meanwhile.
        pollfd wake{wake_.first.get(), POLLIN, 0};
        ::poll(&wake, 1, kHangupPauseMs);
        return true;
      }
      End("the guest's port was closed");
      return false;
    }
    std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
    return searching_ ? Search(bytes) : Parse(bytes);
  }

  bool Parse(std::string_view bytes) {
    auto status = parser_.Feed(bytes, [this](const FrameHeader& header, std::string_view piece,
                                             bool last) { return OnFrame(header, piece, last); });
    if (status) return true;
    if (role_ == Role::kHost) {
      End(status.error().message());
      return false;
    }
    // The host may have begun anew within these bytes.
    StartSearch();
    return Search(bytes);
  }

  void StartSearch() {
    streams_.clear();
    parser_.Reset();
    found_.clear();
    skipped_ = 0;
    searching_ = true;
  }

  // Looks for the frame that begins a session: the guest for any RESET, the host for RESET_ACK with
  // its nonce.
  bool Search(std::string_view bytes) {
    found_ += bytes;
    std::string pattern = EncodeFrame(
        role_ == Role::kHost ? FrameType::kResetAck : FrameType::kReset, 0, NonceText());
    if (role_ == Role::kGuest) pattern.resize(kHeaderBytes);
    const std::size_t at = found_.find(pattern);
    if (at == std::string::npos || found_.size() < at + kHeaderBytes + kNonceBytes) {
      const std::size_t keep = at == std::string::npos ? pattern.size() - 1 : found_.size() - at;
      if (found_.size() > keep) {
        skipped_ += found_.size() - keep;
        found_.erase(0, found_.size() - keep);
      }
      if (role_ == Role::kHost && skipped_ > kMaxSkippedBytes) {
        End("the guest sent over 1 MiB before it answered");
        return false;
      }
      return true;
    }
    const std::string rest = found_.substr(at + kHeaderBytes + kNonceBytes);
    if (role_ == Role::kGuest)
      Greet(std::string_view(found_).substr(at + kHeaderBytes, kNonceBytes));
    found_.clear();
    searching_ = false;
    return rest.empty() || Parse(rest);
  }

  // Guest: a new session.
  void Greet(std::string_view nonce) {
    std::memcpy(nonce_.data(), nonce.data(), nonce_.size());
    streams_.clear();
    parser_.Reset();
    out_from_ = 0;
    out_ = EncodeFrame(FrameType::kResetAck, 0, NonceText());
  }

  base::Status OnFrame(const FrameHeader& header, std::string_view piece, bool last) {
    if (header.type == FrameType::kReset && role_ == Role::kGuest) {
      Greet(piece);
      return {};
    }
    if (header.type == FrameType::kOpen && role_ == Role::kGuest)
      return OnOpen(header.stream, DecodeNumber(piece));
    const auto found = streams_.find(header.stream);
    if (found == streams_.end()) {
      return base::Fail(base::Code::kDataLoss,
                        fmt::format("a frame of type {} names the unknown stream {}",
                                    static_cast<int>(header.type), header.stream));
    }
    MuxStream& stream = found->second;
    bool right = false;
    switch (header.type) {
      case FrameType::kData:
        right = stream.Accept(piece);
        break;
      case FrameType::kCredit:
        right = stream.AddCredit(DecodeNumber(piece));
        break;
      case FrameType::kClose:
        right = last && stream.PeerCloses();
        break;
      default:
        break;
    }
    if (right) return {};
    return base::Fail(base::Code::kDataLoss,
                      fmt::format("a frame of type {} breaks the rules of stream {}",
                                  static_cast<int>(header.type), header.stream));
  }

  // Guest only: the host is trusted, yet a full table refuses.
  base::Status OnOpen(std::uint32_t id, std::uint32_t port) {
    if (streams_.contains(id) || streams_.size() >= kMaxStreams) {
      return base::Fail(base::Code::kDataLoss, fmt::format("stream {} cannot be opened", id));
    }
    auto pair = base::MakeSocketPair(SOCK_STREAM);
    if (!pair) return base::Fail(std::move(pair.error()));
    for (const int fd : {pair->first.get(), pair->second.get()}) {
      if (auto set = base::SetNonBlocking(fd, true); !set) return set;
    }
    streams_.emplace(id, MuxStream(std::move(pair->second)));
    if (on_open_) on_open_(port, std::move(pair->first));
    return {};
  }

  const Role role_;
  base::UniqueFd port_;
  const AcceptHandler on_open_;
  base::FdPair wake_;

  mutable std::mutex mutex_;
  bool stopping_ = false;         // mutex_
  std::string end_reason_;        // mutex_
  std::size_t stream_count_ = 0;  // mutex_; host: dialled and not over
  std::vector<std::pair<std::uint32_t, base::UniqueFd>> dialled_;  // mutex_

  // The thread's own.
  std::map<std::uint32_t, MuxStream> streams_;
  std::uint32_t next_stream_ = 1;
  FrameParser parser_;
  Nonce nonce_{};
  bool searching_ = true;
  std::size_t skipped_ = 0;
  std::string found_;
  std::string out_;  // for the port, from out_from_ on
  std::size_t out_from_ = 0;
  std::string buffer_;
  std::string scratch_;
  std::jthread thread_;
};

}  // namespace

base::Result<std::unique_ptr<Mux>> Mux::Start(Role role, base::UniqueFd port_fd,
                                              AcceptHandler on_open) {
  if (auto set = base::SetNonBlocking(port_fd.get(), true); !set) return base::Fail(set.error());
  auto wake = base::MakeSocketPair(SOCK_STREAM);
  if (!wake) return base::Fail(std::move(wake.error()));
  auto mux =
      std::make_unique<MuxImpl>(role, std::move(port_fd), std::move(on_open), std::move(*wake));
  mux->Run();
  return mux;
}

}  // namespace nv::wire
