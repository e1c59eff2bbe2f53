// QemuBackend: microVMs by QEMU's microvm machine, under KVM when it is usable, else by emulation
// (TCG).
//
// Made once by the engine after the jail runs; used by vm_maker from any thread.

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "host/backend/accelerator.h"
#include "host/backend/backend.h"
#include "host/backend/qemu/host_tsc.h"
#include "host/jail/protocol/jail_client.h"

namespace nv::host::backend::qemu {

struct QemuOptions {
  AcceleratorRequest accelerator = AcceleratorRequest::kAuto;
  std::string qemu_path;      // the one the jail was started with; for version()
  bool force_serial = false;  // the multiplexer even where vhost-vsock is there (tests)
  // Found while the process could still open the device; absent: FindKvm now.
  std::optional<KvmFacts> kvm = std::nullopt;
};

class QemuBackend final : public Backend {
 public:
  // Borrows the jail. kFailedPrecondition when KVM was asked for and is not usable.
  [[nodiscard]] static base::Result<std::unique_ptr<QemuBackend>> Create(jail::JailClient& jail,
                                                                         QemuOptions options);

  [[nodiscard]] std::string_view name() const override { return "qemu"; }
  // Runs QEMU once (about 20 ms): for bench and doctor, not on the way of a run. "unknown" when it
  // fails.
  [[nodiscard]] std::string version() const override;
  [[nodiscard]] Accelerator accelerator() const override { return choice_.accelerator; }
  [[nodiscard]] std::string reason() const override { return choice_.reason; }
  [[nodiscard]] const Capabilities& capabilities() const override { return capabilities_; }
  // kInvalidArgument: vCPUs out of 1..8, memory no multiple of 1 MiB or under 64 MiB, no kernel or
  // root file system.
  [[nodiscard]] base::Result<std::unique_ptr<Guest>> Create(const GuestSpec& spec) override;

 private:
  QemuBackend(jail::JailClient& jail, QemuOptions options, AcceleratorChoice choice);

  jail::JailClient& jail_;
  QemuOptions options_;
  AcceleratorChoice choice_;
  Capabilities capabilities_;
  TscMeter tsc_;
};

}  // namespace nv::host::backend::qemu
