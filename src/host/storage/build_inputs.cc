#include "host/storage/build_inputs.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "base/io.h"
#include "base/sha256.h"
#include "base/version.h"
#include "host/storage/verify.h"

namespace nv::host::storage {
namespace {

namespace fs = std::filesystem;
using base::Code;
using base::Error;
using base::Fail;
using base::Result;
using base::Status;

// Raised when the builder itself makes something else of the same inputs.
constexpr int kBuilderRevision = 1;
constexpr std::size_t kMaxRecipeFileBytes = 4 * 1024 * 1024;

// Adds name and content of a file, or of all files of a directory, in a fixed order.
Status AddPath(base::Sha256& hash, const std::string& directory, const std::string& name) {
  std::vector<std::string> files;
  std::error_code error;
  if (fs::is_directory(directory + "/" + name, error)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(directory + "/" + name, error)) {
      if (entry.is_regular_file()) files.push_back(name + "/" + entry.path().filename().string());
    }
    std::ranges::sort(files);
  } else {
    files.push_back(name);
  }
  for (const std::string& file : files) {
    const Result<std::string> content = base::ReadFile(directory + "/" + file, kMaxRecipeFileBytes);
    if (!content) return Fail(content.error());
    hash.Update(fmt::format("{} {}\n", file, content->size()));
    hash.Update(*content);
  }
  return {};
}

Result<std::string> HashPaths(const std::string& directory, const std::vector<std::string>& names,
                              const std::string& extra) {
  base::Sha256 hash;
  hash.Update(extra + "\n");
  for (const std::string& name : names) {
    if (Status added = AddPath(hash, directory, name); !added) return Fail(added.error());
  }
  return base::Hex(hash.Finish());
}

// The guest has no dynamic loader that fits our host's: a dynamically linked agent (a sanitized or
// shared build) would leave a kernel panic as the only message. ELF-64 program headers, elf(5).
Status CheckStatic(int fd, const std::string& path) {
  constexpr std::size_t kHeaderBytes = 4096;  // ELF header and program headers of any small program
  std::string head(kHeaderBytes, '\0');
  const ssize_t got = ::pread(fd, head.data(), head.size(), 0);
  if (got < 4 || !head.starts_with("\177ELF")) {
    return Fail(Code::kInvalidArgument, fmt::format("'{}' is no program (ELF file)", path));
  }
  const auto number = [&](std::size_t offset, std::size_t bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = bytes; i-- > 0;) {
      value = value << 8U |
              (offset + i < head.size() ? static_cast<unsigned char>(head[offset + i]) : 0U);
    }
    return value;
  };
  constexpr std::uint64_t kInterpreter = 3;  // PT_INTERP
  const std::uint64_t table = number(32, 8);
  const std::uint64_t entry_bytes = number(54, 2);
  const std::uint64_t entries = std::min<std::uint64_t>(number(56, 2), 64);
  for (std::uint64_t i = 0; i < entries && table < kHeaderBytes; ++i) {
    if (number(table + i * entry_bytes, 4) == kInterpreter) {
      return Fail(
          Error(Code::kFailedPrecondition,
                fmt::format("'{}' is dynamically linked; it would not start in the guest", path))
              .WithRemedy("use the guest programs of the release preset"));
    }
  }
  return {};
}

Result<std::string> HashProgram(const std::string& path, std::string_view what) {
  const Result<base::UniqueFd> fd = base::OpenFile(path, O_RDONLY);
  if (!fd) {
    Error error = fd.error();
    return Fail(std::move(error)
                    .WithContext(fmt::format("the {} that goes into the image", what))
                    .WithRemedy(fmt::format("cmake --build --preset release --target {}", what)));
  }
  if (Status is_static = CheckStatic(fd->get(), path); !is_static) return Fail(is_static.error());
  return HashFile(fd->get(), path);
}

}  // namespace

std::string_view FlavourName(KernelFlavour flavour) {
  return flavour == KernelFlavour::kTuned ? "tuned" : "debian";
}

Result<BuildInputs> ReadInputs(const BuildOptions& options) {
  const std::string& recipes = options.recipes_directory;
  const std::string_view flavour = FlavourName(options.kernel);
  const char* mirror = std::getenv("NEUROVISOR_DEBIAN_MIRROR");
  const std::string source = mirror == nullptr ? "" : mirror;

  Result<std::string> root =
      HashPaths(recipes, {"rootfs.sh", "lib", fmt::format("recipes/{}", options.recipe)}, source);
  if (!root) return Fail(std::move(root.error()));
  std::vector<std::string> kernel_files = {fmt::format("kernel/{}.sh", flavour), "lib"};
  if (options.kernel == KernelFlavour::kTuned) kernel_files.emplace_back("kernel/tuned.config");
  Result<std::string> kernel = HashPaths(recipes, kernel_files, source);
  if (!kernel) return Fail(std::move(kernel.error()));
  const Result<std::string> packing = HashPaths(recipes, {"initramfs.sh", "erofs.sh"}, "");
  if (!packing) return Fail(packing.error());
  Result<std::string> agent = HashProgram(options.agent_path, "guest_agent");
  if (!agent) return Fail(std::move(agent.error()));
  // The tuned kernel needs no initramfs, hence no preinit.
  Result<std::string> preinit = std::string();
  if (options.kernel == KernelFlavour::kDebian) {
    preinit = HashProgram(options.preinit_path, "guest_preinit");
    if (!preinit) return Fail(std::move(preinit.error()));
  }
  const std::string all = base::Hex(base::Sha256Of(
      fmt::format("{} {} {} schema {}\nroot {}\nkernel {} {}\npacking {}\nagent {}\npreinit {}\n",
                  kBuilderRevision, base::kVersion, base::kGuestProtocol, Manifest::kSchema, *root,
                  flavour, *kernel, *packing, *agent, *preinit)));
  return BuildInputs{.root = *std::move(root),
                     .kernel = *std::move(kernel),
                     .agent_sha256 = *std::move(agent),
                     .all = all};
}

}  // namespace nv::host::storage
