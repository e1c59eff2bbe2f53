// Channels: how the host's connections reach the agent's gRPC server, which listens on no port.
//
// The serial-port multiplexer where there is a port named neurovisor.channel, vsock 6000 where the
// kernel has it, a descriptor or a Unix socket in tests and containers. Each has a thread. TRUST:
// on vsock only the host (CID 2) is let in: programs of the guest could dial their own CID.

#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "wire/mux.h"

namespace grpc {
class Server;
}

namespace nv::guest::executor {

class Channels {
 public:
  explicit Channels(grpc::Server& server);
  // Ends the threads. Connections that gRPC has stay until the server's shutdown.
  ~Channels();
  Channels(const Channels&) = delete;
  Channels& operator=(const Channels&) = delete;

  // Looks for the named port of /sys/class/virtio-ports for as long as it takes, then serves its
  // multiplexer, session after session. The destructor may wait a second for it.
  void WatchSerialPort();
  // Serves vsock connections from the host. kUnimplemented without vsock.
  [[nodiscard]] base::Status ListenOnVsock();
  // A listening socket is accepted from; a connected one is served itself.
  [[nodiscard]] base::Status ServeDescriptor(base::UniqueFd fd);

 private:
  enum class Peers { kAll, kVsockHost };
  void AcceptLoop(int listener, Peers peers) const;
  void SerialLoop(std::stop_token stop);

  grpc::Server& server_;
  const base::UniqueFd stop_fd_;  // eventfd: readable when the accept loops shall end
  std::vector<base::UniqueFd> listeners_;
  std::vector<std::jthread> threads_;
};

// "/dev/vport0p1" for the port of that name below /sys/class/virtio-ports, or empty.
[[nodiscard]] std::string FindSerialPort(const std::string& class_directory,
                                         std::string_view port_name);

}  // namespace nv::guest::executor
