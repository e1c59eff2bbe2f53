// QEMU's arguments for one guest: a pure function of what was decided, so that a test can read
// every word.
//
// Everything QEMU touches is an inherited descriptor with a fixed number: it opens no path of ours,
// so it runs under a uid that may see none. No network device, no default devices, no configuration
// files, seccomp on (-sandbox).

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/backend/backend.h"

namespace nv::host::backend::qemu {

// Descriptor numbers as QEMU sees them (2 is stderr).
inline constexpr int kKernelFd = 3;
inline constexpr int kInitrdFd = 4;
inline constexpr int kRootfsFd = 5;
inline constexpr int kConsoleFd = 6;
inline constexpr int kQmpFd = 7;
inline constexpr int kChannelFd = 8;  // virtio-serial's socket, or vhost-vsock's device

inline constexpr char kSerialPortName[] = "neurovisor.channel";

struct CommandLine {
  Accelerator accelerator = Accelerator::kTcg;
  std::uint32_t vcpus = 1;
  std::uint64_t memory_bytes = 0;
  bool acpi = true;  // Debian's kernels find virtio-mmio devices only there
  bool initrd = false;
  std::string kernel_arguments;
  std::uint32_t tsc_khz = 0;               // TCG only
  std::optional<std::uint32_t> vsock_cid;  // absent: the multiplexer over virtio-serial
};

// argv[1..].
[[nodiscard]] std::vector<std::string> BuildArguments(const CommandLine& line);
// The guest kernel's command line.
[[nodiscard]] std::string KernelArguments(const CommandLine& line);

}  // namespace nv::host::backend::qemu
