// Builds that fail, are stopped, or are killed: what they say, and what they leave.

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/io.h"
#include "base/text.h"
#include "host/storage/build_lock.h"
#include "host/storage/fake_recipes.h"
#include "host/storage/image_builder.h"

namespace nv::host::storage {
namespace {

namespace fs = std::filesystem;
using base::Code;
using ::testing::HasSubstr;

constexpr std::chrono::seconds kPatience{20};

class BuildFaultTest : public ::testing::Test {
 protected:
  // A script that tells it runs by writing its pid into a FIFO, then stays.
  void HangIn(const std::string& script) {
    ASSERT_EQ(::mkfifo(recipes_.Path("started").c_str(), 0600), 0);
    recipes_.Script(
        script, "bash -c 'echo $$ > " + recipes_.Path("started") + "; exec sleep 1000' & wait\n");
  }
  pid_t WaitUntilItRuns() {
    std::ifstream started(recipes_.Path("started"));
    pid_t pid = -1;
    started >> pid;
    return pid;
  }
  static bool Ends(pid_t pid) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < end) {
      const auto stat = base::ReadFile("/proc/" + std::to_string(pid) + "/stat", 4096);
      if (!stat || stat->contains(") Z ")) return true;
      std::this_thread::yield();
    }
    return false;
  }
  FakeRecipes recipes_;
};

TEST_F(BuildFaultTest, FailedStepSaysCommandLastLinesAndRemedy) {
  recipes_.Script("kernel/debian.sh",
                  "echo 'working \x1b[31m'; echo 'error: no mirror answered' >&2\n"
                  "echo 'remedy: check the network' >&2; exit 3\n");
  const auto built = QuietBuild(recipes_.Store(), recipes_.Options());
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().code(), Code::kUnavailable);
  EXPECT_THAT(built.error().message(), HasSubstr("'kernel': no mirror answered"));
  EXPECT_EQ(built.error().remedy(), "check the network");
  EXPECT_THAT(built.error().details(), HasSubstr("kernel/debian.sh"));
  EXPECT_THAT(built.error().details(), HasSubstr("exit status 3"));
  EXPECT_THAT(built.error().details(), HasSubstr("working \\x1b[31m"));
  EXPECT_EQ(recipes_.Store().Open("mini").error().code(), Code::kNotFound);
}

TEST_F(BuildFaultTest, FailedBuildKeepsItsLogAndTheNextOneSweepsIt) {
  recipes_.Script("erofs.sh", "echo oops; exit 1\n");
  EXPECT_FALSE(QuietBuild(recipes_.Store(), recipes_.Options()));
  const std::string staging = recipes_.Path("data/images/staging");
  EXPECT_EQ(CountEntries(staging), 1);
  const fs::path work = fs::directory_iterator(staging)->path();
  EXPECT_TRUE(fs::exists(work / "erofs.log"));
  EXPECT_FALSE(fs::exists(work / "object"));
  recipes_.Script("erofs.sh", "cat $1 $2 > $3\n");
  static_cast<void>(recipes_.Build(recipes_.Options()));
  EXPECT_EQ(CountEntries(staging), 0);
}

TEST_F(BuildFaultTest, FailedRebuildLeavesTheOldImageUsable) {
  static_cast<void>(recipes_.Build(recipes_.Options()));
  recipes_.Script("erofs.sh", "exit 1\n");
  EXPECT_FALSE(QuietBuild(recipes_.Store(), recipes_.Options()));
  EXPECT_TRUE(recipes_.Store().Open("mini"));
}

TEST_F(BuildFaultTest, ScriptKilledByASignalIsSaid) {
  recipes_.Script("erofs.sh", "kill -KILL $$\n");
  const auto built = QuietBuild(recipes_.Store(), recipes_.Options());
  EXPECT_THAT(built.error().message(), HasSubstr("exit status 137"));
}

TEST_F(BuildFaultTest, RecipeThatForgetsAFileIsAnError) {
  recipes_.Script("rootfs.sh", "mkdir -p $2; echo t > $2/root.tar\n");
  const auto built = QuietBuild(recipes_.Store(), recipes_.Options());
  ASSERT_FALSE(built);
  EXPECT_THAT(built.error().message(), HasSubstr("release"));
}

TEST_F(BuildFaultTest, CancelStopsTheToolsAndLeavesNothing) {
  HangIn("rootfs.sh");
  auto pipe = base::MakePipe();
  ASSERT_TRUE(pipe);
  BuildOptions options = recipes_.Options();
  options.cancel_fd = pipe->first.get();
  pid_t tool = -1;
  std::jthread canceller([&] {
    tool = WaitUntilItRuns();
    static_cast<void>(base::WriteAll(pipe->second.get(), "x"));
  });
  const auto built = QuietBuild(recipes_.Store(), options);
  canceller.join();
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().code(), Code::kCancelled);
  EXPECT_TRUE(Ends(tool));
  EXPECT_EQ(CountEntries(recipes_.Path("data/images/staging")), 0);
  EXPECT_EQ(CountEntries(recipes_.Path("data/images/cache")), 0);
}

TEST_F(BuildFaultTest, SecondBuilderIsToldTheFirstOnesPid) {
  const ImageStore store = recipes_.Store();
  ASSERT_TRUE(store.Prepare());
  const auto lock = BuildLock::Take(store.directory());
  ASSERT_TRUE(lock);
  const auto built = QuietBuild(recipes_.Store(), recipes_.Options());
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().code(), Code::kAlreadyExists);
  EXPECT_THAT(built.error().message(), HasSubstr("process " + std::to_string(::getpid())));
}

// The builder is killed (SIGKILL) while each of its scripts runs.
class KilledBuildTest : public BuildFaultTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(KilledBuildTest, LeavesNothingThatLooksFinishedAndNoProcess) {
  const std::string script = GetParam();
  const std::string body = [&] {
    std::ifstream file(recipes_.Path("recipes/" + script));
    return std::string(std::istreambuf_iterator<char>(file), {});
  }();
  HangIn(script);
  const pid_t builder = ::fork();
  ASSERT_GE(builder, 0);
  if (builder == 0) {
    static_cast<void>(QuietBuild(recipes_.Store(), recipes_.Options()));
    ::_exit(0);
  }
  const pid_t tool = WaitUntilItRuns();
  ASSERT_GT(tool, 0);
  ASSERT_EQ(::kill(builder, SIGKILL), 0);
  ASSERT_EQ(::waitpid(builder, nullptr, 0), builder);
  EXPECT_TRUE(Ends(tool)) << "a tool outlived its builder";

  EXPECT_EQ(recipes_.Store().Open("mini").error().code(), Code::kNotFound);
  EXPECT_EQ(CountEntries(recipes_.Path("data/images/objects")), 0);
  EXPECT_EQ(recipes_.Store().List()->size(), 0U);
  recipes_.Write("recipes/" + script, body);
  static_cast<void>(recipes_.Build(recipes_.Options()));
  EXPECT_EQ(CountEntries(recipes_.Path("data/images/staging")), 0);
  EXPECT_TRUE(recipes_.Store().Open("mini"));
}

INSTANTIATE_TEST_SUITE_P(EachScript, KilledBuildTest,
                         ::testing::Values("rootfs.sh", "kernel/debian.sh", "initramfs.sh",
                                           "erofs.sh"));

TEST_F(BuildFaultTest, FullDiskIsSaidAsSuch) {
  fs::create_directories(recipes_.Path("data"));
  const std::string data = recipes_.Path("data");
  if (::mount("nv-test", data.c_str(), "tmpfs", 0, "size=4m") != 0) {
    GTEST_SKIP() << "cannot mount a tmpfs here (needs CAP_SYS_ADMIN)";
  }
  recipes_.Script("erofs.sh", "dd if=/dev/zero of=$3 bs=1M count=8 2>&1\n");
  const auto built = QuietBuild(recipes_.Store(), recipes_.Options());
  const auto opened = recipes_.Store().Open("mini");
  ::umount2(data.c_str(), MNT_DETACH);
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().code(), Code::kResourceExhausted);
  EXPECT_THAT(built.error().message(), HasSubstr("full"));
  EXPECT_THAT(built.error().remedy(), HasSubstr("NEUROVISOR_DATA_DIR"));
  EXPECT_EQ(opened.error().code(), Code::kNotFound);
}

TEST_F(BuildFaultTest, StoreThatCannotBeMadeIsNamed) {
  recipes_.Write("data", "a file in the directory's place");
  const auto built = QuietBuild(recipes_.Store(), recipes_.Options());
  ASSERT_FALSE(built);
  EXPECT_THAT(built.error().message(), HasSubstr(recipes_.Path("data")));
}

}  // namespace
}  // namespace nv::host::storage
