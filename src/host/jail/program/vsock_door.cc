#include "host/jail/program/vsock_door.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

namespace nv::host::jail {

using base::Code;

namespace {

// 0 to 2 are the hypervisor, loopback and host (vsock(7)). A range of our own far above would save
// nothing: other programs may claim any number, and the kernel tells.
constexpr std::uint32_t kFirstCid = 3;
constexpr std::uint32_t kCids = 65536;
constexpr std::uint32_t kTries = 2048;

// VHOST_VSOCK_SET_GUEST_CID of linux/vhost.h, a header that C++ cannot read.
constexpr unsigned long kSetGuestCid = _IOW(0xAF, 0x60, std::uint64_t);

}  // namespace

base::Result<VsockDoor::Claimed> VsockDoor::Open() {
  base::UniqueFd device(::open(device_.c_str(), O_RDWR | O_CLOEXEC));
  if (!device.valid()) return base::FailErrno("cannot open " + device_);
  for (std::uint32_t tried = 0; tried < kTries; ++tried) {
    // On from the last one: a CID that has just ended is not given to the next guest at once.
    const std::uint64_t cid = kFirstCid + next_;
    next_ = (next_ + 1) % kCids;
    if (::ioctl(device.get(), kSetGuestCid, &cid) == 0) {
      return Claimed{std::move(device), static_cast<std::uint32_t>(cid)};
    }
    if (errno != EADDRINUSE) return base::FailErrno("cannot claim a vsock address");
  }
  return base::Fail(Code::kResourceExhausted, "no free vsock address in 2048 tries");
}

}  // namespace nv::host::jail
