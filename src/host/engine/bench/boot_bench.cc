#include "host/engine/bench/boot_bench.h"

#include <chrono>
#include <optional>

#include "base/limits.h"
#include "host/guestlink/guest_link.h"

namespace nv::host::engine {
namespace {

using Steady = base::Clock::Steady;

constexpr std::string_view kTitles[kBootEvents] = {"VMM started", "kernel start", "agent start",
                                                   "agent ready", "leased",       "first output",
                                                   "program exit"};
constexpr std::string_view kKeys[kBootEvents] = {"vmm_started", "kernel_started", "agent_started",
                                                 "agent_ready", "leased",         "first_output",
                                                 "exit"};

class FirstByte final : public guestlink::OutputSink {
 public:
  explicit FirstByte(const base::Clock& clock) : clock_(clock) {}
  bool OnStdout(std::string_view /*bytes*/) override {
    if (!at_) at_ = clock_.Now();
    return true;
  }
  bool OnStderr(std::string_view /*bytes*/) override { return true; }
  [[nodiscard]] std::optional<Steady> at() const { return at_; }

 private:
  const base::Clock& clock_;
  std::optional<Steady> at_;
};

}  // namespace

std::string_view EventTitle(BootEvent event) { return kTitles[static_cast<std::size_t>(event)]; }
std::string_view EventKey(BootEvent event) { return kKeys[static_cast<std::size_t>(event)]; }

base::Result<BootSample> MeasureBoot(pool::LeaseSource& source, const base::Clock& clock,
                                     const std::string& image, const config::Size& size) {
  const Steady requested = clock.Now();
  auto lease = source.Acquire({.trace = base::TraceId::New(clock),
                               .language = "python",
                               .image = image,
                               .vcpus = size.vcpus,
                               .memory_bytes = size.memory_bytes,
                               .cold = true},
                              [](std::string_view) {}, {});
  if (!lease) return base::Fail(std::move(lease).error());
  FirstByte output(clock);
  const auto outcome =
      lease->link().Run({.language = "python",
                         .code = "print(1)",
                         .timeout = std::chrono::seconds(base::kDefaultTimeoutSecs),
                         .max_output_bytes = base::kDefaultMaxOutputBytes},
                        nullptr, output, {});
  const Steady exit = clock.Now();
  if (!outcome) return base::Fail(outcome.error());
  if (outcome->outcome != base::Outcome::kSuccess || !output.at()) {
    return base::Fail(base::Code::kInternal, "print(1) did not end well in the guest");
  }

  const pool::BootTimes& times = lease->times();
  const Steady events[kBootEvents] = {times.vmm_started,
                                      times.kernel_started,
                                      times.agent_started,
                                      times.agent_ready,
                                      times.leased,
                                      *output.at(),
                                      exit};
  BootSample sample{.guest_run_ms = outcome->run_ms};
  for (std::size_t i = 0; i < kBootEvents; ++i) {
    sample.ms[i] = std::chrono::duration<double, std::milli>(events[i] - requested).count();
  }
  return sample;
}

}  // namespace nv::host::engine
