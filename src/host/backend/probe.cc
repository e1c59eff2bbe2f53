#include "host/backend/probe.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include <fmt/format.h>

#include "base/child_process.h"
#include "base/text.h"

namespace nv::host::backend {
namespace {

constexpr char kQemuRemedy[] = "apt-get install qemu-system-x86";

}  // namespace

base::Result<std::string> FindQemu() {
  if (const char* chosen = std::getenv("NEUROVISOR_QEMU"); chosen != nullptr && *chosen != '\0') {
    if (*chosen != '/' || ::access(chosen, X_OK) != 0) {
      return base::Fail(
          base::Error(base::Code::kNotFound, fmt::format("NEUROVISOR_QEMU is '{}', which is not an "
                                                         "executable file with an absolute path",
                                                         base::EscapeForTerminal(chosen, 200)))
              .WithRemedy(fmt::format("unset it, or {}", kQemuRemedy)));
    }
    return std::string(chosen);
  }
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const std::size_t end = rest.find(':');
    const std::string candidate = fmt::format("{}/qemu-system-x86_64", rest.substr(0, end));
    if (candidate.starts_with('/') && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
  return base::Fail(
      base::Error(base::Code::kNotFound, "no qemu-system-x86_64 in PATH").WithRemedy(kQemuRemedy));
}

base::Result<std::string> QemuVersion(const std::string& qemu_path) {
  std::string first;
  base::SpawnOptions options;
  options.argv = {qemu_path, "--version"};
  options.environment = base::HelperEnvironment();
  auto status = base::RunCommand(
      std::move(options),
      [&first](std::string_view line) {
        if (first.empty()) first = line;
      },
      std::chrono::steady_clock::now() + std::chrono::seconds{10});
  if (!status) return base::Fail(std::move(status.error()));
  constexpr std::string_view kPrefix = "QEMU emulator version ";
  if (!status->ok() || !first.starts_with(kPrefix)) {
    return base::Fail(base::Code::kUnavailable,
                      fmt::format("'{} --version' answered '{}' ({})", qemu_path,
                                  base::EscapeForTerminal(first, 120), status->Describe()));
  }
  return base::EscapeForTerminal(std::string_view(first).substr(kPrefix.size()), 120);
}

ProbeRow ProbeKvm(const KvmFacts& facts) {
  ProbeRow row{
      .name = "kvm", .state = ProbeRow::State::kMissing, .reason = facts.Reason(), .remedy = ""};
  if (facts.usable()) {
    row.state = ProbeRow::State::kOk;
    return row;
  }
  switch (facts.access) {
    case KvmAccess::kRootOnly:
      row.state = ProbeRow::State::kDegraded;
      row.remedy =
          facts.cpu_virtualizes
              ? "give it to a group: groupadd -f kvm; chgrp kvm /dev/kvm; chmod 660 /dev/kvm"
              : "use a machine with nested virtualization; until then QEMU emulates "
                "(TCG), slower";
      break;
    case KvmAccess::kOpens:
      row.state = ProbeRow::State::kDegraded;
      row.remedy =
          "use a machine with nested virtualization; until then QEMU emulates (TCG), slower";
      break;
    case KvmAccess::kRefused:
      row.remedy = facts.cpu_virtualizes ? "add yourself to the group kvm: usermod -aG kvm $USER"
                                         : "the CPU shows neither vmx nor svm: QEMU emulates (TCG)";
      break;
    case KvmAccess::kAbsent:
      row.remedy = facts.cpu_virtualizes
                       ? "load the module: modprobe kvm_amd or kvm_intel"
                       : "enable virtualization in the firmware or (nested) in the cloud; until "
                         "then QEMU emulates (TCG), slower";
      break;
  }
  return row;
}

ProbeRow ProbeQemu() {
  ProbeRow row{
      .name = "qemu", .state = ProbeRow::State::kMissing, .reason = "", .remedy = kQemuRemedy};
  auto path = FindQemu();
  if (!path) {
    row.reason = path.error().message();
    row.remedy = path.error().remedy();
    return row;
  }
  auto version = QemuVersion(*path);
  if (!version) {
    row.reason = version.error().message();
    return row;
  }
  row.reason = fmt::format("{} at {}", *version, *path);
  const int major = std::atoi(version->c_str());
  row.state = major >= kOldestQemuMajor ? ProbeRow::State::kOk : ProbeRow::State::kMissing;
  if (row.state == ProbeRow::State::kOk) {
    row.remedy.clear();
  } else {
    row.reason += fmt::format("; version {} or newer is needed", kOldestQemuMajor);
  }
  return row;
}

ProbeRow ProbeVhostVsock(const std::string& root) {
  ProbeRow row{.name = "vhost-vsock",
               .state = ProbeRow::State::kOk,
               .reason = "/dev/vhost-vsock",
               .remedy = ""};
  const std::string device = root + "/dev/vhost-vsock";
  if (::access(device.c_str(), F_OK) != 0) {
    row.state = ProbeRow::State::kDegraded;
    row.reason = "no /dev/vhost-vsock: guests are reached by the multiplexer over virtio-serial";
    row.remedy = "modprobe vhost_vsock, where the kernel has it";
  } else if (::access(device.c_str(), R_OK | W_OK) != 0) {
    row.state = ProbeRow::State::kDegraded;
    row.reason =
        "/dev/vhost-vsock is not open to this user: the multiplexer over virtio-serial is used";
    row.remedy = "run as root, or give the device's group access";
  }
  return row;
}

}  // namespace nv::host::backend
