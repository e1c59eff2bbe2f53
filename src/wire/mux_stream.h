// One stream of the multiplexer: the local socket and what is on its way to it. Used by mux.cc on
// its thread.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/unique_fd.h"
#include "wire/mux.h"

namespace nv::wire {

class MuxStream {
 public:
  explicit MuxStream(base::UniqueFd local) : local_(std::move(local)) {}

  // Bytes from the port for the local socket. False: the peer sent past its window.
  [[nodiscard]] bool Accept(std::string_view bytes);
  // Writes what waits to the local socket, as far as it takes it.
  void Flush();
  // Credit to hand back to the peer now, or 0. Given in quarters of a window, so that it costs few
  // frames.
  [[nodiscard]] std::uint32_t TakeCredit();

  // Reads at most `most` bytes (and at most the credit) from the local socket into `out`. False:
  // nothing to read now.
  [[nodiscard]] bool ReadLocal(std::string& out, std::size_t most);
  // The peer's credit. False: more than a window in all.
  [[nodiscard]] bool AddCredit(std::uint32_t bytes);

  // False: it closed before.
  [[nodiscard]] bool PeerCloses() { return !std::exchange(peer_closed_, true); }
  // The local socket has ended (or failed) and the peer has not been told.
  [[nodiscard]] bool MustSendClose() const { return local_ended_ && !close_sent_; }
  void CloseSent() { close_sent_ = true; }
  // The peer has closed and all its bytes are delivered (or nobody is there to take them): end the
  // local socket.
  void EndIfDelivered();
  [[nodiscard]] bool Done() const { return close_sent_ && peer_closed_ && !local_.valid(); }

  [[nodiscard]] int fd() const { return local_.get(); }
  [[nodiscard]] bool WantsRead() const {
    return local_.valid() && !local_ended_ && send_credit_ > 0;
  }
  [[nodiscard]] bool WantsWrite() const {
    return local_.valid() && waiting_from_ < waiting_.size();
  }

 private:
  void LocalFailed();

  base::UniqueFd local_;
  std::string waiting_;  // for the local socket; at most a window
  std::size_t waiting_from_ = 0;
  std::uint32_t consumed_ = 0;  // delivered, credit not handed back yet
  std::uint32_t received_ = 0;  // received, credit not handed back yet
  std::uint32_t send_credit_ = kWindowBytes;
  bool discards_ = false;  // the local side reads no more; what it wrote before still counts
  bool local_ended_ = false;
  bool close_sent_ = false;
  bool peer_closed_ = false;
};

}  // namespace nv::wire
