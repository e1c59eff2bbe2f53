#include "host/backend/qemu/qemu_backend.h"

#include <fmt/format.h>

#include "host/backend/probe.h"
#include "host/backend/qemu/qemu_guest.h"

namespace nv::host::backend::qemu {
namespace {

constexpr std::uint32_t kMaxVcpus = 8;
constexpr std::uint64_t kMinMemoryBytes = 64ull << 20;
constexpr std::uint64_t kMebibyte = 1ull << 20;

}  // namespace

base::Result<std::unique_ptr<QemuBackend>> QemuBackend::Create(jail::JailClient& jail,
                                                               QemuOptions options) {
  const VmmUid uid = jail.gives_own_uids() ? VmmUid::kOwn : VmmUid::kCallers;
  auto choice = ChooseAccelerator(options.accelerator, options.kvm ? *options.kvm : FindKvm(uid));
  if (!choice) return base::Fail(std::move(choice.error()));
  return std::unique_ptr<QemuBackend>(
      new QemuBackend(jail, std::move(options), std::move(*choice)));
}

QemuBackend::QemuBackend(jail::JailClient& jail, QemuOptions options, AcceleratorChoice choice)
    : jail_(jail), options_(std::move(options)), choice_(std::move(choice)) {
  capabilities_ = {.pause = true,
                   .snapshot = false,
                   .boots_kernel = true,
                   .hard_boundary = choice_.accelerator == Accelerator::kKvm};
}

std::string QemuBackend::version() const {
  return QemuVersion(options_.qemu_path).value_or("unknown");
}

base::Result<std::unique_ptr<Guest>> QemuBackend::Create(const GuestSpec& spec) {
  if (spec.vcpus < 1 || spec.vcpus > kMaxVcpus) {
    return base::Fail(
        base::Code::kInvalidArgument,
        fmt::format("guest {}: {} vCPUs; accepted: 1 to {}", spec.id.text, spec.vcpus, kMaxVcpus));
  }
  if (spec.memory_bytes < kMinMemoryBytes || spec.memory_bytes % kMebibyte != 0) {
    return base::Fail(
        base::Code::kInvalidArgument,
        fmt::format("guest {}: {} bytes of memory; accepted: multiples of 1 MiB from 64 MiB",
                    spec.id.text, spec.memory_bytes));
  }
  if (spec.assets.kernel < 0 || spec.assets.rootfs < 0) {
    return base::Fail(base::Code::kInvalidArgument,
                      fmt::format("guest {}: no kernel or no root file system", spec.id.text));
  }
  CommandLine line{.accelerator = choice_.accelerator,
                   .vcpus = spec.vcpus,
                   .memory_bytes = spec.memory_bytes,
                   .acpi = spec.assets.kernel_needs_acpi,
                   .initrd = spec.assets.initrd >= 0,
                   .kernel_arguments = spec.assets.kernel_arguments,
                   .tsc_khz = choice_.accelerator == Accelerator::kTcg ? tsc_.Khz() : 0,
                   .vsock_cid = std::nullopt};
  return QemuGuest::Create(
      jail_, spec, std::move(line),
      options_.force_serial ? ChannelKind::kSerial : ChannelKind::kVsockIfPresent);
}

}  // namespace nv::host::backend::qemu
