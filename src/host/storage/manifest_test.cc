#include "host/storage/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nv::host::storage {
namespace {

using ::testing::HasSubstr;

Manifest Example() {
  Manifest manifest;
  manifest.name = "mini";
  manifest.created = "2026-01-02T03:04:05Z";
  manifest.inputs = std::string(64, 'a');
  manifest.agent.version = "0.1.0";
  manifest.agent.protocol = 1;
  manifest.agent.sha256 = std::string(64, 'b');
  manifest.kernel.flavour = "debian";
  manifest.kernel.version = "6.12.1";
  manifest.kernel.package = "linux-image=6.12.1-1";
  manifest.release.id = "debian";
  manifest.languages = {{"python", "3.13.5"}, {"bash", "5.2.37"}};
  manifest.packages = {{"bash", "5.2.37-2+b10"}};
  manifest.files = {{"vmlinux", 57575096, std::string(64, '1')},
                    {"rootfs.erofs", 4096, std::string(64, '2')}};
  return manifest;
}

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Manifest, WrittenAndReadAgainIsTheSame) {
  const std::string text = ToJson(Example());
  const auto read = ParseManifest(text);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(ToJson(*read), text);
  EXPECT_EQ(read->Find("rootfs.erofs")->size_bytes, 4096U);
  EXPECT_EQ(read->Find("initrd.cpio"), nullptr);
  EXPECT_TRUE(text.ends_with("}\n"));
}

TEST(Manifest, EveryCutOffManifestIsDataLoss) {
  const std::string text = ToJson(Example());
  for (std::size_t length = 0; length + 2 < text.size(); length += 7) {
    const auto read = ParseManifest(text.substr(0, length));
    ASSERT_FALSE(read) << length;
    EXPECT_EQ(read.error().code(), base::Code::kDataLoss);
  }
}

TEST(Manifest, GarbageIsDataLoss) {
  for (const std::string_view text : {"", "null", "[]", "7", "\xff\xfe", "{}", "{\"schema\":1}"}) {
    const auto read = ParseManifest(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code(), base::Code::kDataLoss);
  }
}

TEST(Manifest, WrongFieldIsNamed) {
  const std::string text = ToJson(Example());
  EXPECT_THAT(
      ParseManifest(Replaced(text, "\"protocol\": 1", "\"protocol\": \"1\"")).error().message(),
      HasSubstr("'agent.protocol'"));
  EXPECT_THAT(
      ParseManifest(Replaced(text, "\"protocol\": 1", "\"protocol\": -1")).error().message(),
      HasSubstr("'agent.protocol'"));
  EXPECT_THAT(ParseManifest(Replaced(text, "\"size_bytes\": 4096", "\"size_bytes\": 4.5"))
                  .error()
                  .message(),
              HasSubstr("'files[1].size_bytes'"));
  EXPECT_THAT(ParseManifest(Replaced(text, "\"created\"", "\"creatd\"")).error().message(),
              HasSubstr("'created' is missing"));
}

TEST(Manifest, OtherSchemaIsRefusedAndUnknownFieldsAreIgnored) {
  const std::string text = ToJson(Example());
  EXPECT_THAT(ParseManifest(Replaced(text, "\"schema\": 1", "\"schema\": 2")).error().message(),
              HasSubstr("schema 2"));
  EXPECT_TRUE(ParseManifest(Replaced(text, "\"schema\": 1", "\"schema\": 1, \"new\": {}")));
}

TEST(Manifest, FileNamesCannotLeaveTheObject) {
  const std::string text = ToJson(Example());
  for (const std::string_view name : {"../vmlinux", "/etc/passwd", "", ".", "..", ".hidden", "a/b",
                                      "manifest.json", "vm linux"}) {
    const auto read = ParseManifest(
        Replaced(text, "\"name\": \"vmlinux\"", "\"name\": \"" + std::string(name) + "\""));
    EXPECT_FALSE(read) << name;
  }
}

TEST(Manifest, KernelAndRootFileSystemMustBeNamed) {
  Manifest manifest = Example();
  manifest.files.pop_back();
  EXPECT_THAT(ParseManifest(ToJson(manifest)).error().message(), HasSubstr("'rootfs.erofs'"));
  manifest = Example();
  manifest.files.push_back(manifest.files[0]);
  EXPECT_FALSE(ParseManifest(ToJson(manifest)));
}

}  // namespace
}  // namespace nv::host::storage
