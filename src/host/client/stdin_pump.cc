#include "host/client/stdin_pump.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <vector>

#include "base/limits.h"

namespace nv::host::client {
namespace {

constexpr int kForegroundCheckMs = 200;

void SignalEvent(int event_fd) {
  const std::uint64_t one = 1;
  // An eventfd takes this write unless its counter is full, and then it is readable anyway.
  [[maybe_unused]] const ssize_t written = ::write(event_fd, &one, sizeof one);
}

// tcgetpgrp fails on what is not our controlling terminal; nothing stops us from reading that.
bool IsBackgroundOf(int fd) {
  const pid_t foreground = ::tcgetpgrp(fd);
  return foreground > 0 && foreground != ::getpgrp();
}

}  // namespace

base::Result<std::unique_ptr<StdinPump>> StdinPump::Start(int fd, Sink sink) {
  base::UniqueFd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid()) return base::FailErrno("create an eventfd");
  base::UniqueFd done(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!done.valid()) return base::FailErrno("create an eventfd");
  std::unique_ptr<StdinPump> pump(
      new StdinPump(fd, std::move(sink), std::move(stop), std::move(done)));
  pump->thread_ = std::jthread([self = pump.get()] {
    self->Pump();
    SignalEvent(self->done_.get());
  });
  return pump;
}

void StdinPump::Stop() { SignalEvent(stop_.get()); }

bool StdinPump::WaitFor(base::Deadline deadline) {
  const auto ready = base::PollUntil(done_.get(), POLLIN, deadline);
  return ready && *ready;
}

StdinPump::~StdinPump() { Stop(); }

bool StdinPump::WaitForInput() {
  for (;;) {
    const bool background = IsBackgroundOf(fd_);
    pollfd fds[2] = {{.fd = stop_.get(), .events = POLLIN, .revents = 0},
                     {.fd = background ? -1 : fd_, .events = POLLIN, .revents = 0}};
    const int ready = ::poll(fds, 2, background ? kForegroundCheckMs : -1);
    if (ready < 0 && errno != EINTR) return false;
    if (fds[0].revents != 0) return false;
    if (fds[1].revents != 0) return true;
  }
}

void StdinPump::Pump() {
  std::vector<char> buffer(base::kStreamChunkBytes);
  while (WaitForInput()) {
    const ssize_t got = ::read(fd_, buffer.data(), buffer.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    // A read error (EIO when the terminal has gone) ends the input, as it does for any program.
    const std::size_t bytes = got > 0 ? static_cast<std::size_t>(got) : 0;
    if (!sink_(std::string_view(buffer.data(), bytes)) || bytes == 0) return;
  }
}

}  // namespace nv::host::client
