// Server: the jail's one loop over the engine's socket and the children's ends.
//
// Made and run by main, in the only thread. In the flow: engine -> records -> CheckRequest -> cage
// -> VMM. Ends when the socket closes or SIGTERM arrives; then every child is killed and reaped.
//
// TRUST: nothing that arrives on the socket can end this program other than closing it. A refused
// record is answered with its reason and costs nothing; a peer that does not read its answers is
// not read from either, so the queue stays at most one answer a child long.

#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "host/jail/program/uid_pool.h"
#include "host/jail/program/vsock_door.h"
#include "host/jail/protocol/messages.h"
#include "host/jail/protocol/records.h"

namespace nv::host::jail {

struct ServerOptions {
  base::UniqueFd socket;  // SOCK_SEQPACKET
  std::string qemu_path;  // empty: kQemu is refused
  std::string uid_directory = "/run/neurovisor/uids";
  std::string vsock_device = "/dev/vhost-vsock";
  std::string kvm_device = "/dev/kvm";
};

class Server {
 public:
  // Blocks SIGCHLD, SIGTERM, SIGINT and SIGHUP and reads them from a descriptor. As root also opens
  // the directory of uid locks: before ReduceOwnPrivileges, its parent may belong to another user.
  [[nodiscard]] static base::Result<std::unique_ptr<Server>> Create(ServerOptions options);

  // Until the end. All children are gone when it returns, or 5 s have passed since they were
  // killed.
  void Run();

 private:
  struct Child {
    std::uint64_t id;
    ClaimedUid uid;
  };
  struct Outgoing {
    Reply reply;
    base::UniqueFd fd;
  };

  Server(ServerOptions options, base::UniqueFd signals);
  [[nodiscard]] bool ReadRecord();   // false: the peer has closed
  [[nodiscard]] bool ReadSignals();  // false: asked to end
  void Handle(Record& record);
  void Start(Record& record);
  void OpenVsock();
  void Reap();
  void EndAll();
  void Refuse(std::uint64_t id, int error_number, const std::string& stage);
  void Queue(Outgoing outgoing);
  [[nodiscard]] bool Flush();  // false: the peer has closed

  ServerOptions options_;
  base::UniqueFd signals_;
  VsockDoor vsock_;
  base::Result<UidPool> uids_;  // an error refuses every start as root
  std::map<pid_t, Child> children_;
  std::deque<Outgoing> outgoing_;
  std::unique_ptr<Request> request_;  // one buffer for every record
};

}  // namespace nv::host::jail
