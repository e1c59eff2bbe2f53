#include "guest/executor/channels.h"

#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/socket.h>

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
using std::chrono::steady_clock;

constexpr char kPortClass[] = "/sys/class/virtio-ports";
constexpr char kPortName[] = "neurovisor.channel";
constexpr milliseconds kStopPoll{100};

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

Channels::~Channels() {
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
      events.Wait(static_cast<int>(kStopPoll.count()));
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
      events.Wait(static_cast<int>(kStopPoll.count()));
      continue;
    }
    while (!stop.stop_requested() && (*mux)->EndReason().empty()) {
      events.Wait(static_cast<int>(kStopPoll.count()));
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
  threads_.emplace_back(
      [this, fd](std::stop_token stop) { AcceptLoop(std::move(stop), fd, Peers::kVsockHost); });
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
  threads_.emplace_back([this, listener](std::stop_token stop) {
    AcceptLoop(std::move(stop), listener, Peers::kAll);
  });
  return {};
}

void Channels::AcceptLoop(std::stop_token stop, int listener, Peers peers) {
  while (!stop.stop_requested()) {
    // Polled so that a request to stop is seen; a paused or idle guest wakes ten times a second.
    const auto ready = base::PollUntil(listener, POLLIN, steady_clock::now() + kStopPoll);
    if (!ready || !*ready) continue;
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
