#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <filesystem>

#include "base/io.h"
#include "host/config/config.h"

namespace nv::host::config {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxCacheBytes = 4 * 1024 * 1024;  // a CMakeCache.txt is some 100 KiB

std::optional<std::string> Get(const Machine& machine, const std::string& name) {
  std::optional<std::string> value = machine.environment(name);
  if (value && value->empty()) return std::nullopt;
  return value;
}

// The XDG Base Directory specification: a relative path is invalid and ignored.
std::optional<std::string> GetXdg(const Machine& machine, const std::string& name) {
  std::optional<std::string> value = Get(machine, name);
  if (value && !value->starts_with('/')) return std::nullopt;
  return value;
}

std::string Absolute(const Machine& machine, const std::string& path) {
  fs::path full = fs::path(machine.working_directory) / path;
  std::string text = full.lexically_normal().string();
  if (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

// The source tree that a build tree was configured from, or empty when `build` is no build tree.
std::string SourceOfBuildTree(const fs::path& build) {
  constexpr std::string_view kKey = "\nCMAKE_HOME_DIRECTORY:INTERNAL=";
  base::Result<std::string> cache =
      base::ReadFile((build / "CMakeCache.txt").string(), kMaxCacheBytes);
  if (!cache) return {};
  const std::size_t at = cache->find(kKey);
  if (at == std::string::npos) return {};
  const std::size_t begin = at + kKey.size();
  return cache->substr(begin, cache->find('\n', begin) - begin);
}

void FindPrograms(const Machine& machine, Paths& paths) {
  const fs::path directory = fs::path(machine.executable).parent_path();
  const std::string source = SourceOfBuildTree(directory.parent_path());
  if (!source.empty()) {
    // Unit tests lie in <build>/tests, the programs in <build>/bin.
    paths.libexec = (directory.parent_path() / "bin").string();
    paths.recipes = (fs::path(source) / "image").string();
  } else {
    // <prefix>/bin/neurovisor, or <prefix>/libexec/neurovisor/neurovisor-engine.
    const bool in_libexec =
        directory.filename() == "neurovisor" && directory.parent_path().filename() == "libexec";
    const fs::path prefix =
        in_libexec ? directory.parent_path().parent_path() : directory.parent_path();
    paths.libexec = (prefix / "libexec" / "neurovisor").string();
    paths.recipes = (prefix / "share" / "neurovisor" / "image").string();
  }
  if (auto chosen = Get(machine, "NEUROVISOR_LIBEXEC_DIR")) {
    paths.libexec = Absolute(machine, *chosen);
  }
}

}  // namespace

base::Result<Paths> FindPathsOn(const Machine& machine) {
  Paths paths;
  if (auto chosen = Get(machine, "NEUROVISOR_DATA_DIR")) {
    paths.data = Absolute(machine, *chosen);
  } else if (machine.is_root) {
    paths.data = "/var/lib/neurovisor";
  } else if (auto xdg = GetXdg(machine, "XDG_DATA_HOME")) {
    paths.data = *xdg + "/neurovisor";
  } else if (auto home = GetXdg(machine, "HOME")) {
    paths.data = *home + "/.local/share/neurovisor";
  } else {
    return base::Fail(
        base::Error(base::Code::kFailedPrecondition,
                    "no place for images: HOME, XDG_DATA_HOME and NEUROVISOR_DATA_DIR are unset")
            .WithRemedy("set NEUROVISOR_DATA_DIR to a directory of yours"));
  }

  if (auto chosen = Get(machine, "NEUROVISOR_RUNTIME_DIR")) {
    paths.runtime = Absolute(machine, *chosen);
  } else if (machine.is_root) {
    paths.runtime = "/run/neurovisor";
  } else if (auto xdg = GetXdg(machine, "XDG_RUNTIME_DIR")) {
    paths.runtime = *xdg + "/neurovisor";
  } else {
    paths.runtime = paths.data + "/run";
  }

  FindPrograms(machine, paths);
  return paths;
}

base::Result<Paths> FindPaths() {
  Machine machine;
  machine.environment = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
  std::error_code error;
  machine.executable = fs::read_symlink("/proc/self/exe", error).string();
  if (error) return base::Fail(base::Error::FromErrno(error.value(), "read /proc/self/exe"));
  // A deleted working directory only matters to relative paths; those then start at the root.
  machine.working_directory = fs::current_path(error).string();
  if (error) machine.working_directory = "/";
  machine.is_root = ::geteuid() == 0;
  return FindPathsOn(machine);
}

}  // namespace nv::host::config
