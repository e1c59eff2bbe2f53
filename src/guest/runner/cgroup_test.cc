// Cgroup on a tree of plain files: what is written where, what is read, what is declared lacking.

#include "guest/runner/cgroup.h"

#include <stdlib.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/io.h"

namespace nv::guest::runner {
namespace {

class CgroupFiles : public testing::Test {
 protected:
  CgroupFiles() {
    EXPECT_NE(mkdtemp(root_.data()), nullptr);
    Put("cgroup.controllers", "cpu memory pids\n");
    Put("cgroup.subtree_control", "");
  }
  ~CgroupFiles() override { std::filesystem::remove_all(root_); }

  void Put(const std::string& name, std::string_view text) {
    ASSERT_TRUE(base::WriteFileAtomically(root_ + "/" + name, text));
  }
  std::string Get(const std::string& name) {
    return base::ReadFile(root_ + "/" + name, 4096).value_or("absent");
  }

  std::string root_ = testing::TempDir() + "/cgroup-XXXXXX";
};

TEST_F(CgroupFiles, ControllersThatAreNotOfferedAreDeclaredLacking) {
  Put("cgroup.controllers", "cpu io\n");
  const auto tree = CgroupTree::Open(root_);
  ASSERT_TRUE(tree);
  EXPECT_THAT((*tree)->lacks(), testing::ElementsAre("cgroup_memory", "cgroup_pids"));
}

TEST_F(CgroupFiles, NoTreeMakesNoGroupAndLacksAll) {
  const auto tree = CgroupTree::None();
  EXPECT_EQ(tree->Make("run-1", {}).value(), nullptr);
  EXPECT_EQ(tree->lacks().size(), 4U);
  EXPECT_FALSE(CgroupTree::Open(root_ + "/absent"));
}

TEST_F(CgroupFiles, OomKillsAndCpuTimeAreReadFromTheGroup) {
  const auto tree = CgroupTree::Open(root_);
  ASSERT_TRUE(tree);
  const auto group = (*tree)->Make("run-1", {.memory_bytes = 1000, .max_processes = 5});
  ASSERT_TRUE(group);
  EXPECT_EQ((*group)->OomKills(), 0U);  // no file: unknown
  Put("run-1/memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\n");
  Put("run-1/cpu.stat", "usage_usec 1234\nuser_usec 1000\n");
  EXPECT_EQ((*group)->OomKills(), 2U);
  EXPECT_EQ((*group)->CpuMicroseconds(), 1234U);
  Put("run-1/memory.events", "oom_kill many\n");
  EXPECT_EQ((*group)->OomKills(), 0U);
}

TEST_F(CgroupFiles, GroupOfATakenNameIsAnError) {
  const auto tree = CgroupTree::Open(root_);
  ASSERT_TRUE(tree);
  const auto group = (*tree)->Make("run-1", {});
  ASSERT_TRUE(group);
  EXPECT_EQ((*tree)->Make("run-1", {}).error().code(), base::Code::kAlreadyExists);
}

}  // namespace
}  // namespace nv::guest::runner
