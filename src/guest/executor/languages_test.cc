#include "guest/executor/languages.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "base/io.h"

namespace nv::guest::executor {
namespace {

TEST(Languages, EachContractNameAndAliasFindsItsRow) {
  const std::pair<const char*, const char*> names[] = {
      {"python", "python"},   {"python3", "python"}, {"bash", "bash"},
      {"sh", "bash"},         {"shell", "bash"},     {"javascript", "javascript"},
      {"node", "javascript"}, {"js", "javascript"},  {"go", "go"},
      {"golang", "go"},       {"rust", "rust"},      {"rs", "rust"}};
  for (const auto& [name, canonical] : names) {
    const auto found = FindLanguage(name);
    ASSERT_TRUE(found) << name;
    EXPECT_EQ((*found)->name, canonical);
  }
}

TEST(Languages, UnknownNameIsRefusedWithAllSupportedOnes) {
  const auto found = FindLanguage(std::string(10'000, 'x'));
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), base::Code::kInvalidArgument);
  EXPECT_LT(found.error().message().size(), 300U);
  for (const Language& language : AllLanguages()) {
    EXPECT_NE(found.error().message().find(language.name), std::string::npos);
  }
}

TEST(Languages, VersionsComeFromTheImagesFile) {
  const std::string path = testing::TempDir() + "/languages-" + std::to_string(getpid());
  ASSERT_TRUE(base::WriteFileAtomically(path, "python 3.13.5\nbroken\n go 1\ngo go1.24 linux\n"));
  const auto installed = InstalledLanguages::Load(path);
  std::filesystem::remove(path);
  EXPECT_EQ(installed.Version(**FindLanguage("python")), "3.13.5");
  EXPECT_EQ(installed.Version(**FindLanguage("go")), "go1.24 linux");
  EXPECT_EQ(installed.Version(**FindLanguage("bash")), "");
  const auto missing = installed.Check(**FindLanguage("js"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), base::Code::kFailedPrecondition);
  EXPECT_EQ(missing.error().message(),
            "javascript: toolchain missing in this image; image 'base' has it");
}

}  // namespace
}  // namespace nv::guest::executor
