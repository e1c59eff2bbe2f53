// PrivateEngine: a neurovisor-engine for one run, where no daemon answers.
//
// It is started in a session of its own (a terminal's Ctrl-C does not reach it; we tell it by
// closing the socket) with one end of a socketpair as descriptor 3 and its standard error in a
// pipe, whose end is kept for the case that it dies without an answer. If we are killed, the kernel
// closes the socket for us.

#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/child_process.h"
#include "base/result.h"
#include "base/tail_buffer.h"
#include "base/unique_fd.h"

namespace nv::host::cli {

class PrivateEngine {
 public:
  // Starts <libexec>/neurovisor-engine private-run with the part of our environment that
  // EngineEnvironment passes on. kNotFound says how to get an engine.
  [[nodiscard]] static base::Result<std::unique_ptr<PrivateEngine>> Start(
      const std::string& libexec);

  // Kills what still runs.
  ~PrivateEngine();

  // Our end; once. Closing it tells the engine to end.
  [[nodiscard]] base::UniqueFd TakeSocket() { return std::move(socket_); }

  // Waits for the end, at most this long, then kills. Call after the socket is closed.
  base::ExitStatus Stop(std::chrono::milliseconds patience);

  // The last lines of its standard error, escaped. Complete after Stop.
  [[nodiscard]] std::string LastWords() const { return stderr_tail_.LastLinesEscaped(20); }

 private:
  PrivateEngine(base::ChildProcess process, base::UniqueFd socket, base::UniqueFd stderr_pipe,
                base::UniqueFd stop);
  void CollectStderr();

  base::ChildProcess process_;
  base::UniqueFd socket_;
  base::UniqueFd stderr_pipe_;
  base::UniqueFd stop_;           // eventfd: collect what is there and end
  base::TailBuffer stderr_tail_;  // the collector's until it is joined
  std::jthread collector_;
};

// Of "K=V" strings (environ's form) those that the engine gets: NEUROVISOR_*, PATH, HOME, XDG_*,
// TMPDIR, LANG.
[[nodiscard]] std::vector<std::string> EngineEnvironment(const char* const* environment);

}  // namespace nv::host::cli
