// Backend: one kind of isolation (QEMU, Firecracker, gVisor, a fake in tests) behind one interface.
//
// Called by the pool (vm_maker) and by doctor; one Guest is used by one thread at a time, except
// Stop and exit_fd, which any thread may use. In the flow: pool -> backend (in its jail) ;
// guestlink talks over the descriptor that Connect hands out.
//
// What nothing outside this folder may assume: a vsock, CID or socket path; a kernel, initramfs,
// console, block device or vCPU count of ours; that the guest's RNG or clock can or must be fed
// (the agent's Ping says what it lacks); that snapshots exist. What a backend can do is data:
// Capabilities.
//
// TRUST: everything a VMM or a guest sends (QMP, console, stderr, channel) is hostile: bounded,
// timed, escaped when shown.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/io.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::host::backend {

enum class Accelerator { kKvm, kTcg, kNone };
[[nodiscard]] std::string_view AcceleratorName(Accelerator accelerator);

// What a backend can do on this machine. Data, not a cast: callers ask before they call.
struct Capabilities {
  bool pause = false;
  bool snapshot = false;       // Snapshot, and Create from one
  bool boots_kernel = false;   // wants BootAssets.kernel
  bool hard_boundary = false;  // a hypervisor boundary its makers support as such (not TCG)
};

// One fact about this machine, for doctor and the start-up lines.
struct ProbeRow {
  enum class State { kOk, kMissing, kDegraded };
  std::string name;  // "kvm", "qemu", "vhost-vsock"
  State state = State::kMissing;
  std::string reason;  // what was found
  std::string remedy;  // what to do, or empty
};

// What a guest boots from, as open read-only descriptors: a VMM under another uid needs no path.
// Borrowed until Start returns.
struct BootAssets {
  int kernel = -1;  // uncompressed ELF with a PVH note
  int initrd = -1;  // or -1
  int rootfs = -1;  // erofs, read-only, shared by all guests
  bool kernel_needs_acpi =
      true;  // Debian's kernels find virtio-mmio by ACPI alone; ours take it from the command line
  std::string
      kernel_arguments;  // more words for the kernel's command line, from the image manifest
};

struct GuestSpec {
  base::VmId id;
  BootAssets assets;
  std::uint32_t vcpus = 1;                    // 1..8
  std::uint64_t memory_bytes = 256ull << 20;  // multiple of 1 MiB
};

// How a guest ended, as the kernel saw its VMM.
struct GuestExit {
  int exit_code = 0;
  int signal = 0;
  std::string Describe() const;
};

enum class StopMode {
  kGraceful,  // VMM's own quit with a short deadline, then kill
  kKill,      // at once
};

class Guest {
 public:
  // A guest still running is killed, its descriptors and files are gone when this returns.
  virtual ~Guest() = default;

  [[nodiscard]] virtual const base::VmId& id() const = 0;

  // Starts the VMM; returns when it runs (not when the guest answers). Error details carry the
  // VMM's last stderr lines.
  [[nodiscard]] virtual base::Status Start(base::Deadline deadline) = 0;
  // A connected, non-blocking stream to the agent's `port`. May return before the agent listens:
  // probe with an RPC.
  [[nodiscard]] virtual base::Result<base::UniqueFd> Connect(std::uint32_t port,
                                                             base::Deadline deadline) = 0;

  // Capabilities.pause. Resume of a running guest is success.
  [[nodiscard]] virtual base::Status Pause(base::Deadline deadline) = 0;
  [[nodiscard]] virtual base::Status Resume(base::Deadline deadline) = 0;
  // Capabilities.snapshot: writes device state and memory to the descriptors; the guest goes on or
  // is left paused as it was. kUnimplemented otherwise.
  [[nodiscard]] virtual base::Status Snapshot(int state_fd, int memory_fd,
                                              base::Deadline deadline) = 0;

  // Ends the guest; the only witness is the kernel: returns when the VMM process is gone (reaped by
  // the jail), or kDeadlineExceeded. The polite step (agent's Shutdown) is the caller's. Repeated
  // calls are harmless.
  [[nodiscard]] virtual base::Status Stop(StopMode mode, base::Deadline deadline) = 0;
  // Readable once the VMM has ended; valid as long as this object. -1 before Start.
  [[nodiscard]] virtual int exit_fd() const = 0;
  // How it ended, once it has.
  [[nodiscard]] virtual std::optional<GuestExit> exit() const = 0;

  // Last lines of the console and of the VMM's stderr, escaped for a terminal.
  [[nodiscard]] virtual std::string ConsoleTail(std::size_t lines) const = 0;
  // When the VMM process was started; for timings.
  [[nodiscard]] virtual std::chrono::steady_clock::time_point started_at() const = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;  // "qemu"
  [[nodiscard]] virtual std::string version() const = 0;    // the VMM's
  [[nodiscard]] virtual Accelerator accelerator() const = 0;
  [[nodiscard]] virtual std::string reason()
      const = 0;  // why this accelerator: "CPU has no vmx or svm flag"
  [[nodiscard]] virtual const Capabilities& capabilities() const = 0;
  // Checks the spec and reserves what a start needs; nothing runs yet.
  [[nodiscard]] virtual base::Result<std::unique_ptr<Guest>> Create(const GuestSpec& spec) = 0;
};

}  // namespace nv::host::backend
