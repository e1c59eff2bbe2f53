#include "host/cli/interrupts.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>

namespace nv::host::cli {
namespace {

// A handler has no argument of ours, so these are the process's.
std::atomic<int> first_signal{0};
std::atomic<int> event_fd{-1};
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void OnSignal(int number) {
  int expected = 0;
  if (!first_signal.compare_exchange_strong(expected, number)) ::_exit(128 + number);
  const int saved = errno;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_fd.load(), &one, sizeof one);
  errno = saved;
}

}  // namespace

base::Result<Interrupts> Interrupts::Install() {
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return base::FailErrno("create an eventfd");
  event_fd = fd;
  std::signal(SIGPIPE, SIG_IGN);
  for (int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    if (::sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = OnSignal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    if (::sigaction(number, &action, nullptr) != 0) return base::FailErrno("sigaction");
  }
  return Interrupts(fd);
}

int Interrupts::signal_number() const { return first_signal; }

}  // namespace nv::host::cli
