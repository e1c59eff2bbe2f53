// StdinPump: copies a descriptor to a sink on a thread of its own, until its end.
//
// Used by RunClient: the client's standard input to the call's stream. An input that never ends
// (an idle terminal, `tail -f |`) must not hold the client when the program has ended, so the
// thread waits in poll(2) together with a stop descriptor and never in read(2), as long as the
// descriptor is non-blocking (see cli/stdio.h) or has no other reader.

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string_view>
#include <thread>

#include "base/io.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::host::client {

class StdinPump {
 public:
  // Called on the pump's thread. An empty view is the end of input (also after a read error), and
  // the last call. Returns false to stop.
  using Sink = std::function<bool(std::string_view)>;

  // fd is borrowed and must outlive the pump. A terminal that we are in the background of is left
  // alone until we are in its foreground: reading would stop the whole job (SIGTTIN, termios(3)).
  [[nodiscard]] static base::Result<std::unique_ptr<StdinPump>> Start(int fd, Sink sink);

  // Asks the thread to end; returns at once.
  void Stop();
  // True when the thread has left the sink for good, false at the deadline.
  [[nodiscard]] bool WaitFor(base::Deadline deadline);
  // Stops and joins: the sink must return.
  ~StdinPump();

  StdinPump(const StdinPump&) = delete;
  StdinPump& operator=(const StdinPump&) = delete;

 private:
  StdinPump(int fd, Sink sink, base::UniqueFd stop, base::UniqueFd done)
      : fd_(fd), sink_(std::move(sink)), stop_(std::move(stop)), done_(std::move(done)) {}
  void Pump();
  // False when asked to stop, else true when fd_ is worth reading.
  [[nodiscard]] bool WaitForInput();

  int fd_;
  Sink sink_;
  base::UniqueFd stop_;  // eventfd, readable: stop
  base::UniqueFd done_;  // eventfd, readable: the thread is past its last call of the sink
  std::jthread thread_;
};

}  // namespace nv::host::client
