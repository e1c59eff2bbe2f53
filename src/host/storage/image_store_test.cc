#include "host/storage/image_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sha256.h"
#include "base/version.h"
#include "host/storage/build_lock.h"
#include "host/storage/fake_recipes.h"

namespace nv::host::storage {
namespace {

namespace fs = std::filesystem;
using base::Code;
using ::testing::HasSubstr;

std::string Slurp(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

class ImageStoreTest : public ::testing::Test {
 protected:
  void SetUp() override { object_ = recipes_.Build(recipes_.Options()); }
  // What Open("mini") fails with.
  base::Error OpenError() {
    auto opened = recipes_.Store().Open("mini");
    EXPECT_FALSE(opened);
    return opened ? base::Error(Code::kUnknown, "it opened") : opened.error();
  }
  void Flip(const std::string& file, std::size_t at) const {
    std::string bytes = Slurp(object_ + "/" + file);
    bytes.at(at) = static_cast<char>(bytes.at(at) ^ 1);
    Overwrite(file, bytes);
  }
  void Overwrite(const std::string& file, const std::string& bytes) const {
    ASSERT_EQ(::chmod((object_ + "/" + file).c_str(), 0644), 0);
    std::ofstream(object_ + "/" + file, std::ios::binary | std::ios::trunc) << bytes;
  }

  FakeRecipes recipes_;
  std::string object_;
};

TEST_F(ImageStoreTest, OpensWhatWasBuilt) {
  const auto image = recipes_.Store().Open("");
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_TRUE(image->kernel.valid());
  EXPECT_TRUE(image->initrd.valid());
  EXPECT_TRUE(image->rootfs.valid());
  EXPECT_EQ(image->manifest.release.codename, "trixie");
  EXPECT_EQ(object_.substr(object_.size() - image->digest.size()), image->digest);
}

TEST_F(ImageStoreTest, EveryFlippedByteOfEveryFileIsFoundAndNamed) {
  for (const char* file : {"vmlinux", "initrd.cpio", "rootfs.erofs", "manifest.json"}) {
    const std::string good = Slurp(object_ + "/" + file);
    for (std::size_t at = 0; at < good.size(); ++at) {
      ASSERT_TRUE(recipes_.Store().Open("mini"));  // stamps, when they may be, are there
      Flip(file, at);
      const base::Error error = OpenError();
      ASSERT_EQ(error.code(), Code::kDataLoss) << file << " byte " << at;
      EXPECT_THAT(error.message(), HasSubstr(file));
      EXPECT_THAT(error.message(), HasSubstr("expected"));
      EXPECT_THAT(error.message(), HasSubstr("found"));
      EXPECT_EQ(error.remedy(), "neurovisor image build mini --force");
      Overwrite(file, good);
    }
  }
}

TEST_F(ImageStoreTest, StampSparesReadingAndAnyChangeOfTheFileVoidsIt) {
  // A stamp of the test's own, so that no time has to pass: it says that the damaged file is right.
  Flip("rootfs.erofs", 0);
  struct stat about {};
  ASSERT_EQ(::stat((object_ + "/rootfs.erofs").c_str(), &about), 0);
  const auto nanoseconds = [](const struct timespec& time) {
    return std::to_string(time.tv_sec * 1'000'000'000 + time.tv_nsec);
  };
  std::ostringstream stamp;
  stamp << "rootfs.erofs " << about.st_dev << ' ' << about.st_ino << ' ' << about.st_size << ' '
        << nanoseconds(about.st_mtim) << ' ' << nanoseconds(about.st_ctim) << '\n';
  const std::string digest = fs::path(object_).filename().string();
  recipes_.Write("data/images/verified/" + digest, stamp.str());
  EXPECT_TRUE(recipes_.Store().Open("mini")) << "the stamp was not believed";
  // Another inode with the same bytes, size and times: read again, and found.
  fs::copy_file(object_ + "/rootfs.erofs", object_ + "/copy");
  struct timespec times[2] = {about.st_atim, about.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, (object_ + "/copy").c_str(), times, 0), 0);
  fs::rename(object_ + "/copy", object_ + "/rootfs.erofs");
  EXPECT_EQ(OpenError().code(), Code::kDataLoss);
}

TEST_F(ImageStoreTest, GarbageInAStampIsNoStamp) {
  const std::string digest = fs::path(object_).filename().string();
  recipes_.Write("data/images/verified/" + digest, std::string("\xff\0rootfs.erofs\n\n x", 18));
  EXPECT_TRUE(recipes_.Store().Open("mini"));
}

TEST_F(ImageStoreTest, MissingFileIsNamed) {
  fs::remove(object_ + "/initrd.cpio");
  EXPECT_THAT(OpenError().message(), HasSubstr("initrd.cpio' is missing"));
}

TEST_F(ImageStoreTest, ShorterFileSaysSizes) {
  Overwrite("rootfs.erofs", "short");
  EXPECT_THAT(OpenError().message(), HasSubstr("found 5"));
}

TEST_F(ImageStoreTest, LinkOrFifoInAFilesPlaceIsRefused) {
  fs::remove(object_ + "/vmlinux");
  fs::create_symlink("/dev/zero", object_ + "/vmlinux");
  EXPECT_FALSE(recipes_.Store().Open("mini"));
  fs::remove(object_ + "/vmlinux");
  ASSERT_EQ(::mkfifo((object_ + "/vmlinux").c_str(), 0644), 0);
  EXPECT_THAT(OpenError().message(), HasSubstr("no regular file"));
}

TEST_F(ImageStoreTest, ObjectThatIsGoneSaysHowToRebuild) {
  fs::remove_all(object_);
  const base::Error error = OpenError();
  EXPECT_EQ(error.code(), Code::kDataLoss);
  EXPECT_EQ(error.remedy(), "neurovisor image build mini --force");
}

TEST_F(ImageStoreTest, GarbageInANameIsDataLossAndCanBeRemoved) {
  for (const std::string& text :
       {std::string(), std::string("sha256-12\n"), std::string("../../etc\n"),
        std::string(4096, 'a'), std::string(71, '\0')}) {
    recipes_.Write("data/images/names/mini", text);
    EXPECT_EQ(OpenError().code(), Code::kDataLoss);
  }
  const auto list = recipes_.Store().List();
  ASSERT_TRUE(list);
  ASSERT_EQ(list->size(), 1U);
  EXPECT_THAT((*list)[0].problem, HasSubstr("names/mini"));
  EXPECT_TRUE(recipes_.Store().Remove("mini"));
  EXPECT_EQ(recipes_.Store().Open("mini").error().code(), Code::kNotFound);
}

TEST_F(ImageStoreTest, ImageOfAnotherAgentSaysBothVersionsAndTheRemedy) {
  // A manifest that is sound but for its agent: named by its own digest.
  auto manifest = ParseManifest(Slurp(object_ + "/manifest.json"));
  ASSERT_TRUE(manifest);
  manifest->agent.version = "0.0.9";
  const std::string text = ToJson(*manifest);
  const std::string digest = "sha256-" + base::Hex(base::Sha256Of(text));
  fs::rename(object_, fs::path(object_).parent_path() / digest);
  recipes_.Write("data/images/objects/" + digest + "/manifest.json.new", text);
  object_ = recipes_.Path("data/images/objects/" + digest);
  fs::rename(object_ + "/manifest.json.new", object_ + "/manifest.json");
  recipes_.Write("data/images/names/mini", digest + "\n");
  const base::Error error = OpenError();
  EXPECT_EQ(error.code(), Code::kFailedPrecondition);
  EXPECT_THAT(error.message(), HasSubstr("0.0.9"));
  EXPECT_THAT(error.message(), HasSubstr(base::kVersion));
  EXPECT_EQ(error.remedy(), "neurovisor image build mini");
}

TEST_F(ImageStoreTest, RemoveKeepsAnObjectThatAnotherNameHas) {
  fs::copy_file(recipes_.Path("data/images/names/mini"), recipes_.Path("data/images/names/other"));
  EXPECT_TRUE(recipes_.Store().Remove("mini"));
  EXPECT_TRUE(recipes_.Store().Open("other"));
  EXPECT_TRUE(recipes_.Store().Remove("other"));
  EXPECT_EQ(CountEntries(recipes_.Path("data/images/objects")), 0);
  EXPECT_EQ(CountEntries(recipes_.Path("data/images/verified")), 0);
  EXPECT_EQ(recipes_.Store().Remove("other").error().code(), Code::kNotFound);
}

TEST_F(ImageStoreTest, RemoveWaitsForNoBuilder) {
  const auto lock = BuildLock::Take(recipes_.Store().directory());
  ASSERT_TRUE(lock);
  const auto removed = recipes_.Store().Remove("mini");
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code(), Code::kAlreadyExists);
}

TEST_F(ImageStoreTest, FindsByDigestAndRefusesOddNames) {
  const std::string digest = fs::path(object_).filename().string();
  EXPECT_TRUE(recipes_.Store().Find(digest));
  EXPECT_EQ(recipes_.Store().Find("sha256-" + std::string(64, '0')).error().code(),
            Code::kNotFound);
  for (const char* name : {"../mini", "a/b", "Mini", "-x", " ", "mini.tmp-1"}) {
    EXPECT_EQ(recipes_.Store().Open(name).error().code(), Code::kInvalidArgument) << name;
  }
  EXPECT_FALSE(recipes_.Store().Remove(digest));
}

TEST(ImageStore, EmptyStoreListsNothingAndSaysHowToBuild) {
  const ImageStore store("/nonexistent/images");
  EXPECT_TRUE(store.List());
  EXPECT_EQ(store.Open("").error().code(), Code::kNotFound);
  EXPECT_EQ(store.Open("").error().remedy(), "neurovisor image build mini");
  EXPECT_EQ(store.Open("data").error().code(), Code::kNotFound);
}

TEST(ImageName, AcceptsWhatTheContractSays) {
  EXPECT_TRUE(IsImageName("mini"));
  EXPECT_TRUE(IsImageName("0.9_a-b"));
  EXPECT_TRUE(IsImageName(std::string(64, 'a')));
  EXPECT_FALSE(IsImageName(std::string(65, 'a')));
  EXPECT_FALSE(IsImageName(""));
  EXPECT_FALSE(IsImageName("."));
}

}  // namespace
}  // namespace nv::host::storage
