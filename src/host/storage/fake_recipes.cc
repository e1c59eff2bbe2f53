#include "host/storage/fake_recipes.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "base/check.h"
#include "host/storage/remove_tree.h"

namespace nv::host::storage {

namespace fs = std::filesystem;

FakeRecipes::FakeRecipes() {
  std::string path = (fs::temp_directory_path() / "nv-image-test.XXXXXX").string();
  NV_CHECK(::mkdtemp(path.data()) != nullptr);
  root_ = path;
  Write("recipes/lib/common.sh", "# nothing\n");
  Write("recipes/tools", "# program package when\nbash bash always\n");
  Write("recipes/recipes/mini/packages", "python3\n");
  Write("recipes/recipes/mini/space", "image 1\nroot 1\ndebian 1\ntuned 1\n");
  Write("recipes/kernel/tuned.config", "CONFIG_64BIT=y\n");
  Script("rootfs.sh",
         "mkdir -p $2; echo tree > $2/root.tar; echo 'bash 5.2' > $2/packages\n"
         "echo 'python 3.13.5' > $2/languages; echo 'debian trixie 13.8' > $2/release\n");
  for (const char* flavour : {"debian", "tuned"}) {
    Script(std::string("kernel/") + flavour + ".sh",
           "mkdir -p $1; echo kernel > $1/vmlinux; echo 6.12.0 > $1/kernel\n"
           "echo linux=1 > $1/package; : > $1/arguments\n");
  }
  Script("initramfs.sh", "cat $1 $2/vmlinux > $3\n");
  Script("erofs.sh", "cat $1 $2 > $3\n");
  Write("agent", "\177ELF agent");
  Write("preinit", "\177ELF preinit");
}

FakeRecipes::~FakeRecipes() { static_cast<void>(RemoveTree(root_)); }

void FakeRecipes::Write(const std::string& file, const std::string& text) const {
  fs::create_directories(fs::path(Path(file)).parent_path());
  std::ofstream(Path(file), std::ios::binary | std::ios::trunc) << text;
  if (file.ends_with(".sh")) NV_CHECK(::chmod(Path(file).c_str(), 0755) == 0);
}

void FakeRecipes::Script(const std::string& name, const std::string& body) const {
  Write("recipes/" + name, "#!/bin/bash\nset -eu\n" + body);
}

BuildOptions FakeRecipes::Options() const {
  BuildOptions options;
  options.recipes_directory = Path("recipes");
  options.agent_path = Path("agent");
  options.preinit_path = Path("preinit");
  return options;
}

std::string FakeRecipes::Build(const BuildOptions& options) const {
  const auto built = QuietBuild(Store(), options);
  EXPECT_TRUE(built) << (built ? "" : built.error().message() + "\n" + built.error().details());
  return built ? Store().directory() + "/objects/" + built->digest : "";
}

int CountEntries(const std::string& directory) {
  std::error_code error;
  int count = 0;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    ++count;
  }
  return count;
}

}  // namespace nv::host::storage
