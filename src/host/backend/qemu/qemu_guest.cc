#include "host/backend/qemu/qemu_guest.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "wire/vsock.h"

namespace nv::host::backend::qemu {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kDestructorWait{2};
constexpr std::chrono::seconds kClaimWait{2};
constexpr std::chrono::milliseconds kLastWordsWait{300};
constexpr std::chrono::milliseconds kQuitWait{300};
constexpr std::chrono::milliseconds kReportWait{1000};
constexpr std::chrono::milliseconds kNoWait{0};

// QEMU opens no file of ours and writes none; threads: vCPUs, the main loop, workers of the block
// layer.
constexpr jail::Limits kLimits{
    .open_files = 256, .address_space = 0, .file_size = 0, .processes = 128};

}  // namespace

base::Result<std::unique_ptr<Guest>> QemuGuest::Create(jail::JailClient& jail,
                                                       const GuestSpec& spec, CommandLine line,
                                                       ChannelKind channel) {
  std::unique_ptr<QemuGuest> guest(new QemuGuest(jail, spec, std::move(line)));
  // vhost-vsock moves data in the host kernel; under TCG the multiplexer is as quick and asks
  // nothing of the host.
  if (channel == ChannelKind::kVsockIfPresent && guest->line_.accelerator == Accelerator::kKvm) {
    auto vsock = jail.OpenVsock(steady_clock::now() + kClaimWait);
    if (vsock) {
      guest->line_.vsock_cid = vsock->cid;
      guest->vsock_ = std::move(*vsock);
    } else if (vsock.error().code() == base::Code::kUnavailable) {
      return base::Fail(std::move(vsock.error()).WithContext("claiming a vsock CID"));
    }
  }
  return guest;
}

QemuGuest::QemuGuest(jail::JailClient& jail, const GuestSpec& spec, CommandLine line)
    : jail_(jail), spec_(spec), line_(std::move(line)) {}

QemuGuest::~QemuGuest() {
  // Not stopped in time: the jail still has the kill, and the process dies with the jail at the
  // latest.
  [[maybe_unused]] const auto stopped =
      Stop(StopMode::kKill, steady_clock::now() + kDestructorWait);
}

base::Status QemuGuest::Start(base::Deadline deadline) {
  if (process_ != nullptr) {
    return base::Fail(base::Code::kFailedPrecondition,
                      fmt::format("guest {} was started before", spec_.id.text));
  }
  auto console = base::MakeSocketPair(SOCK_STREAM);
  auto qmp = base::MakeSocketPair(SOCK_STREAM);
  auto channel = base::MakeSocketPair(SOCK_STREAM);
  auto error_pipe = base::MakePipe();
  for (const auto* pair : {&console, &qmp, &channel, &error_pipe}) {
    if (!*pair) return base::Fail(base::Error(pair->error()).WithContext("starting QEMU"));
  }

  jail::StartOptions options;
  options.program = jail::ProgramKind::kQemu;
  options.flags = line_.accelerator == Accelerator::kKvm ? jail::kNeedsKvm : 0;
  options.limits = kLimits;
  options.arguments = BuildArguments(line_);
  options.fds = {{error_pipe->second.get(), 2},
                 {spec_.assets.kernel, kKernelFd},
                 {spec_.assets.rootfs, kRootfsFd},
                 {console->second.get(), kConsoleFd},
                 {qmp->second.get(), kQmpFd},
                 {vsock_ ? vsock_->vhost.get() : channel->second.get(), kChannelFd}};
  if (line_.initrd) options.fds.emplace_back(spec_.assets.initrd, kInitrdFd);

  auto process = jail_.Start(options, deadline);
  if (!process) return base::Fail(std::move(process.error()).WithContext("starting QEMU"));
  started_at_ = steady_clock::now();
  process_ = std::move(*process);

  auto output = OutputPump::Start(std::move(console->first), std::move(error_pipe->first));
  if (!output)
    return base::Fail(std::move(output.error()).WithContext("reading the guest's console"));
  output_ = std::move(*output);
  {
    const std::lock_guard lock(qmp_mutex_);
    qmp_ = std::make_unique<Qmp>(std::move(qmp->first));
  }
  if (vsock_) {
    vsock_->vhost.Reset();  // QEMU holds the device now; the CID lives with it
    return {};
  }
  auto mux = wire::Mux::Start(wire::Mux::Role::kHost, std::move(channel->first), {});
  if (!mux) return base::Fail(std::move(mux.error()).WithContext("starting the channel"));
  mux_ = std::move(*mux);
  return {};
}

base::Result<base::UniqueFd> QemuGuest::Connect(std::uint32_t port, base::Deadline deadline) {
  if (process_ == nullptr) {
    return base::Fail(base::Code::kFailedPrecondition,
                      fmt::format("guest {} was not started", spec_.id.text));
  }
  if (line_.vsock_cid) return wire::DialVsock(*line_.vsock_cid, port, deadline, process_->pidfd());
  return mux_->Dial(port);
}

base::Status QemuGuest::Command(std::string_view command, base::Deadline deadline) {
  const std::lock_guard lock(qmp_mutex_);
  if (qmp_ == nullptr) {
    return base::Fail(base::Code::kFailedPrecondition,
                      fmt::format("guest {} was not started", spec_.id.text));
  }
  return qmp_->Execute(command, deadline);
}

base::Status QemuGuest::Pause(base::Deadline deadline) { return Command("stop", deadline); }
base::Status QemuGuest::Resume(base::Deadline deadline) { return Command("cont", deadline); }

base::Status QemuGuest::Snapshot(int /*state_fd*/, int /*memory_fd*/, base::Deadline /*deadline*/) {
  return base::Fail(base::Code::kUnimplemented, "QEMU snapshots are not in this version");
}

base::Status QemuGuest::Stop(StopMode mode, base::Deadline deadline) {
  if (process_ == nullptr) return {};
  if (mode == StopMode::kGraceful) {
    const auto quit_until = std::min(deadline, steady_clock::now() + kQuitWait);
    if (Command("quit", quit_until) && process_->WaitExit(quit_until)) return {};
  }
  process_->Kill();
  if (process_->WaitExit(deadline)) return {};
  return base::Fail(base::Code::kDeadlineExceeded,
                    fmt::format("QEMU of guest {} (pid {}) is still there after SIGKILL",
                                spec_.id.text, process_->pid()));
}

int QemuGuest::exit_fd() const { return process_ != nullptr ? process_->pidfd() : -1; }

std::optional<GuestExit> QemuGuest::exit() const {
  if (process_ == nullptr) return std::nullopt;
  // The witness is readable a moment before the jail's report is here.
  const auto ended = base::PollUntil(process_->pidfd(), POLLIN, steady_clock::now());
  const bool dead = ended && *ended;
  const auto status = process_->WaitExit(steady_clock::now() + (dead ? kReportWait : kNoWait));
  if (!status) return std::nullopt;
  return GuestExit{.exit_code = status->exit_code, .signal = status->signal};
}

std::string QemuGuest::ConsoleTail(std::size_t lines) const {
  if (output_ != nullptr && exit()) output_->AwaitEnd(steady_clock::now() + kLastWordsWait);
  std::string tail =
      output_ != nullptr ? output_->Tail(lines) : std::string("the guest was not started");
  if (mux_ != nullptr) {
    if (const std::string reason = mux_->EndReason(); !reason.empty()) {
      tail += "\nthe channel ended: " + base::EscapeForTerminal(reason, 200);
    }
  }
  return tail;
}

}  // namespace nv::host::backend::qemu
