#include "guest/executor/channels.h"

#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>

#include "base/io.h"
#include "base/limits.h"
#include "guest/boot/kernel_events.h"
#include "wire/grpc_fd.h"
#include "wire/vsock.h"

namespace nv::guest::executor {
namespace {

using std::chrono::milliseconds;

constexpr char kPortClass[] = "/sys/class/virtio-ports";
constexpr char kPortName[] = "neurovisor.channel";
// An idle guest should sleep: these are only for what the kernel does not announce.
constexpr milliseconds kPortPoll{100};       // until the port is there
constexpr milliseconds kSessionPoll{1'000};  // then: has the multiplexer ended?

}  // namespace

std::string FindSerialPort(const std::string& class_directory, std::string_view port_name) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(class_directory, error)) {
    auto name = base::ReadFile(entry.path() / "name", 256);
    if (!name) continue;
    while (!name->empty() && name->back() == '\n') name->pop_back();
    if (*name == port_name) return "/dev/" + entry.path().filename().string();
  }
  return {};
}

Channels::Channels(grpc::Server& server)
    : server_(server), stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Channels::~Channels() {
  const std::uint64_t one = 1;
  if (write(stop_fd_.get(), &one, sizeof(one)) < 0) return;  // an eventfd takes one 1
  for (std::jthread& thread : threads_) thread.request_stop();
}

void Channels::WatchSerialPort() {
  threads_.emplace_back([this](std::stop_token stop) { SerialLoop(std::move(stop)); });
}

void Channels::SerialLoop(std::stop_token stop) {
  boot::KernelEvents events;
  while (!stop.stop_requested()) {
    const std::string path = FindSerialPort(kPortClass, kPortName);
    // The driver announces the port when the host has named it, a moment after the device.
    auto port = path.empty() ? base::Fail(base::Code::kNotFound, "no port yet")
                             : base::OpenFile(path, O_RDWR | O_NONBLOCK | O_NOCTTY);
    if (!port) {
      events.Wait(static_cast<int>(kPortPoll.count()));
      continue;
    }
    auto mux = wire::Mux::Start(wire::Mux::Role::kGuest, std::move(*port),
                                [this](std::uint32_t number, base::UniqueFd stream) {
                                  if (number == base::kGuestPort) {
                                    wire::ServeFd(server_, std::move(stream));
                                  }
                                });
    if (!mux) {
      std::fprintf(stderr, "guest_agent: %s: %s\n", path.c_str(), mux.error().message().c_str());
      events.Wait(static_cast<int>(kPortPoll.count()));
      continue;
    }
    while (!stop.stop_requested() && (*mux)->EndReason().empty()) {
      events.Wait(static_cast<int>(kSessionPoll.count()));
    }
    if (const std::string reason = (*mux)->EndReason(); !reason.empty()) {
      std::fprintf(stderr, "guest_agent: channel ended: %s\n", reason.c_str());
    }
  }
}

base::Status Channels::ListenOnVsock() {
  auto listener = wire::ListenVsock(base::kGuestPort);
  if (!listener) return base::Fail(std::move(listener.error()));
  const int fd = listeners_.emplace_back(std::move(*listener)).get();
  threads_.emplace_back([this, fd] { AcceptLoop(fd, Peers::kVsockHost); });
  return {};
}

base::Status Channels::ServeDescriptor(base::UniqueFd fd) {
  int listening = 0;
  socklen_t size = sizeof(listening);
  if (getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) {
    return base::FailErrno("descriptor " + std::to_string(fd.get()));
  }
  fcntl(fd.get(), F_SETFD, FD_CLOEXEC);  // it came through exec
  if (listening == 0) {
    wire::ServeFd(server_, std::move(fd));
    return {};
  }
  const int listener = listeners_.emplace_back(std::move(fd)).get();
  threads_.emplace_back([this, listener] { AcceptLoop(listener, Peers::kAll); });
  return {};
}

void Channels::AcceptLoop(int listener, Peers peers) const {
  for (;;) {
    pollfd entries[] = {{.fd = listener, .events = POLLIN, .revents = 0},
                        {.fd = stop_fd_.get(), .events = POLLIN, .revents = 0}};
    if (poll(entries, 2, -1) < 0 && errno != EINTR) return;
    if (entries[1].revents != 0) return;
    if (entries[0].revents == 0) continue;
    sockaddr_vm peer{};
    socklen_t size = sizeof(peer);
    sockaddr* address = peers == Peers::kVsockHost ? reinterpret_cast<sockaddr*>(&peer) : nullptr;
    base::UniqueFd connection(
        accept4(listener, address, address == nullptr ? nullptr : &size, SOCK_CLOEXEC));
    if (!connection.valid()) continue;
    if (peers == Peers::kVsockHost && peer.svm_cid != VMADDR_CID_HOST) continue;
    wire::ServeFd(server_, std::move(connection));
  }
}

}  // namespace nv::guest::executor
