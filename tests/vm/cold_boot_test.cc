// A real boot through the jail and the door, without store, client or gateway: what they add can be
// told apart from what the VMM and the kernel cost.
//
//   NEUROVISOR_TEST_IMAGE=DIR   folder with vmlinux, rootfs.erofs and perhaps initrd.cpio
//   NEUROVISOR_TEST_ACCEL=NAME  auto (default), kvm, tcg
//
// Run by hand and in the lab, where the same binary meets KVM and vhost-vsock; skipped without an
// image.

#include <fcntl.h>
#include <poll.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/limits.h"
#include "host/backend/probe.h"
#include "host/backend/qemu/qemu_backend.h"
#include "host/guestlink/guest_link.h"
#include "host/jail/protocol/jail_client.h"

namespace nv::host {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

base::Deadline In(seconds time) { return steady_clock::now() + time; }
double Ms(steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

class ColdBootTest : public testing::Test {
 protected:
  void SetUp() override {
    ::signal(SIGPIPE, SIG_IGN);
    const char* image = std::getenv("NEUROVISOR_TEST_IMAGE");
    if (image == nullptr) GTEST_SKIP() << "NEUROVISOR_TEST_IMAGE names no image";
    const auto qemu = backend::FindQemu();
    if (!qemu) GTEST_SKIP() << qemu.error().message();
    const char* accel = std::getenv("NEUROVISOR_TEST_ACCEL");
    const auto request = backend::ParseAccelerator(accel != nullptr ? accel : "auto");
    ASSERT_TRUE(request);

    auto launched = jail::Launch({NV_JAIL, *qemu});
    ASSERT_TRUE(launched) << launched.error().message();
    launched_ = std::make_unique<jail::Launched>(std::move(*launched));
    auto client = jail::JailClient::Connect(std::move(launched_->socket));
    ASSERT_TRUE(client) << client.error().message();
    jail_ = std::move(*client);
    auto made =
        backend::qemu::QemuBackend::Create(*jail_, {.accelerator = *request, .qemu_path = *qemu});
    ASSERT_TRUE(made) << made.error().message();
    backend_ = std::move(*made);

    const std::string directory = image;
    kernel_.Reset(::open((directory + "/vmlinux").c_str(), O_RDONLY | O_CLOEXEC));
    initrd_.Reset(::open((directory + "/initrd.cpio").c_str(), O_RDONLY | O_CLOEXEC));
    rootfs_.Reset(::open((directory + "/rootfs.erofs").c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(kernel_.valid() && rootfs_.valid()) << "no image in " << directory;
  }
  void TearDown() override {
    guest_.reset();
    backend_.reset();
    jail_.reset();
  }

  void Start(std::string kernel_arguments = "") {
    backend::GuestSpec spec;
    spec.id = base::NewVmId(base::SystemClock());
    spec.assets.kernel = kernel_.get();
    spec.assets.initrd = initrd_.get();
    spec.assets.rootfs = rootfs_.get();
    spec.assets.kernel_needs_acpi = initrd_.valid();
    spec.assets.kernel_arguments = std::move(kernel_arguments);
    asked_ = steady_clock::now();
    auto guest = backend_->Create(spec);
    ASSERT_TRUE(guest) << guest.error().message();
    guest_ = std::move(*guest);
    const auto started = guest_->Start(In(seconds(10)));
    ASSERT_TRUE(started) << started.error().message();
  }
  base::Result<guestlink::GuestFacts> Ping(seconds limit) {
    auto channel = guest_->Connect(base::kGuestPort, In(limit));
    if (!channel) return base::Fail(channel.error());
    link_ = guestlink::GuestLink::Create(std::move(*channel));
    return link_->Ping(In(limit), {});
  }

  std::unique_ptr<jail::Launched> launched_;
  std::unique_ptr<jail::JailClient> jail_;
  std::unique_ptr<backend::Backend> backend_;
  std::unique_ptr<backend::Guest> guest_;
  std::unique_ptr<guestlink::GuestLink> link_;
  base::UniqueFd kernel_;
  base::UniqueFd initrd_;
  base::UniqueFd rootfs_;
  steady_clock::time_point asked_;
};

TEST_F(ColdBootTest, GuestAnswersPausesResumesAndStops) {
  Start();
  const auto facts = Ping(seconds(60));
  ASSERT_TRUE(facts) << facts.error().message() << "\n" << guest_->ConsoleTail(20);
  const auto ready = steady_clock::now();
  const auto kernel = ready - facts->boottime;
  const auto agent = kernel + facts->agent_start_boottime;
  const auto from_start = [&](auto time) { return Ms(time - guest_->started_at()); };
  std::printf("%s %s: start %.1f ms; then kernel %.0f, agent %.0f, ready %.0f ms\n",
              std::string(backend::AcceleratorName(backend_->accelerator())).c_str(),
              backend_->reason().c_str(), Ms(guest_->started_at() - asked_), from_start(kernel),
              from_start(agent), from_start(ready));

  ASSERT_TRUE(guest_->Pause(In(seconds(5))));
  EXPECT_FALSE(link_->Ping(steady_clock::now() + std::chrono::milliseconds(300), {}));
  ASSERT_TRUE(guest_->Resume(In(seconds(5))));
  ASSERT_TRUE(guest_->Resume(In(seconds(5)))) << "resuming a running guest is success";
  EXPECT_TRUE(link_->Ping(In(seconds(10)), {}));

  ASSERT_TRUE(guest_->Stop(backend::StopMode::kGraceful, In(seconds(5))));
  const auto exit = guest_->exit();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->Describe(), "exited with status 0") << "QEMU's own quit was enough";
}

TEST_F(ColdBootTest, PanickingKernelEndsItsVmm) {
  Start(initrd_.valid() ? "rdinit=/nonexistent root=/dev/nonexistent init=/nonexistent"
                        : "init=/nonexistent root=/dev/nonexistent");
  const auto ended = base::PollUntil(guest_->exit_fd(), POLLIN, In(seconds(60)));
  EXPECT_TRUE(ended && *ended) << guest_->ConsoleTail(20);
  EXPECT_NE(guest_->ConsoleTail(60).find("Kernel panic"), std::string::npos)
      << guest_->ConsoleTail(60);
}

}  // namespace
}  // namespace nv::host
