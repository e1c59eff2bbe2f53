// VsockDoor: opens /dev/vhost-vsock and claims a CID on it, because only root may open that device
// on most hosts.
//
// Called by the server for kOpenVsock. The claim lives in the opened device: it ends when the last
// copy of the descriptor is closed, so there is nothing to give back.

#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::host::jail {

class VsockDoor {
 public:
  explicit VsockDoor(std::string device) : device_(std::move(device)) {}

  struct Claimed {
    base::UniqueFd device;
    std::uint32_t cid;
  };
  // kNotFound without the device; kResourceExhausted after a few hundred CIDs in use one after the
  // other (linux/vhost.h, VHOST_VSOCK_SET_GUEST_CID gives EADDRINUSE).
  [[nodiscard]] base::Result<Claimed> Open();

 private:
  std::string device_;
  std::uint32_t next_ = 0;  // offset from the first CID
};

}  // namespace nv::host::jail
