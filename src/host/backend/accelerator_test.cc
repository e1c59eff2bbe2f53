#include "host/backend/accelerator.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/backend/probe.h"

namespace nv::host::backend {
namespace {

using testing::HasSubstr;

// A tree with the files that the rule reads. A plain file stands for the device: what is decided is
// whether it opens, never what it is.
class AcceleratorTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/accelerator-" + std::to_string(::getpid());
    std::filesystem::create_directories(root_ + "/dev");
    std::filesystem::create_directories(root_ + "/proc");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void CpuFlags(const std::string& flags) {
    std::ofstream(root_ + "/proc/cpuinfo")
        << "processor\t: 0\nflags\t\t: " << flags << "\nbugs\t\t: vmx_in_another_line\n";
  }
  void Device(mode_t mode, gid_t group = 0) {
    const std::string path = root_ + "/dev/kvm";
    std::ofstream(path) << "";
    ASSERT_EQ(::chown(path.c_str(), ::geteuid(), ::geteuid() == 0 ? group : ::getegid()), 0);
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }
  KvmFacts Find(VmmUid uid = VmmUid::kCallers) const { return FindKvm(uid, root_); }

  std::string root_;
};

TEST_F(AcceleratorTest, DeviceAndCpuFlagTogetherMakeKvmUsable) {
  Device(0600);
  for (const char* flags : {"fpu vmx sse", "svm", "fpu svm"}) {
    CpuFlags(flags);
    EXPECT_TRUE(Find().usable()) << flags;
    const auto choice = ChooseAccelerator(AcceleratorRequest::kAuto, Find());
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice->accelerator, Accelerator::kKvm);
    EXPECT_EQ(ProbeKvm(Find()).state, ProbeRow::State::kOk);
  }
}

TEST_F(AcceleratorTest, DeviceWithoutCpuFlagIsDegradedAndNeverTried) {
  Device(0666);
  for (const char* flags : {"fpu sse", "", "xvmx svm_lock vmxx"}) {
    CpuFlags(flags);
    EXPECT_FALSE(Find().usable()) << flags;
    const auto choice = ChooseAccelerator(AcceleratorRequest::kAuto, Find());
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice->accelerator, Accelerator::kTcg);
    EXPECT_THAT(choice->reason, HasSubstr("neither vmx nor svm"));
    EXPECT_EQ(ProbeKvm(Find()).state, ProbeRow::State::kDegraded);
    EXPECT_FALSE(ProbeKvm(Find()).remedy.empty());
  }
}

TEST_F(AcceleratorTest, NoDeviceIsMissing) {
  CpuFlags("vmx");
  EXPECT_FALSE(Find().usable());
  EXPECT_EQ(Find().Reason(), "there is no /dev/kvm");
  EXPECT_EQ(ProbeKvm(Find()).state, ProbeRow::State::kMissing);
}

TEST_F(AcceleratorTest, UnreadableCpuinfoMeansNoFlag) {
  Device(0666);
  EXPECT_FALSE(Find().usable());
}

TEST_F(AcceleratorTest, AskedForKvmFailsWithTheReason) {
  Device(0666);
  CpuFlags("fpu");
  const auto choice = ChooseAccelerator(AcceleratorRequest::kKvm, Find());
  ASSERT_FALSE(choice);
  EXPECT_EQ(choice.error().code(), base::Code::kFailedPrecondition);
  EXPECT_THAT(choice.error().message(), HasSubstr("neither vmx nor svm"));
  EXPECT_FALSE(choice.error().remedy().empty());
  EXPECT_EQ(ChooseAccelerator(AcceleratorRequest::kTcg, Find())->accelerator, Accelerator::kTcg);
}

TEST_F(AcceleratorTest, UidsOfTheirOwnNeedADeviceOpenToAGroup) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give the device to a group";
  CpuFlags("svm");
  Device(0660, 106);
  EXPECT_TRUE(Find(VmmUid::kOwn).usable());
  Device(0666);
  EXPECT_TRUE(Find(VmmUid::kOwn).usable());
  for (mode_t mode : {mode_t{0600}, mode_t{0660}}) {  // group 0 is never given away
    Device(mode);
    EXPECT_TRUE(Find(VmmUid::kCallers).usable());
    EXPECT_FALSE(Find(VmmUid::kOwn).usable());
    EXPECT_THAT(Find(VmmUid::kOwn).Reason(), HasSubstr("no group but root's"));
    EXPECT_EQ(ProbeKvm(Find(VmmUid::kOwn)).state, ProbeRow::State::kDegraded);
    EXPECT_THAT(ProbeKvm(Find(VmmUid::kOwn)).remedy, HasSubstr("chgrp kvm"));
  }
}

TEST(AcceleratorNames, AreParsedAndOthersRefusedByName) {
  EXPECT_EQ(*ParseAccelerator("auto"), AcceleratorRequest::kAuto);
  EXPECT_EQ(*ParseAccelerator(""), AcceleratorRequest::kAuto);
  EXPECT_EQ(*ParseAccelerator("kvm"), AcceleratorRequest::kKvm);
  EXPECT_EQ(*ParseAccelerator("tcg"), AcceleratorRequest::kTcg);
  const auto other = ParseAccelerator("hvf");
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message(), HasSubstr("accepted: auto, kvm, tcg"));
}

TEST_F(AcceleratorTest, VhostVsockRowFollowsTheDevice) {
  EXPECT_EQ(ProbeVhostVsock(root_).state, ProbeRow::State::kDegraded);
  EXPECT_FALSE(ProbeVhostVsock(root_).remedy.empty());
  std::ofstream(root_ + "/dev/vhost-vsock") << "";
  EXPECT_EQ(ProbeVhostVsock(root_).state, ProbeRow::State::kOk);
}

TEST(FindQemu, TakesTheVariableOnlyWhenItIsAnExecutable) {
  const char* before = std::getenv("NEUROVISOR_QEMU");
  const std::string saved = before != nullptr ? before : "";
  ::setenv("NEUROVISOR_QEMU", "/bin/sh", 1);
  EXPECT_EQ(FindQemu().value_or(""), "/bin/sh");
  for (const char* bad : {"qemu", "/nonexistent/qemu", "\x1b[31m"}) {
    ::setenv("NEUROVISOR_QEMU", bad, 1);
    const auto found = FindQemu();
    ASSERT_FALSE(found) << bad;
    EXPECT_EQ(found.error().code(), base::Code::kNotFound);
    EXPECT_EQ(found.error().message().find('\x1b'), std::string::npos);
  }
  saved.empty() ? ::unsetenv("NEUROVISOR_QEMU") : ::setenv("NEUROVISOR_QEMU", saved.c_str(), 1);
}

TEST(QemuVersion, FailsWithTheAnswerOfAProgramThatIsNoQemu) {
  const auto version = QemuVersion("/bin/echo");
  ASSERT_FALSE(version);
  EXPECT_THAT(version.error().message(), HasSubstr("--version"));
}

}  // namespace
}  // namespace nv::host::backend
