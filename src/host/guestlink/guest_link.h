// GuestLink: the only reader of guest bytes. One connected guest, its calls with deadlines.
//
// Called by the pool (Ping, Prepare, Lease, Shutdown) and the gateway (Run). Calls may come from
// any thread; one Run at a time. gRPC and the protos stay in guest_link.cc.
//
// TRUST: after user code ran, every answer is the attacker's. Checked here: message sizes (8 MiB),
// order (nothing after the result, one result), outcome in range, totals against the limit that was
// asked for, host-side deadline (the guest's own clock is not believed), strings bounded and
// escaped before anybody prints them.

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/outcome.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::host::guestlink {

struct GuestFacts {
  std::string agent_version;
  std::uint32_t protocol = 0;
  std::string kernel;
  std::chrono::nanoseconds boottime{0};              // guest's CLOCK_BOOTTIME when it answered
  std::chrono::nanoseconds agent_start_boottime{0};  // ... when its PID 1 began
  struct Language {
    std::string name;
    std::string version;
  };
  std::vector<Language> languages;
  std::vector<std::string> lacks;
};

struct RunSpec {
  std::string language = {};  // canonical name
  std::string code = {};
  std::vector<std::string> args = {};
  std::map<std::string, std::string> env = {};
  std::chrono::milliseconds timeout{30'000};
  std::uint64_t max_output_bytes = 0;  // per stream; 0 no limit
  bool stdin_follows = false;
};

struct RunOutcome {
  base::Outcome outcome = base::Outcome::kSuccess;
  int exit_code = 0;  // by the contract: 124, 128+N included
  int signal = 0;
  std::uint64_t stdout_discarded = 0;
  std::uint64_t stderr_discarded = 0;
  double compile_ms = 0;
  double run_ms = 0;
  double cpu_ms = 0;
  std::uint64_t max_rss_bytes = 0;
};

// Receives output as it arrives. Blocking in it is the back-pressure to the program. False: the
// receiver is gone, cancel.
class OutputSink {
 public:
  virtual ~OutputSink() = default;
  [[nodiscard]] virtual bool OnStdout(std::string_view bytes) = 0;
  [[nodiscard]] virtual bool OnStderr(std::string_view bytes) = 0;
};

// Gives stdin. Called from one thread of Run's; returns at most 64 KiB, empty at the end. Must
// return soon after Cancel().
class StdinSource {
 public:
  virtual ~StdinSource() = default;
  [[nodiscard]] virtual std::string Read() = 0;
  virtual void Cancel() = 0;
};

// The host's patience; tests shorten it.
struct LinkOptions {
  std::chrono::milliseconds compile_timeout = base::kCompileTimeout;
  std::chrono::milliseconds host_grace = base::kHostGrace;  // over what the guest was given
};

class GuestLink {
 public:
  // Takes a connected stream to the agent's port. Does not wait for the agent.
  [[nodiscard]] static std::unique_ptr<GuestLink> Create(base::UniqueFd fd,
                                                         LinkOptions options = {});
  virtual ~GuestLink() = default;

  // Waits for the agent at most until the deadline; stop ends the wait early (kCancelled).
  // kFailedPrecondition when its protocol is not ours.
  [[nodiscard]] virtual base::Result<GuestFacts> Ping(base::Deadline deadline,
                                                      std::stop_token stop) = 0;
  [[nodiscard]] virtual base::Status Prepare(std::string_view hostname,
                                             base::Deadline deadline) = 0;
  // Entropy, wall clock, trace id. Fails unless the guest confirms what it does not declare
  // lacking.
  [[nodiscard]] virtual base::Status Lease(const base::TraceId& trace, base::Deadline deadline) = 0;
  // Runs to the end. kDeadlineExceeded when the guest gave no result by timeout + compile limit (of
  // a compiled language) + kHostGrace on the host's clock, time spent in `output` not counted;
  // kCancelled after stop or when `output` wants no more; kUnavailable when the channel broke;
  // kDataLoss when the guest broke the rules above. `input` has been cancelled when this returns.
  [[nodiscard]] virtual base::Result<RunOutcome> Run(const RunSpec& spec, StdinSource* input,
                                                     OutputSink& output, std::stop_token stop) = 0;
  // Asks the agent to power off. Short deadline; failure is no surprise.
  virtual void Shutdown(base::Deadline deadline) = 0;
};

}  // namespace nv::host::guestlink
