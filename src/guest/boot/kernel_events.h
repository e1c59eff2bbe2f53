// KernelEvents: waits for a device to appear, by the kernel's own announcements (kobject uevents,
// netlink(7)), since neither udev nor a sleep loop belongs into a 1 s boot.
//
// Used by guest_preinit (the disk) and the agent (the serial port). No allocation, no iostream:
// guest_preinit stays small.

#pragma once

namespace nv::guest::boot {

class KernelEvents {
 public:
  // Opens the netlink socket. Without one (a kernel without uevents, no rights) Wait only paces.
  KernelEvents();
  ~KernelEvents();
  KernelEvents(const KernelEvents&) = delete;
  KernelEvents& operator=(const KernelEvents&) = delete;

  // Returns after the next announcement of the kernel, and at the latest after `milliseconds`.
  // Announcements since the last call count: open first, then look, then wait.
  void Wait(int milliseconds);

 private:
  int socket_;
};

}  // namespace nv::guest::boot
