// ProgramRun: one program in a cell, from start to the verdict: moves its bytes, keeps its limits,
// ends it and what it left behind.
//
// One poll loop on the calling thread. The program is slowed down by not reading its pipes while
// the sink is not ready, so memory is one pipe and one chunk a stream. How it ends:
//
//   program ends --> 200 ms for children that still hold its output --> kill all --> empty pipes
//   timeout, cancel -------------------------------------------------> kill all --> empty pipes
//
// The first verdict wins. `output_limit` is said only where the verdict would be success or error;
// past the limit output is counted and dropped while the program goes on.

#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/outcome.h"
#include "base/result.h"
#include "guest/runner/cell.h"
#include "guest/runner/run_control.h"

namespace nv::guest::runner {

enum class OutputStream : std::uint8_t { kStdout = 0, kStderr = 1 };

// Takes output. Called on the run's thread.
class OutputSink {
 public:
  virtual ~OutputSink() = default;
  // Whether Write may be called now. A sink that becomes ready calls RunControl::Wake.
  [[nodiscard]] virtual bool Ready() = 0;
  // At most kStreamChunkBytes, in order of arrival.
  virtual void Write(OutputStream stream, std::string_view bytes) = 0;
  // There is room for stdin again.
  virtual void OnStdinRoom() {}
};

struct ProgramSpec {
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  std::chrono::milliseconds timeout{30'000};
  std::uint64_t max_output_bytes = 0;  // per stream; 0 no limit
  bool stdin_follows = false;          // else /dev/null
};

struct ProgramReport {
  base::Outcome outcome = base::Outcome::kSuccess;
  int exit_code = 0;  // as the contract gives it (base::ExitCodeFor)
  int signal = 0;
  std::array<std::uint64_t, 2> discarded{};  // bytes past the limit, by OutputStream
  std::chrono::nanoseconds run_time{0};      // exec to the program's end
  std::chrono::microseconds cpu_time{0};     // of all its processes
  std::uint64_t max_rss_bytes = 0;           // of its biggest process
};

// Blocks until nothing of the program is left and all its output is with the sink. An error is ours
// (no such interpreter, no pipes, the reaper died), never the program's.
[[nodiscard]] base::Result<ProgramReport> RunProgram(Cell& cell, const ProgramSpec& spec,
                                                     RunControl& control, OutputSink& sink);

}  // namespace nv::guest::runner
