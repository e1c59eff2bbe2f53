#include "host/backend/qemu/output_pump.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "base/io.h"

namespace nv::host::backend::qemu {
namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr std::size_t kBytesPerTick = 1 << 20;

}  // namespace

base::Result<std::unique_ptr<OutputPump>> OutputPump::Start(base::UniqueFd console,
                                                            base::UniqueFd stderr_pipe) {
  auto wake = base::MakePipe();
  if (!wake) return base::Fail(std::move(wake.error()));
  std::unique_ptr<OutputPump> pump(new OutputPump(std::move(console), std::move(stderr_pipe),
                                                  std::move(wake->first), std::move(wake->second)));
  pump->thread_ = std::jthread([raw = pump.get()] {
    raw->Loop();
    const std::lock_guard lock(raw->mutex_);
    raw->ended_ = true;
    raw->changed_.notify_all();
  });
  return pump;
}

OutputPump::OutputPump(base::UniqueFd console, base::UniqueFd stderr_pipe, base::UniqueFd wake_read,
                       base::UniqueFd wake_write)
    : console_(std::move(console)),
      stderr_(std::move(stderr_pipe)),
      wake_read_(std::move(wake_read)),
      wake_write_(std::move(wake_write)) {}

OutputPump::~OutputPump() {
  wake_write_.Reset();  // end of file on the other end wakes the loop
  if (thread_.joinable()) thread_.join();
}

void OutputPump::Loop() {
  std::array<char, 16 * 1024> buffer;
  // Negative descriptors are skipped by poll(2): a stream that ended is set so.
  std::array<pollfd, 3> polled = {pollfd{console_.get(), POLLIN, 0},
                                  pollfd{stderr_.get(), POLLIN, 0},
                                  pollfd{wake_read_.get(), POLLIN, 0}};
  // A flood is slowed, not swallowed: past its share of a tick the pump rests, the VMM's buffer
  // fills, and the flooding guest waits for itself. Otherwise each such guest would cost a host
  // CPU.
  auto tick_end = std::chrono::steady_clock::now() + kTick;
  std::size_t bytes_in_tick = 0;
  while (polled[0].fd >= 0 || polled[1].fd >= 0) {
    if (bytes_in_tick > kBytesPerTick) {
      const auto rested = base::PollUntil(wake_read_.get(), POLLIN, tick_end);
      if (!rested || *rested) return;
    }
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return;
    if (polled[2].revents != 0) return;
    if (const auto now = std::chrono::steady_clock::now(); now >= tick_end) {
      tick_end = now + kTick;
      bytes_in_tick = 0;
    }
    for (std::size_t i = 0; i < 2; ++i) {
      if (polled[i].fd < 0 || polled[i].revents == 0) continue;
      const ssize_t got = ::read(polled[i].fd, buffer.data(), buffer.size());
      if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (got <= 0) {
        polled[i].fd = -1;
        continue;
      }
      bytes_in_tick += static_cast<std::size_t>(got);
      const std::lock_guard lock(mutex_);
      (i == 0 ? console_tail_ : stderr_tail_)
          .Append(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    }
  }
}

void OutputPump::AwaitEnd(base::Deadline deadline) const {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline, [this] { return ended_; });
}

std::string OutputPump::Tail(std::size_t lines) const {
  const std::lock_guard lock(mutex_);
  std::string out;
  const std::string console = console_tail_.LastLinesEscaped(lines);
  out += console.empty() ? "the guest's console is empty"
                         : "last lines of the guest's console:\n" + console;
  const std::string error = stderr_tail_.LastLinesEscaped(lines);
  if (!error.empty()) out += "\nlast lines of QEMU's stderr:\n" + error;
  return out;
}

}  // namespace nv::host::backend::qemu
