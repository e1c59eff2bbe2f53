#include "host/pool/vm_maker.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <functional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/io.h"
#include "base/limits.h"

namespace nv::host::pool {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kConsoleLines = 20;
// The kernel ends a killed VMM in milliseconds; past this something is wrong that waiting cannot
// cure.
constexpr std::chrono::seconds kKillPatience{2};
constexpr std::chrono::seconds kPreparePatience{10};  // Prepare and Lease: one answer each
constexpr std::chrono::milliseconds kRedialPause{20};
constexpr std::chrono::milliseconds kExitPatience{300};

// Ends the waits of one boot early: when the VMM ends, or when the caller wants to stop. A caller's
// stop kills the VMM, because a backend's Connect listens to nothing else.
class BootWatch {
 public:
  static base::Result<std::unique_ptr<BootWatch>> Start(backend::Guest& guest,
                                                        std::stop_token caller) {
    base::UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
    if (!wake.valid()) return base::FailErrno("make an event descriptor");
    return std::unique_ptr<BootWatch>(new BootWatch(guest, std::move(wake), std::move(caller)));
  }

  ~BootWatch() {
    thread_.request_stop();
    Wake();
  }

  // Requested when the boot has no future.
  [[nodiscard]] std::stop_token token() const { return ended_.get_token(); }

 private:
  BootWatch(backend::Guest& guest, base::UniqueFd wake, std::stop_token caller)
      : guest_(guest),
        wake_(std::move(wake)),
        caller_(std::move(caller)),
        on_caller_stop_(caller_, [this] { Wake(); }),
        thread_([this](const std::stop_token& stop) { Watch(stop); }) {}

  void Wake() const { static_cast<void>(::eventfd_write(wake_.get(), 1)); }

  void Watch(const std::stop_token& stop) {
    pollfd fds[2] = {{.fd = guest_.exit_fd(), .events = POLLIN, .revents = 0},
                     {.fd = wake_.get(), .events = POLLIN, .revents = 0}};
    while (!stop.stop_requested() && !caller_.stop_requested() && fds[0].revents == 0) {
      if (::poll(fds, 2, -1) < 0 && errno != EINTR) break;
    }
    if (stop.stop_requested()) return;
    ended_.request_stop();
    if (caller_.stop_requested()) {
      static_cast<void>(guest_.Stop(backend::StopMode::kKill, Steady::now() + kKillPatience));
    }
  }

  backend::Guest& guest_;
  base::UniqueFd wake_;
  std::stop_token caller_;
  std::stop_source ended_;
  std::stop_callback<std::function<void()>> on_caller_stop_;
  std::jthread thread_;  // last: it uses all of the above
};

struct Answered {
  std::unique_ptr<guestlink::GuestLink> link;
  guestlink::GuestFacts facts;
};

// Dials and pings until the agent answers. A channel can break while the guest boots (a serial
// session that starts anew, a keepalive that a slow guest missed): it is dialled again.
base::Result<Answered> WaitForAgent(backend::Guest& guest, base::Deadline deadline,
                                    const std::stop_token& stop) {
  while (true) {
    auto channel = guest.Connect(base::kGuestPort, deadline);
    if (!channel) return base::Fail(std::move(channel).error());
    auto link = guestlink::GuestLink::Create(std::move(*channel));
    auto facts = link->Ping(deadline, stop);
    if (facts) return Answered{std::move(link), *std::move(facts)};
    if (facts.error().code() != base::Code::kUnavailable || stop.stop_requested() ||
        Steady::now() + kRedialPause >= deadline) {
      return base::Fail(std::move(facts).error());
    }
    const auto ended = base::PollUntil(guest.exit_fd(), POLLIN, Steady::now() + kRedialPause);
    if (ended && *ended) return base::Fail(std::move(facts).error());
  }
}

// Says why a boot failed in the words that help most: the caller's stop, then the VMM's own end,
// then the wait, then the step's error. Ends the guest.
base::Error BootError(base::Error step, backend::Guest& guest, std::chrono::milliseconds limit,
                      const std::stop_token& caller) {
  const auto ended_alone = base::PollUntil(guest.exit_fd(), POLLIN, Steady::now());
  static_cast<void>(guest.Stop(backend::StopMode::kKill, Steady::now() + kKillPatience));
  if (caller.stop_requested()) return {base::Code::kCancelled, "boot the microVM: cancelled"};

  base::Error error = std::move(step);
  std::string details = error.details();
  if (ended_alone && *ended_alone) {
    const auto exit = guest.exit();
    error = {base::Code::kUnavailable, fmt::format("the VMM ended before the guest answered: {}",
                                                   exit ? exit->Describe() : "nobody knows how")};
  } else if (error.code() == base::Code::kDeadlineExceeded) {
    error = {base::Code::kDeadlineExceeded,
             fmt::format("the guest did not answer within {:.1f} s",
                         std::chrono::duration<double>(limit).count())};
  }
  if (const std::string tail = guest.ConsoleTail(kConsoleLines); details.empty() && !tail.empty()) {
    details = fmt::format("last console lines:\n{}", tail);
  }
  return std::move(error).WithDetails(std::move(details));
}

}  // namespace

Lease::Lease(std::unique_ptr<backend::Guest> guest, std::unique_ptr<guestlink::GuestLink> link,
             guestlink::GuestFacts facts, BootTimes times)
    : guest_(std::move(guest)), link_(std::move(link)), facts_(std::move(facts)), times_(times) {}

Lease::~Lease() {
  if (!guest_) return;  // moved from
  static_cast<void>(guest_->Stop(backend::StopMode::kKill, Steady::now() + kKillPatience));
}

base::Error Lease::Explain(base::Error error) const {
  if (error.code() != base::Code::kUnavailable) return error;
  // The channel breaks some milliseconds before the jail has reaped the VMM.
  const auto ended = base::PollUntil(guest_->exit_fd(), POLLIN, Steady::now() + kExitPatience);
  if (!ended || !*ended) return error;
  const auto exit = guest_->exit();
  base::Error explained(base::Code::kUnavailable,
                        fmt::format("the VMM ended while the program ran: {}",
                                    exit ? exit->Describe() : "nobody knows how"));
  const std::string tail = guest_->ConsoleTail(kConsoleLines);
  return std::move(explained).WithDetails(tail.empty() ? "" : "last console lines:\n" + tail);
}

base::Result<Lease> VmMaker::Boot(const backend::GuestSpec& spec, const base::TraceId& trace,
                                  std::chrono::milliseconds boot_timeout, std::stop_token stop) {
  BootTimes times;
  times.requested = clock_.Now();
  const base::Deadline deadline = Steady::now() + boot_timeout;

  auto created = backend_.Create(spec);
  if (!created) return base::Fail(std::move(created).error());
  std::unique_ptr<backend::Guest> guest = *std::move(created);
  if (auto status = guest->Start(deadline); !status) return base::Fail(std::move(status).error());
  times.vmm_started = guest->started_at();

  auto watch = BootWatch::Start(*guest, stop);
  if (!watch) return base::Fail(std::move(watch).error());
  auto answered = WaitForAgent(*guest, deadline, (*watch)->token());
  if (!answered) {
    return base::Fail(BootError(std::move(answered).error(), *guest, boot_timeout, stop));
  }
  times.agent_ready = clock_.Now();
  times.kernel_started = times.agent_ready - answered->facts.boottime;
  times.agent_started = times.kernel_started + answered->facts.agent_start_boottime;

  // Until the guest has confirmed both it serves nobody.
  guestlink::GuestLink& link = *answered->link;
  if (auto status = link.Prepare(spec.id.text, Steady::now() + kPreparePatience); !status) {
    return base::Fail(BootError(std::move(status).error(), *guest, kPreparePatience, stop));
  }
  if (auto status = link.Lease(trace, Steady::now() + kPreparePatience); !status) {
    return base::Fail(BootError(std::move(status).error(), *guest, kPreparePatience, stop));
  }
  times.leased = clock_.Now();
  watch->reset();  // before the guest is given away
  return Lease(std::move(guest), std::move(answered->link), std::move(answered->facts), times);
}

}  // namespace nv::host::pool
