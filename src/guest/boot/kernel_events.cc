#include "guest/boot/kernel_events.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace nv::guest::boot {

KernelEvents::KernelEvents()
    : socket_(
          socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT)) {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1;  // the kernel's own announcements
  if (socket_ >= 0 && bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    close(socket_);
    socket_ = -1;
  }
}

KernelEvents::~KernelEvents() {
  if (socket_ >= 0) close(socket_);
}

void KernelEvents::Wait(int milliseconds) {
  pollfd entry{.fd = socket_, .events = POLLIN, .revents = 0};
  if (poll(&entry, 1, milliseconds) <= 0) return;
  char ignored[512];
  // What happened does not matter: the caller looks again. Everything queued is one reason to look.
  while (recv(socket_, ignored, sizeof(ignored), MSG_DONTWAIT) > 0) {
  }
}

}  // namespace nv::guest::boot
