#include "wire/vsock.h"

#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <fmt/format.h>

namespace nv::wire {
namespace {

using base::Code;
using base::Fail;
using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kRetryPause{5};
constexpr int kBacklog = 64;

base::Result<base::UniqueFd> VsockSocket() {
  base::UniqueFd fd(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.valid()) return fd;
  if (errno == EAFNOSUPPORT) return Fail(Code::kUnimplemented, "this kernel has no vsock");
  return base::FailErrno("cannot make a vsock socket");
}

sockaddr_vm Address(std::uint32_t cid, std::uint32_t port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  return address;
}

int Bind(int fd, std::uint32_t cid, std::uint32_t port) {
  const sockaddr_vm address = Address(cid, port);
  return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// Binding to a CID succeeds only when the transport that owns it is loaded; a guest's own CID is
// asked from /dev/vsock.
bool HaveTransport() {
  for (const std::uint32_t cid :
       {std::uint32_t{VMADDR_CID_LOCAL}, std::uint32_t{VMADDR_CID_HOST}}) {
    const base::Result<base::UniqueFd> probe = VsockSocket();
    if (probe && Bind(probe->get(), cid, VMADDR_PORT_ANY) == 0) return true;
  }
  const base::Result<base::UniqueFd> device = base::OpenFile("/dev/vsock", O_RDONLY);
  std::uint32_t cid = VMADDR_CID_ANY;
  return device && ::ioctl(device->get(), IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) == 0 &&
         cid != VMADDR_CID_ANY;
}

enum class Wake { kReady, kCancelled, kDeadline };

// Waits for fd (or -1: for nothing) to be writable.
base::Result<Wake> WaitFor(int fd, int cancel_fd, base::Deadline deadline) {
  while (true) {
    std::array<pollfd, 2> polled = {{{cancel_fd, POLLIN, 0}, {fd, POLLOUT, 0}}};
    const int ready = ::poll(polled.data(), polled.size(), base::PollTimeout(deadline));
    if (ready < 0 && errno != EINTR) return base::FailErrno("poll");
    if (ready > 0) return polled[0].revents != 0 ? Wake::kCancelled : Wake::kReady;
    if (deadline != base::Deadline::max() && steady_clock::now() >= deadline) {
      return Wake::kDeadline;
    }
  }
}

bool MayBecomeReachable(int error_number) {
  constexpr std::array kTransient = {ECONNRESET,  ENODEV,       ETIMEDOUT, ECONNREFUSED,
                                     ENETUNREACH, EHOSTUNREACH, EINTR,     EAGAIN};
  return std::ranges::find(kTransient, error_number) != kTransient.end();
}

}  // namespace

base::Result<base::UniqueFd> DialVsock(std::uint32_t cid, std::uint32_t port,
                                       base::Deadline deadline, int cancel_fd) {
  const std::string where = fmt::format("vsock {}:{}", cid, port);
  const sockaddr_vm address = Address(cid, port);
  int last_error = 0;
  while (true) {
    base::Result<base::UniqueFd> fd = VsockSocket();
    if (!fd) return fd;
    // A new socket for each attempt: after a failed connect this one is of no use.
    int error =
        ::connect(fd->get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0
            ? 0
            : errno;
    base::Result<Wake> wake = Wake::kReady;
    if (error == EINPROGRESS) {
      wake = WaitFor(fd->get(), cancel_fd, deadline);
      socklen_t length = sizeof error;
      if (wake && *wake == Wake::kReady &&
          ::getsockopt(fd->get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
        error = errno;
      }
    }
    if (wake && *wake == Wake::kReady) {
      if (error == 0) return fd;
      if (!MayBecomeReachable(error)) {
        return Fail(base::Error::FromErrno(error, "cannot connect to " + where));
      }
      last_error = error;
      wake = WaitFor(-1, cancel_fd, std::min(deadline, steady_clock::now() + kRetryPause));
      if (wake && *wake == Wake::kDeadline && steady_clock::now() < deadline) continue;
    }
    if (!wake) return Fail(std::move(wake.error()).WithContext(where));
    if (*wake == Wake::kCancelled) return Fail(Code::kCancelled, where + ": cancelled");
    std::string message = "no answer from " + where;
    if (last_error != 0) message += fmt::format(" (last error: {})", std::strerror(last_error));
    return Fail(Code::kDeadlineExceeded, std::move(message));
  }
}

base::Result<base::UniqueFd> ListenVsock(std::uint32_t port) {
  base::Result<base::UniqueFd> fd = VsockSocket();
  if (!fd) return fd;
  if (!HaveTransport()) return Fail(Code::kUnimplemented, "this kernel has no vsock transport");
  if (Bind(fd->get(), VMADDR_CID_ANY, port) != 0 || ::listen(fd->get(), kBacklog) != 0) {
    return base::FailErrno(fmt::format("cannot listen on vsock port {}", port));
  }
  return fd;
}

}  // namespace nv::wire
