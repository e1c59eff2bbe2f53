#include "host/backend/qemu/command_line.h"

#include <fmt/format.h>

namespace nv::host::backend::qemu {

std::string KernelArguments(const CommandLine& line) {
  // panic=-1 with -no-reboot: a guest kernel that panics ends its VMM at once. mitigations=off: the
  // guest kernel is no boundary of ours, the VMM is, and a guest serves one client.
  std::string arguments = "console=ttyS0 quiet panic=-1 mitigations=off";
  if (line.accelerator == Accelerator::kTcg) {
    arguments += fmt::format(" tsc_early_khz={} tsc=reliable no_timer_check", line.tsc_khz);
  }
  // Without an initramfs the kernel mounts the root itself and starts the agent as PID 1.
  if (!line.initrd) {
    arguments += " root=/dev/vda rootfstype=erofs ro init=/usr/lib/neurovisor/guest_agent";
  }
  if (!line.kernel_arguments.empty()) arguments += " " + line.kernel_arguments;
  return arguments;
}

std::vector<std::string> BuildArguments(const CommandLine& line) {
  const bool kvm = line.accelerator == Accelerator::kKvm;
  std::vector<std::string> out = {
      "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
      // spawn=deny also stops fork and exec; resourcecontrol=deny stops setpriority and affinity.
      "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
      "-accel", kvm ? "kvm" : "tcg", "-cpu", kvm ? "host" : "max", "-m",
      fmt::format("{}M", line.memory_bytes >> 20), "-smp", fmt::format("{}", line.vcpus),
      // qboot loads the kernel in a fraction of SeaBIOS' time; microvm has no other use for
      // firmware.
      "-M", fmt::format("microvm,acpi={},x-option-roms=off", line.acpi ? "on" : "off"), "-bios",
      "qboot.rom", "-kernel", fmt::format("/proc/self/fd/{}", kKernelFd)};
  if (line.initrd) {
    out.insert(out.end(), {"-initrd", fmt::format("/proc/self/fd/{}", kInitrdFd)});
  }
  out.insert(out.end(), {"-append", KernelArguments(line)});

  out.insert(out.end(), {"-chardev", fmt::format("socket,id=console,fd={}", kConsoleFd), "-serial",
                         "chardev:console", "-chardev", fmt::format("socket,id=qmp,fd={}", kQmpFd),
                         "-mon", "chardev=qmp,mode=control"});

  // drop-cache=off: QEMU otherwise empties the host's page cache of the image that all guests
  // share.
  out.insert(out.end(),
             {"-add-fd", fmt::format("fd={},set=1", kRootfsFd), "-drive",
              "id=root,if=none,format=raw,readonly=on,file.driver=file,file.filename=/dev/fdset/1,"
              "file.drop-cache=off",
              "-device", "virtio-blk-device,drive=root"});

  if (line.vsock_cid) {
    out.insert(out.end(), {"-device", fmt::format("vhost-vsock-device,vhostfd={},guest-cid={}",
                                                  kChannelFd, *line.vsock_cid)});
  } else {
    out.insert(out.end(), {"-device", "virtio-serial-device", "-chardev",
                           fmt::format("socket,id=channel,fd={}", kChannelFd), "-device",
                           fmt::format("virtserialport,chardev=channel,name={}", kSerialPortName)});
  }
  return out;
}

}  // namespace nv::host::backend::qemu
