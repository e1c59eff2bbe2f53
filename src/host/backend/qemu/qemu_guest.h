// QemuGuest: one QEMU process, its descriptors, and the channel to the agent. See Guest in
// host/backend/backend.h.

#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "host/backend/backend.h"
#include "host/backend/qemu/command_line.h"
#include "host/backend/qemu/output_pump.h"
#include "host/backend/qemu/qmp.h"
#include "host/jail/protocol/jail_client.h"
#include "wire/mux.h"

namespace nv::host::backend::qemu {

enum class ChannelKind { kVsockIfPresent, kSerial };

class QemuGuest final : public Guest {
 public:
  // Claims a vsock CID when the host has vhost-vsock and KVM is used; nothing runs yet.
  [[nodiscard]] static base::Result<std::unique_ptr<Guest>> Create(jail::JailClient& jail,
                                                                   const GuestSpec& spec,
                                                                   CommandLine line,
                                                                   ChannelKind channel);
  ~QemuGuest() override;

  [[nodiscard]] const base::VmId& id() const override { return spec_.id; }
  [[nodiscard]] base::Status Start(base::Deadline deadline) override;
  [[nodiscard]] base::Result<base::UniqueFd> Connect(std::uint32_t port,
                                                     base::Deadline deadline) override;
  [[nodiscard]] base::Status Pause(base::Deadline deadline) override;
  [[nodiscard]] base::Status Resume(base::Deadline deadline) override;
  [[nodiscard]] base::Status Snapshot(int state_fd, int memory_fd,
                                      base::Deadline deadline) override;
  [[nodiscard]] base::Status Stop(StopMode mode, base::Deadline deadline) override;
  [[nodiscard]] int exit_fd() const override;
  [[nodiscard]] std::optional<GuestExit> exit() const override;
  [[nodiscard]] std::string ConsoleTail(std::size_t lines) const override;
  [[nodiscard]] std::chrono::steady_clock::time_point started_at() const override {
    return started_at_;
  }

 private:
  QemuGuest(jail::JailClient& jail, const GuestSpec& spec, CommandLine line);
  base::Status Command(std::string_view command, base::Deadline deadline);

  jail::JailClient& jail_;
  GuestSpec spec_;
  CommandLine line_;
  std::optional<jail::JailClient::Vsock> vsock_;
  std::chrono::steady_clock::time_point started_at_{};

  std::unique_ptr<jail::JailedProcess> process_;
  std::unique_ptr<OutputPump> output_;
  std::unique_ptr<wire::Mux> mux_;
  std::mutex qmp_mutex_;
  std::unique_ptr<Qmp> qmp_;  // qmp_mutex_
};

}  // namespace nv::host::backend::qemu
