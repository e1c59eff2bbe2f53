#include "host/storage/image_builder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <sstream>
#include <system_error>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/io.h"
#include "base/sha256.h"
#include "base/version.h"
#include "host/storage/build_inputs.h"
#include "host/storage/build_lock.h"
#include "host/storage/build_step.h"
#include "host/storage/preflight.h"
#include "host/storage/remove_tree.h"
#include "host/storage/verify.h"

namespace nv::host::storage {
namespace {

namespace fs = std::filesystem;
using base::Code;
using base::Error;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;

constexpr std::size_t kMaxFactBytes = 1024 * 1024;
constexpr std::size_t kKeyDigits = 16;  // of a digest, in names of cached parts

// One build, from the lock to the rename. `work` is its staging directory.
class Build {
 public:
  Build(const ImageStore& store, const BuildOptions& options, const BuildInputs& inputs,
        const std::function<void(const BuildProgress&)>& progress)
      : store_(store),
        options_(options),
        inputs_(inputs),
        progress_(progress),
        work_(fmt::format("{}/staging/build-{}", store.directory(), ::getpid())),
        root_(CachePath(fmt::format("root-{}", options.recipe), inputs.root)),
        kernel_(CachePath(fmt::format("kernel-{}", FlavourName(options.kernel)), inputs.kernel)),
        steps_(options.kernel == KernelFlavour::kDebian ? 5 : 4) {}

  Result<std::string> Run() {
    if (Status swept = store_.Sweep(); !swept) return Fail(std::move(swept.error()));
    const ToMake parts{.root = options_.force || !fs::exists(root_),
                       .kernel = options_.force || !fs::exists(kernel_)};
    if (Status room = CheckSpace(options_, store_.directory(), parts); !room) {
      return Fail(std::move(room.error()));
    }
    std::error_code error;
    fs::create_directories(Object(), error);
    if (error) return Fail(Error::FromErrno(error.value(), fmt::format("'{}'", Object())));
    Result<std::string> digest = MakeAll(parts);
    CleanUp(digest ? Code::kUnknown : digest.error().code());
    return digest;
  }

 private:
  [[nodiscard]] std::string CachePath(const std::string& part, const std::string& key) const {
    return fmt::format("{}/cache/{}-{}", store_.directory(), part, key.substr(0, kKeyDigits));
  }
  [[nodiscard]] std::string Object() const { return work_ + "/object"; }
  [[nodiscard]] std::string Script(const std::string& name) const {
    return options_.recipes_directory + "/" + name;
  }

  Result<std::string> MakeAll(ToMake parts) {
    const std::string recipe = options_.recipes_directory + "/recipes/" + options_.recipe;
    Status done =
        MakePart("root tree", "root", root_, parts.root, {Script("rootfs.sh"), recipe, "OUT"});
    if (!done) return Fail(std::move(done.error()));
    std::vector<std::string> kernel = {
        Script(fmt::format("kernel/{}.sh", FlavourName(options_.kernel))), "OUT"};
    if (options_.kernel == KernelFlavour::kTuned) kernel.push_back(store_.directory() + "/cache");
    done = MakePart("kernel", "kernel", kernel_, parts.kernel, kernel);
    if (!done) return Fail(std::move(done.error()));
    std::error_code error;
    fs::copy_file(kernel_ + "/vmlinux", Object() + "/vmlinux", error);
    if (error) {
      return Fail(Error::FromErrno(error.value(), fmt::format("copying '{}/vmlinux'", kernel_)));
    }
    if (options_.kernel == KernelFlavour::kDebian) {
      Begin("initramfs");
      done = RunScript("initramfs", {Script("initramfs.sh"), options_.preinit_path, kernel_,
                                     Object() + "/initrd.cpio"});
      if (!done) return Fail(std::move(done.error()));
    }
    Begin("root file system with the agent");
    done = RunScript("erofs", {Script("erofs.sh"), root_ + "/root.tar", options_.agent_path,
                               Object() + "/rootfs.erofs"});
    if (!done) return Fail(std::move(done.error()));
    Begin("digests and manifest");
    return Finish();
  }

  // A part that later builds use again: made in staging, then moved into the cache whole.
  Status MakePart(const std::string& title, const std::string& name, const std::string& cached,
                  bool make, std::vector<std::string> command) {
    Begin(make ? title : title + " (cached)");
    if (!make) return {};
    const std::string made = work_ + "/" + name;
    for (std::string& argument : command) {
      if (argument == "OUT") argument = made;
    }
    if (Status done = RunScript(name, command); !done) return done;
    if (Status gone = RemoveCached(cached); !gone) return gone;
    if (std::rename(made.c_str(), cached.c_str()) != 0) {
      return FailErrno(fmt::format("cannot keep '{}'", cached));
    }
    return {};
  }

  // Removes what was cached for the same part from other (or the same) inputs: rename first, so
  // that a killed build leaves no half of it.
  Status RemoveCached(const std::string& cached) {
    const std::string prefix = cached.substr(0, cached.size() - kKeyDigits);
    std::error_code error;
    for (const fs::directory_entry& entry :
         fs::directory_iterator(store_.directory() + "/cache", error)) {
      const std::string path = entry.path().string();
      if (!path.starts_with(prefix) || path.size() != cached.size()) continue;
      const std::string away = work_ + "/old-" + entry.path().filename().string();
      if (std::rename(path.c_str(), away.c_str()) != 0) {
        return FailErrno(fmt::format("cannot remove '{}'", path));
      }
      if (Status gone = RemoveTree(away); !gone) return gone;
    }
    return {};
  }

  Status RunScript(const std::string& name, std::vector<std::string> command) {
    const Step step{.name = name,
                    .log_directory = work_,
                    .command = std::move(command),
                    .variables = Variables(name),
                    .cancel_fd = options_.cancel_fd};
    return RunStep(step, [&](std::string_view line) {
      progress_({.kind = BuildProgress::Kind::kLine,
                 .step = step_,
                 .steps = steps_,
                 .text = std::string(line)});
    });
  }

  [[nodiscard]] std::vector<std::string> Variables(const std::string& name) const {
    std::vector<std::string> variables = {
        fmt::format("NEUROVISOR_WORK_DIR={}/{}.work", work_, name)};
    for (const char* passed : {"NEUROVISOR_DEBIAN_MIRROR", "NEUROVISOR_JOBS"}) {
      if (const char* value = std::getenv(passed); value != nullptr) {
        variables.push_back(fmt::format("{}={}", passed, value));
      }
    }
    return variables;
  }

  // A small text file that a recipe left, without its last newline.
  Result<std::string> Fact(const std::string& directory, const std::string& name) {
    Result<std::string> text = base::ReadFile(directory + "/" + name, kMaxFactBytes);
    if (text && text->ends_with('\n')) text->pop_back();
    return text;
  }

  // "name version" lines.
  template <typename Entry>
  Result<std::vector<Entry>> Pairs(const std::string& name) {
    const Result<std::string> text = Fact(root_, name);
    if (!text) return Fail(text.error());
    std::vector<Entry> entries;
    std::istringstream lines(*text);
    for (std::string line; std::getline(lines, line);) {
      const std::size_t blank = line.find(' ');
      if (blank == std::string::npos) continue;
      entries.push_back({line.substr(0, blank), line.substr(blank + 1)});
    }
    return entries;
  }

  Result<Manifest> Describe() {
    Manifest manifest;
    manifest.name = options_.recipe;
    manifest.created =
        fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                    std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
    manifest.inputs = inputs_.all;
    manifest.agent.version = base::kVersion;
    manifest.agent.protocol = base::kGuestProtocol;
    manifest.agent.sha256 = inputs_.agent_sha256;
    manifest.kernel.flavour = FlavourName(options_.kernel);
    // Debian's kernel has no VIRTIO_MMIO_CMDLINE_DEVICES: it finds its devices through ACPI.
    manifest.kernel.needs_acpi = options_.kernel == KernelFlavour::kDebian;
    for (const auto& [name, place] : {std::pair{"kernel", &manifest.kernel.version},
                                      {"package", &manifest.kernel.package},
                                      {"arguments", &manifest.kernel.arguments}}) {
      Result<std::string> fact = Fact(kernel_, name);
      if (!fact) return Fail(std::move(fact.error()));
      *place = *std::move(fact);
    }
    const Result<std::string> release = Fact(root_, "release");
    if (!release) return Fail(release.error());
    std::istringstream words(*release);
    words >> manifest.release.id >> manifest.release.codename >> manifest.release.version;
    auto languages = Pairs<Manifest::Language>("languages");
    if (!languages) return Fail(std::move(languages.error()));
    manifest.languages = *std::move(languages);
    auto packages = Pairs<Manifest::Package>("packages");
    if (!packages) return Fail(std::move(packages.error()));
    manifest.packages = *std::move(packages);
    return manifest;
  }

  Result<std::string> Finish() {
    Result<Manifest> manifest = Describe();
    if (!manifest) return Fail(std::move(manifest.error()));
    for (const char* name : {"vmlinux", "initrd.cpio", "rootfs.erofs"}) {
      const std::string path = Object() + "/" + name;
      if (!fs::exists(path)) continue;
      if (::chmod(path.c_str(), 0444) != 0) return FailErrno(fmt::format("'{}'", path));
      Result<FileEntry> file = DescribeFile(Object(), name);
      if (!file) return Fail(std::move(file.error()));
      manifest->files.push_back(*std::move(file));
    }
    const std::string text = ToJson(*manifest);
    const std::string digest = "sha256-" + base::Hex(base::Sha256Of(text));
    if (Status done = base::WriteFileAtomically(Object() + "/manifest.json", text, 0444); !done) {
      return Fail(std::move(done.error()));
    }
    if (::chmod(Object().c_str(), 0755) != 0) return FailErrno(fmt::format("'{}'", Object()));
    const std::string& name = options_.name.empty() ? options_.recipe : options_.name;
    if (Status done = store_.Adopt(Object(), digest, name); !done) {
      return Fail(std::move(done.error()));
    }
    return digest;
  }

  // After success or Ctrl-C nothing stays; after a failure the logs stay, for the person who reads
  // the message that names them, until the next build sweeps.
  void CleanUp(Code code) {
    const bool keep_logs = code != Code::kUnknown && code != Code::kCancelled;
    std::error_code error;
    if (keep_logs) {
      for (const fs::directory_entry& entry : fs::directory_iterator(work_, error)) {
        if (entry.path().extension() == ".log") continue;
        static_cast<void>(RemoveTree(entry.path().string()));
      }
    } else {
      static_cast<void>(RemoveTree(work_));
    }
  }

  void Begin(const std::string& text) {
    progress_({.kind = BuildProgress::Kind::kStep, .step = ++step_, .steps = steps_, .text = text});
  }

  const ImageStore& store_;
  const BuildOptions& options_;
  const BuildInputs& inputs_;
  const std::function<void(const BuildProgress&)>& progress_;
  const std::string work_;
  const std::string root_;    // cached root tree
  const std::string kernel_;  // cached kernel
  const int steps_;
  int step_ = 0;
};

}  // namespace

Result<BuildResult> BuildImage(ImageStore& store, const BuildOptions& options,
                               const std::function<void(const BuildProgress&)>& progress) {
  if (Status known = CheckRecipe(options); !known) return Fail(std::move(known.error()));
  const std::string& name = options.name.empty() ? options.recipe : options.name;
  if (!IsImageName(name)) {
    return Fail(Code::kInvalidArgument,
                fmt::format("image name '{}': accepted are 1 to 64 of a-z 0-9 . _ -, first a "
                            "letter or digit",
                            name));
  }
  const Result<BuildInputs> inputs = ReadInputs(options);
  if (!inputs) return Fail(inputs.error());
  if (!options.force) {
    // Opened, not only found: a damaged image is built again.
    const Result<OpenImage> existing = store.Open(name);
    if (existing && existing->manifest.inputs == inputs->all) {
      return BuildResult{.digest = existing->digest, .unchanged = true};
    }
  }
  if (Status tools = CheckTools(options); !tools) return Fail(std::move(tools.error()));
  if (Status ready = store.Prepare(); !ready) return Fail(std::move(ready.error()));
  const Result<BuildLock> lock = BuildLock::Take(store.directory());
  if (!lock) return Fail(lock.error());
  Result<std::string> digest = Build(store, options, *inputs, progress).Run();
  if (!digest) return Fail(std::move(digest.error()));
  progress({.kind = BuildProgress::Kind::kDone, .step = 0, .steps = 0, .text = *digest});
  // Leaves the stamps, so that the first run does not read everything again.
  if (const Result<OpenImage> checked = store.Open(name); !checked) return Fail(checked.error());
  return BuildResult{.digest = *std::move(digest), .unchanged = false};
}

}  // namespace nv::host::storage
