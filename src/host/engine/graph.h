// The parts of an engine that boots guests, made in the order that privileges ask for: the jail
// while there is one thread and root, then the step down, then what has threads.
//
// Used by the commands that boot guests (private-run, bench). Members are destroyed in reverse: the
// jail's socket closes before its process is waited for.

#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "host/backend/qemu/qemu_backend.h"
#include "host/config/config.h"
#include "host/jail/protocol/jail_client.h"
#include "host/storage/image_store.h"

namespace nv::host::engine {

struct Graph {
  config::Paths paths;
  base::SystemClock clock;
  std::unique_ptr<jail::Launched> launched;
  std::unique_ptr<jail::JailClient> jail;
  std::unique_ptr<backend::Backend> backend;
  std::unique_ptr<storage::ImageStore> images;
};

// Call before the process has threads. `accelerator` and `backend` as the flags --accel and
// --backend ("" is auto). kInvalidArgument names the flag; kNotFound when there is no QEMU (remedy:
// the package) or no jail program.
[[nodiscard]] base::Result<std::unique_ptr<Graph>> BuildGraph(const std::string& accelerator,
                                                              const std::string& backend);

}  // namespace nv::host::engine
