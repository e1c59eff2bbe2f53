// Probes against fake trees and the two forms of the report.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "host/engine/doctor/kernel_facts.h"
#include "host/engine/doctor/report.h"
#include "host/engine/doctor/room_facts.h"

namespace nv::host::engine {
namespace {

using backend::ProbeRow;
using State = backend::ProbeRow::State;
using testing::HasSubstr;
using testing::Not;

// A directory that stands for / and goes with the test.
class FakeRoot {
 public:
  FakeRoot() {
    std::string pattern = (std::filesystem::temp_directory_path() / "nv-doctor-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~FakeRoot() { std::filesystem::remove_all(path_); }
  FakeRoot(const FakeRoot&) = delete;
  FakeRoot& operator=(const FakeRoot&) = delete;

  void Write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = path_ + "/" + name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(ProbeCgroups, UnifiedHierarchyWithAllControllersIsOk) {
  const FakeRoot root;
  root.Write("proc/mounts", "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
  root.Write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
  const ProbeRow row = ProbeCgroups(root.path());
  EXPECT_EQ(row.state, State::kOk);
  EXPECT_THAT(row.reason, HasSubstr("cpuset, cpu, io, memory"));
  EXPECT_EQ(row.remedy, "");
}

TEST(ProbeCgroups, HybridHierarchyNamesWhatIsLacking) {
  const FakeRoot root;
  root.Write("proc/mounts",
             "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
             "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n");
  root.Write("sys/fs/cgroup/unified/cgroup.controllers", "hugetlb io\n");
  const ProbeRow row = ProbeCgroups(root.path());
  EXPECT_EQ(row.state, State::kDegraded);
  EXPECT_THAT(row.reason, HasSubstr("without cpu, memory, pids"));
  EXPECT_THAT(row.reason, HasSubstr("version 1 holds"));
  EXPECT_THAT(row.remedy, HasSubstr("unified_cgroup_hierarchy=1"));
}

TEST(ProbeCgroups, VersionOneAloneIsDegradedAndNoneIsMissing) {
  const FakeRoot root;
  root.Write("proc/mounts", "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n");
  EXPECT_EQ(ProbeCgroups(root.path()).state, State::kDegraded);
  root.Write("proc/mounts", "proc /proc proc rw 0 0\nshort line\n\n");
  EXPECT_EQ(ProbeCgroups(root.path()).state, State::kMissing);
  EXPECT_EQ(ProbeCgroups("/nonexistent").state, State::kMissing);
}

TEST(ProbeSecurityModules, ListIsShownAndBpfIsWanted) {
  const FakeRoot root;
  root.Write("sys/kernel/security/lsm", "lockdown,capability,landlock,yama,apparmor,bpf");
  EXPECT_EQ(ProbeSecurityModules(root.path()).state, State::kOk);
  EXPECT_THAT(ProbeSecurityModules(root.path()).reason, HasSubstr("landlock, yama"));
  root.Write("sys/kernel/security/lsm", "capability,yama\n");
  EXPECT_EQ(ProbeSecurityModules(root.path()).state, State::kDegraded);
  EXPECT_THAT(ProbeSecurityModules(root.path()).reason, HasSubstr("no bpf"));
}

TEST(ProbeSecurityModules, UnmountedSecurityfsIsDegradedWithRemedy) {
  const ProbeRow row = ProbeSecurityModules("/nonexistent");
  EXPECT_EQ(row.state, State::kDegraded);
  EXPECT_THAT(row.remedy, HasSubstr("mount -t securityfs"));
}

TEST(ProbeLandlock, TellsAbiAbsenceAndSwitchedOffApart) {
  EXPECT_EQ(ProbeLandlock(2).state, State::kOk);
  EXPECT_EQ(ProbeLandlock(2).reason, "ABI 2");
  EXPECT_EQ(ProbeLandlock(-ENOSYS).state, State::kMissing);
  EXPECT_THAT(ProbeLandlock(-ENOSYS).remedy, HasSubstr("5.13"));
  EXPECT_THAT(ProbeLandlock(-EOPNOTSUPP).remedy, HasSubstr("lsm=landlock"));
}

TEST(ProbeLandlock, KernelAnswersWithAnAbiOrAnError) { EXPECT_NE(LandlockAbi(), 0); }

TEST(ProbeUserNamespaces, EachSwitchThatForbidsThemIsNamed) {
  const FakeRoot root;
  root.Write("proc/sys/user/max_user_namespaces", "1000\n");
  EXPECT_EQ(ProbeUserNamespaces(root.path(), 1000).state, State::kOk);
  root.Write("proc/sys/kernel/unprivileged_userns_clone", "0\n");
  EXPECT_THAT(ProbeUserNamespaces(root.path(), 1000).remedy, HasSubstr("userns_clone=1"));
  root.Write("proc/sys/user/max_user_namespaces", "0\n");
  EXPECT_THAT(ProbeUserNamespaces(root.path(), 1000).reason, HasSubstr("cannot build images"));
  EXPECT_THAT(ProbeUserNamespaces(root.path(), 0).reason, HasSubstr("root builds images"));
  EXPECT_EQ(ProbeUserNamespaces("/nonexistent", 1000).state, State::kDegraded);
}

TEST(ProbePrivileges, OrdinaryUserIsToldWhatIsLacking) {
  EXPECT_EQ(ProbePrivileges(0).state, State::kOk);
  EXPECT_EQ(ProbePrivileges(1000).state, State::kDegraded);
  EXPECT_THAT(ProbePrivileges(1000).reason, HasSubstr("uid 1000"));
}

TEST(ProbeVsockDevice, FollowsTheDeviceNode) {
  const FakeRoot root;
  EXPECT_EQ(ProbeVsockDevice(root.path()).state, State::kDegraded);
  root.Write("dev/vsock", "");
  EXPECT_EQ(ProbeVsockDevice(root.path()).state, State::kOk);
}

TEST(ProbeDisk, DirectoryThatDoesNotExistYetIsMeasuredAtItsParent) {
  const FakeRoot root;
  const ProbeRow row = ProbeDisk(root.path() + "/not/yet/there");
  EXPECT_NE(row.state, State::kMissing);
  EXPECT_THAT(row.reason, HasSubstr("free for " + root.path() + "/not/yet/there"));
  EXPECT_NE(ProbeDisk("relative").state, State::kMissing);
}

TEST(ProbeMemory, StateFollowsMemAvailable) {
  const FakeRoot root;
  const auto state_with = [&root](const std::string& kibibytes) {
    root.Write("proc/meminfo", "MemTotal: 9999999 kB\nMemAvailable:   " + kibibytes + " kB\n");
    return ProbeMemory(root.path()).state;
  };
  EXPECT_EQ(state_with("8000000"), State::kOk);
  EXPECT_EQ(state_with("500000"), State::kDegraded);
  EXPECT_EQ(state_with("100000"), State::kMissing);
  EXPECT_EQ(state_with("garbage"), State::kDegraded);
  EXPECT_EQ(ProbeMemory("/nonexistent").state, State::kDegraded);
}

TEST(ProbePort, TakenPortIsDegradedFreePortIsOk) {
  base::UniqueFd holder(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(holder.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(holder.get(), 1), 0);
  ASSERT_EQ(::getsockname(holder.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::uint16_t port = ntohs(address.sin_port);

  const ProbeRow taken = ProbePort("port-grpc", port, "--grpc");
  EXPECT_EQ(taken.state, State::kDegraded);
  EXPECT_THAT(taken.remedy, HasSubstr("--grpc"));
  holder.Reset();
  EXPECT_EQ(ProbePort("port-grpc", port, "--grpc").state, State::kOk);
}

std::vector<ProbeRow> SomeRows() {
  return {{"qemu", State::kOk, "QEMU 7.2", ""},
          {"image", State::kMissing, "no image", "neurovisor image build mini"},
          {"kvm", State::kDegraded, "no vmx", ""}};
}

TEST(Report, RunNeedsQemuAndImageAndNothingElse) {
  std::vector<ProbeRow> rows = SomeRows();
  EXPECT_FALSE(CanRun(rows));
  rows[1].state = State::kDegraded;
  rows[2].state = State::kMissing;
  EXPECT_TRUE(CanRun(rows));
  EXPECT_FALSE(CanRun({}));
}

TEST(Report, TableIsAlignedAndPlainWithoutColours) {
  const std::string table = RenderTable(SomeRows(), Colours::kOff);
  EXPECT_THAT(table, HasSubstr("qemu   ok        QEMU 7.2\n"));
  EXPECT_THAT(table, HasSubstr("image  missing   no image\n"
                               "                 remedy: neurovisor image build mini\n"));
  EXPECT_THAT(table, HasSubstr("kvm    degraded  no vmx\n"));
  EXPECT_THAT(table, Not(HasSubstr("\x1b")));
  EXPECT_THAT(RenderTable(SomeRows(), Colours::kOn), HasSubstr("\x1b[31mmissing \x1b[0m"));
}

TEST(Report, JsonHasEveryRowAndSurvivesForeignBytes) {
  std::vector<ProbeRow> rows = SomeRows();
  rows[2].reason = "bytes \xff\xfe";
  const std::string json = RenderJson(rows);
  EXPECT_THAT(json, HasSubstr("\"ok\": false"));
  EXPECT_THAT(json, HasSubstr("\"state\": \"degraded\""));
  EXPECT_THAT(json, HasSubstr("\"remedy\": \"neurovisor image build mini\""));
  EXPECT_THAT(json, HasSubstr("\xEF\xBF\xBD"));
}

}  // namespace
}  // namespace nv::host::engine
