// The backend through a real jail, with a program in QEMU's place that behaves as its name says.

#include "host/backend/qemu/qemu_backend.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "host/backend/qemu/output_pump.h"

namespace nv::host::backend::qemu {
namespace {

using base::Code;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;
using testing::Not;

base::Deadline In(milliseconds time) { return steady_clock::now() + time; }

class QemuBackendTest : public testing::Test {
 protected:
  void SetUp() override {
    // The jail gives no environment and the backend chooses the arguments: the name decides.
    directory_ = std::filesystem::path(testing::TempDir()) / ("vmm-" + std::to_string(::getpid()));
    std::filesystem::create_directories(directory_);
    kernel_.Reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    rootfs_.Reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
  void TearDown() override {
    End();
    std::filesystem::remove_all(directory_);
  }
  void End() {
    guest_.reset();
    backend_.reset();
    jail_.reset();
    launched_.reset();
  }

  GuestSpec Spec() const {
    GuestSpec spec;
    spec.id = base::NewVmId(base::SystemClock());
    spec.assets.kernel = kernel_.get();
    spec.assets.rootfs = rootfs_.get();
    return spec;
  }
  void Use(const std::string& name) {
    End();
    const auto program = directory_ / name;
    std::filesystem::create_symlink(NV_FAKE_VMM, program);
    auto launched = jail::Launch({NV_JAIL, program});
    ASSERT_TRUE(launched) << launched.error().message();
    launched_ = std::make_unique<jail::Launched>(std::move(*launched));
    auto client = jail::JailClient::Connect(std::move(launched_->socket));
    ASSERT_TRUE(client) << client.error().message();
    jail_ = std::move(*client);
    auto backend = QemuBackend::Create(
        *jail_, {.accelerator = AcceleratorRequest::kTcg, .qemu_path = program});
    ASSERT_TRUE(backend);
    backend_ = std::move(*backend);
    auto guest = backend_->Create(Spec());
    ASSERT_TRUE(guest) << guest.error().message();
    guest_ = std::move(*guest);
  }
  bool Ended(milliseconds limit) const {
    const auto ended = base::PollUntil(guest_->exit_fd(), POLLIN, In(limit));
    return ended && *ended;
  }

  std::filesystem::path directory_;
  base::UniqueFd kernel_;
  base::UniqueFd rootfs_;
  std::unique_ptr<jail::Launched> launched_;
  std::unique_ptr<jail::JailClient> jail_;
  std::unique_ptr<QemuBackend> backend_;
  std::unique_ptr<Guest> guest_;
};

TEST_F(QemuBackendTest, SpecsOutOfRangeAreRefusedBeforeAnythingRuns) {
  Use("pause");
  const auto refused = [&](const GuestSpec& spec) {
    const auto guest = backend_->Create(spec);
    return !guest && guest.error().code() == Code::kInvalidArgument;
  };
  for (std::uint32_t vcpus : {0u, 9u, ~0u}) {
    GuestSpec spec = Spec();
    spec.vcpus = vcpus;
    EXPECT_TRUE(refused(spec)) << vcpus;
  }
  for (std::uint64_t bytes :
       {std::uint64_t{0}, std::uint64_t{1} << 20, (std::uint64_t{256} << 20) + 1}) {
    GuestSpec spec = Spec();
    spec.memory_bytes = bytes;
    EXPECT_TRUE(refused(spec)) << bytes;
  }
  GuestSpec spec = Spec();
  spec.assets.kernel = -1;
  EXPECT_TRUE(refused(spec));
  spec = Spec();
  spec.assets.rootfs = -1;
  EXPECT_TRUE(refused(spec));
}

TEST_F(QemuBackendTest, VmmThatDiesAtStartLeavesItsWordsAndStatus) {
  Use("complain");
  EXPECT_EQ(guest_->exit_fd(), -1);
  EXPECT_FALSE(guest_->exit());
  ASSERT_TRUE(guest_->Start(In(seconds(10))));
  ASSERT_TRUE(Ended(seconds(10)));
  const auto exit = guest_->exit();
  ASSERT_TRUE(exit) << "the witness is readable, so the report must come";
  EXPECT_EQ(exit->Describe(), "exited with status 1");
  // The pump may still be reading what the dead process left in the pipe.
  std::string tail;
  for (int i = 0; i < 500 && tail.find("second") == std::string::npos; ++i) {
    tail = guest_->ConsoleTail(20);
    std::this_thread::sleep_for(milliseconds(2));
  }
  EXPECT_THAT(tail, HasSubstr("first complaint"));
  EXPECT_THAT(tail, HasSubstr("second \\x1b[31mcomplaint"));
  EXPECT_TRUE(guest_->Stop(StopMode::kGraceful, In(seconds(10))));
}

TEST_F(QemuBackendTest, SilentVmmIsKilledAfterAShortPoliteWait) {
  Use("qmp-silence");
  ASSERT_TRUE(guest_->Start(In(seconds(10))));
  const auto paused = guest_->Pause(In(milliseconds(50)));
  ASSERT_FALSE(paused);
  EXPECT_EQ(paused.error().code(), Code::kDeadlineExceeded);
  const auto start = steady_clock::now();
  EXPECT_TRUE(guest_->Stop(StopMode::kGraceful, In(seconds(10))));
  EXPECT_LT(steady_clock::now() - start, seconds(3));
  EXPECT_TRUE(Ended(milliseconds(0)));
  EXPECT_EQ(guest_->exit()->signal, SIGKILL);
  EXPECT_TRUE(guest_->Stop(StopMode::kKill, In(seconds(10)))) << "repeated stops are harmless";
}

TEST_F(QemuBackendTest, VmmThatBreaksItsProtocolIsStillStopped) {
  for (const char* name : {"qmp-garbage", "qmp-endless-line", "qmp-flood", "qmp-greets"}) {
    Use(name);
    ASSERT_TRUE(guest_->Start(In(seconds(10)))) << name;
    EXPECT_FALSE(guest_->Pause(In(milliseconds(300)))) << name;
    EXPECT_TRUE(guest_->Stop(StopMode::kGraceful, In(seconds(10)))) << name;
    EXPECT_EQ(guest_->exit()->signal, SIGKILL) << name;
  }
}

TEST_F(QemuBackendTest, DroppedGuestIsGone) {
  Use("pause");
  ASSERT_TRUE(guest_->Start(In(seconds(10))));
  EXPECT_FALSE(guest_->Start(In(seconds(10)))) << "a guest starts once";
  const base::UniqueFd witness(::fcntl(guest_->exit_fd(), F_DUPFD_CLOEXEC, 0));
  guest_.reset();
  const auto ended = base::PollUntil(witness.get(), POLLIN, steady_clock::now());
  EXPECT_TRUE(ended && *ended);
}

TEST_F(QemuBackendTest, KilledJailEndsTheGuestAndEveryWait) {
  Use("pause");
  ASSERT_TRUE(guest_->Start(In(seconds(10))));
  ASSERT_TRUE(launched_->process.Signal(SIGKILL));
  EXPECT_TRUE(Ended(seconds(1)));
  EXPECT_TRUE(guest_->exit());
  EXPECT_TRUE(guest_->Stop(StopMode::kGraceful, In(seconds(10))));
  const auto next = backend_->Create(Spec());
  ASSERT_TRUE(next);
  const auto started = (*next)->Start(In(seconds(10)));
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), Code::kUnavailable);
}

TEST_F(QemuBackendTest, CallsBeforeStartAreRefused) {
  Use("pause");
  EXPECT_EQ(guest_->Connect(6000, In(seconds(1))).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(guest_->Pause(In(seconds(1))).error().code(), Code::kFailedPrecondition);
  EXPECT_TRUE(guest_->Stop(StopMode::kKill, In(seconds(1))));
}

TEST_F(QemuBackendTest, SnapshotSaysThatItIsNotThere) {
  Use("pause");
  EXPECT_FALSE(backend_->capabilities().snapshot);
  EXPECT_EQ(guest_->Snapshot(-1, -1, In(seconds(1))).error().code(), Code::kUnimplemented);
}

TEST(OutputPump, FloodsKeepOnlyTheirTails) {
  auto console = base::MakePipe();
  auto errors = base::MakePipe();
  auto pump = OutputPump::Start(std::move(console->first), std::move(errors->first));
  ASSERT_TRUE(pump);
  const std::string line(1023, 'x');
  for (int i = 0; i < 4096; ++i) {
    ASSERT_TRUE(base::WriteAll(console->second.get(), line + "\n", In(seconds(10))));
  }
  ASSERT_TRUE(
      base::WriteAll(console->second.get(), std::string_view("the end\n"), In(seconds(10))));
  std::string tail;
  for (int i = 0; i < 500 && tail.find("the end") == std::string::npos; ++i) {
    tail = (*pump)->Tail(1000);
    std::this_thread::sleep_for(milliseconds(2));
  }
  EXPECT_THAT(tail, HasSubstr("the end"));
  EXPECT_LT(tail.size(), 2 * OutputPump::kTailBytes);
}

}  // namespace
}  // namespace nv::host::backend::qemu
