#include <sys/socket.h>

#include "host/jail/protocol/jail_client.h"

namespace nv::host::jail {

base::Result<Launched> Launch(const LaunchOptions& options) {
  auto pair = base::MakeSocketPair(SOCK_SEQPACKET);
  if (!pair) return base::Fail(std::move(pair.error()).WithContext("cannot start the jail"));
  constexpr int kSocketNumber = 3;
  base::SpawnOptions spawn;
  spawn.argv = {options.jail_path, "--socket-fd", std::to_string(kSocketNumber)};
  if (!options.qemu_path.empty()) {
    spawn.argv.emplace_back("--qemu");
    spawn.argv.push_back(options.qemu_path);
  }
  spawn.fds = {{2, 2}, {pair->second.get(), kSocketNumber}};
  // A session of its own: Ctrl-C at a terminal reaches the client, which ends things in order.
  spawn.new_session = true;
  auto process = base::ChildProcess::Spawn(spawn);
  if (!process) return base::Fail(std::move(process.error()).WithContext("cannot start the jail"));
  return Launched{std::move(*process), std::move(pair->first)};
}

}  // namespace nv::host::jail
