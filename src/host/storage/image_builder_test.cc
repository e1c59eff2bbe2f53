// What a build makes, and when it makes nothing.

#include "host/storage/image_builder.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/storage/fake_recipes.h"

namespace nv::host::storage {
namespace {

namespace fs = std::filesystem;
using base::Code;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Scripts append a letter to a file when they run.
class ImageBuilderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Count("rootfs.sh",
          "mkdir -p $2; echo t > $2/root.tar; echo 'bash 5.2' > $2/packages; "
          "echo 'python 3.13.5' > $2/languages; echo 'debian trixie 13' > $2/release");
    Count("erofs.sh", "cat $1 $2 > $3");
  }
  void Count(const std::string& name, const std::string& body) {
    recipes_.Script(name, "echo x >> " + recipes_.Path("ran-" + name) + "\n" + body + "\n");
  }
  int Runs(const std::string& name) {
    std::ifstream lines(recipes_.Path("ran-" + name));
    int count = 0;
    for (std::string line; std::getline(lines, line);) ++count;
    return count;
  }
  FakeRecipes recipes_;
};

TEST_F(ImageBuilderTest, MakesReadOnlyFilesAndAManifestOfThem) {
  const std::string object = recipes_.Build(recipes_.Options());
  struct stat about {};
  for (const char* file : {"manifest.json", "vmlinux", "initrd.cpio", "rootfs.erofs"}) {
    ASSERT_EQ(::stat((object + "/" + file).c_str(), &about), 0) << file;
    EXPECT_EQ(about.st_mode & 07777U, 0444U) << file;
  }
  const auto entry = recipes_.Store().Find("mini");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->manifest.kernel.version, "6.12.0");
  EXPECT_TRUE(entry->manifest.kernel.needs_acpi);
  ASSERT_EQ(entry->manifest.languages.size(), 1U);
  EXPECT_EQ(entry->manifest.languages[0].version, "3.13.5");
  EXPECT_EQ(entry->manifest.packages[0].name, "bash");
  EXPECT_EQ(CountEntries(recipes_.Path("data/images/staging")), 0);
}

TEST_F(ImageBuilderTest, SameInputsBuildNothing) {
  const std::string first = recipes_.Build(recipes_.Options());
  const auto again = QuietBuild(recipes_.Store(), recipes_.Options());
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->unchanged);
  EXPECT_EQ(Runs("rootfs.sh"), 1);
  EXPECT_EQ(Runs("erofs.sh"), 1);
}

TEST_F(ImageBuilderTest, NewAgentIsPackedAgainWithTheCachedTree) {
  const std::string first = recipes_.Build(recipes_.Options());
  recipes_.Write("agent", "\177ELF another agent");
  const std::string second = recipes_.Build(recipes_.Options());
  EXPECT_NE(first, second);
  EXPECT_FALSE(fs::exists(first)) << "an object that no name has";
  EXPECT_EQ(Runs("rootfs.sh"), 1);
  EXPECT_EQ(Runs("erofs.sh"), 2);
}

TEST_F(ImageBuilderTest, ChangedRecipeMakesTheTreeAnewAndDropsTheOldOne) {
  static_cast<void>(recipes_.Build(recipes_.Options()));
  recipes_.Write("recipes/recipes/mini/packages", "python3\njq\n");
  static_cast<void>(recipes_.Build(recipes_.Options()));
  EXPECT_EQ(Runs("rootfs.sh"), 2);
  EXPECT_EQ(CountEntries(recipes_.Path("data/images/cache")), 2);  // one tree, one kernel
}

TEST_F(ImageBuilderTest, ForceAsksTheArchiveAgain) {
  static_cast<void>(recipes_.Build(recipes_.Options()));
  BuildOptions options = recipes_.Options();
  options.force = true;
  static_cast<void>(recipes_.Build(options));
  EXPECT_EQ(Runs("rootfs.sh"), 2);
  EXPECT_TRUE(recipes_.Store().Open("mini"));
}

TEST_F(ImageBuilderTest, DamagedImageIsBuiltAgainWithoutBeingForced) {
  const std::string object = recipes_.Build(recipes_.Options());
  fs::remove(object + "/rootfs.erofs");
  static_cast<void>(recipes_.Build(recipes_.Options()));
  EXPECT_TRUE(recipes_.Store().Open("mini"));
  EXPECT_EQ(Runs("rootfs.sh"), 1);
}

TEST_F(ImageBuilderTest, TunedKernelUnderItsOwnNameHasNoInitramfs) {
  static_cast<void>(recipes_.Build(recipes_.Options()));
  BuildOptions options = recipes_.Options();
  options.kernel = KernelFlavour::kTuned;
  options.name = "mini-tuned";
  options.preinit_path = "/nonexistent";
  static_cast<void>(recipes_.Build(options));
  const auto image = recipes_.Store().Open("mini-tuned");
  ASSERT_TRUE(image);
  EXPECT_FALSE(image->initrd.valid());
  EXPECT_FALSE(image->manifest.kernel.needs_acpi);
  EXPECT_TRUE(recipes_.Store().Open("mini"));
  EXPECT_EQ(Runs("rootfs.sh"), 1);
}

TEST_F(ImageBuilderTest, StepsAreToldInOrder) {
  std::vector<std::string> steps;
  ImageStore store = recipes_.Store();
  ASSERT_TRUE(BuildImage(store, recipes_.Options(), [&](const BuildProgress& progress) {
    if (progress.kind == BuildProgress::Kind::kStep) steps.push_back(progress.text);
  }));
  EXPECT_THAT(steps, ElementsAre("root tree", "kernel", "initramfs",
                                 "root file system with the agent", "digests and manifest"));
}

TEST_F(ImageBuilderTest, UnknownRecipeNamesTheKnownOnes) {
  BuildOptions options = recipes_.Options();
  for (const char* recipe : {"huge", "../mini", "", "."}) {
    options.recipe = recipe;
    const auto built = QuietBuild(recipes_.Store(), options);
    ASSERT_FALSE(built) << recipe;
    EXPECT_EQ(built.error().code(), Code::kInvalidArgument);
    EXPECT_THAT(built.error().message(), HasSubstr("accepted: mini"));
  }
  EXPECT_FALSE(fs::exists(recipes_.Path("data"))) << "nothing is made for a usage error";
}

TEST_F(ImageBuilderTest, BadNameIsRefused) {
  BuildOptions options = recipes_.Options();
  options.name = "../x";
  EXPECT_EQ(QuietBuild(recipes_.Store(), options).error().code(), Code::kInvalidArgument);
}

TEST_F(ImageBuilderTest, AgentMustBeThereAndStatic) {
  BuildOptions options = recipes_.Options();
  options.agent_path = "/nonexistent/guest_agent";
  auto built = QuietBuild(recipes_.Store(), options);
  EXPECT_EQ(built.error().code(), Code::kNotFound);
  EXPECT_THAT(built.error().remedy(), HasSubstr("guest_agent"));
  options.agent_path = recipes_.Path("recipes/rootfs.sh");
  EXPECT_EQ(QuietBuild(recipes_.Store(), options).error().code(), Code::kInvalidArgument);
  options.agent_path = "/proc/self/exe";  // this test links shared libraries
  EXPECT_EQ(QuietBuild(recipes_.Store(), options).error().code(), Code::kFailedPrecondition);
}

TEST_F(ImageBuilderTest, EveryMissingToolIsNamedWithOneRemedy) {
  recipes_.Write("recipes/tools",
                 "nv-no-such-a pkg-a always\nbash bash always\nnv-no-such-b pkg-b debian\n"
                 "nv-no-such-c pkg-c tuned\n");
  const auto built = QuietBuild(recipes_.Store(), recipes_.Options());
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(built.error().message(), HasSubstr("nv-no-such-a, nv-no-such-b"));
  EXPECT_EQ(built.error().remedy(), "apt-get install pkg-a pkg-b");
}

TEST_F(ImageBuilderTest, TooLittleSpaceSaysNeededAndFound) {
  recipes_.Write("recipes/recipes/mini/space", "image 999999999\n");
  const auto built = QuietBuild(recipes_.Store(), recipes_.Options());
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().code(), Code::kResourceExhausted);
  EXPECT_THAT(built.error().message(), HasSubstr("999999999 MiB needed"));
}

}  // namespace
}  // namespace nv::host::storage
