#include "host/storage/remove_tree.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace nv::host::storage {
namespace {

namespace fs = std::filesystem;

class RemoveTreeTest : public ::testing::Test {
 protected:
  RemoveTreeTest() {
    std::string path = (fs::temp_directory_path() / "nv-remove.XXXXXX").string();
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    root_ = path;
  }
  ~RemoveTreeTest() override { fs::remove_all(root_); }
  fs::path root_;
};

TEST_F(RemoveTreeTest, RemovesWhatIsInsideAndNotWhatLinksPointTo) {
  fs::create_directories(root_ / "tree/a/b");
  fs::create_directories(root_ / "outside");
  std::ofstream(root_ / "outside/kept") << "x";
  std::ofstream(root_ / "tree/a/file") << "x";
  fs::create_directory_symlink(root_ / "outside", root_ / "tree/a/link");
  fs::permissions(root_ / "tree/a/b", fs::perms::none);
  EXPECT_TRUE(RemoveTree((root_ / "tree").string()));
  EXPECT_FALSE(fs::exists(root_ / "tree"));
  EXPECT_TRUE(fs::exists(root_ / "outside/kept"));
}

TEST_F(RemoveTreeTest, NothingThereIsSuccess) {
  EXPECT_TRUE(RemoveTree((root_ / "absent").string()));
}

TEST_F(RemoveTreeTest, LinkItselfIsRemoved) {
  fs::create_directories(root_ / "outside");
  fs::create_directory_symlink(root_ / "outside", root_ / "link");
  EXPECT_TRUE(RemoveTree((root_ / "link").string()));
  EXPECT_FALSE(fs::is_symlink(root_ / "link"));
  EXPECT_TRUE(fs::exists(root_ / "outside"));
}

TEST_F(RemoveTreeTest, DoesNotEnterAMount) {
  fs::create_directories(root_ / "tree/mounted");
  const std::string mounted = (root_ / "tree/mounted").string();
  if (::mount("nv-test", mounted.c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "cannot mount a tmpfs here (needs CAP_SYS_ADMIN)";
  }
  std::ofstream(mounted + "/kept") << "x";
  const auto removed = RemoveTree((root_ / "tree").string());
  const bool kept = fs::exists(mounted + "/kept");
  ::umount(mounted.c_str());
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code(), base::Code::kFailedPrecondition);
  EXPECT_TRUE(kept);
}

}  // namespace
}  // namespace nv::host::storage
