// PrivateGateway: the Sandboxes service for one client on one descriptor; no listening port.
//
// Made by the engine's private-run. Its calls run on threads of its own; what a client may ask is
// checked in run_request.cc. TRUST: the descriptor's owner started this engine and has its rights;
// its bytes are held to the limits all the same.

#pragma once

#include <memory>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "host/pool/lease_source.h"

namespace nv::host::gateway {

class PrivateGateway {
 public:
  // Starts serving a connected stream socket. `source` and `clock` outlive the gateway.
  [[nodiscard]] static base::Result<std::unique_ptr<PrivateGateway>> Start(
      base::UniqueFd client, pool::LeaseSource& source, const base::Clock& clock);
  // Cancels what runs, destroys its guests, ends the threads; about 2 s at the most.
  virtual ~PrivateGateway() = default;

  // Blocks until the client has closed its end, however it ended.
  virtual void WaitUntilClientGone() = 0;
};

}  // namespace nv::host::gateway
