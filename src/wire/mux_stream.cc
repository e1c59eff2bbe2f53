#include "wire/mux_stream.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace nv::wire {

bool MuxStream::Accept(std::string_view bytes) {
  if (peer_closed_ || received_ + bytes.size() > kWindowBytes) return false;
  received_ += static_cast<std::uint32_t>(bytes.size());
  if (!local_.valid() || local_ended_ || discards_) {
    consumed_ += static_cast<std::uint32_t>(bytes.size());  // nobody is there: swallowed
    return true;
  }
  waiting_ += bytes;
  Flush();
  return true;
}

void MuxStream::Flush() {
  while (WantsWrite()) {
    const ssize_t sent = ::send(local_.get(), waiting_.data() + waiting_from_,
                                waiting_.size() - waiting_from_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) LocalFailed();
    if (sent <= 0) break;
    waiting_from_ += static_cast<std::size_t>(sent);
    consumed_ += static_cast<std::uint32_t>(sent);
  }
  // Amortised constant: the front is dropped when all is gone or more than half of it is.
  if (waiting_from_ == waiting_.size() || waiting_from_ > kWindowBytes / 2) {
    waiting_.erase(0, waiting_from_);
    waiting_from_ = 0;
  }
}

void MuxStream::LocalFailed() {
  consumed_ += static_cast<std::uint32_t>(waiting_.size() - waiting_from_);
  waiting_.clear();
  waiting_from_ = 0;
  discards_ = true;
}

std::uint32_t MuxStream::TakeCredit() {
  // Nothing follows our CLOSE: the peer may have forgotten the stream when it arrives.
  if (consumed_ < kWindowBytes / 4 || peer_closed_ || close_sent_) return 0;
  const std::uint32_t credit = consumed_;
  consumed_ = 0;
  received_ -= credit;
  return credit;
}

bool MuxStream::ReadLocal(std::string& out, std::size_t most) {
  if (!WantsRead()) return false;
  out.resize(std::min<std::size_t>(most, send_credit_));
  ssize_t got = 0;
  do {
    got = ::recv(local_.get(), out.data(), out.size(), MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got == 0 || (got < 0 && errno != EAGAIN)) local_ended_ = true;
  if (got <= 0) return false;
  out.resize(static_cast<std::size_t>(got));
  send_credit_ -= static_cast<std::uint32_t>(got);
  return true;
}

bool MuxStream::AddCredit(std::uint32_t bytes) {
  if (bytes > kWindowBytes - send_credit_) return false;
  send_credit_ += bytes;
  return true;
}

void MuxStream::EndIfDelivered() {
  if (!local_.valid()) return;
  // Both ways over for the peer, or for us: a stream has no half-closed state that outlives its
  // data.
  if ((peer_closed_ && !WantsWrite()) || (local_ended_ && close_sent_)) {
    local_ended_ = true;
    local_.Reset();
    waiting_.clear();
    waiting_from_ = 0;
  }
}

}  // namespace nv::wire
