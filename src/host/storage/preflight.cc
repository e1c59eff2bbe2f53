#include "host/storage/preflight.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/io.h"
#include "base/text.h"
#include "host/storage/build_inputs.h"

namespace nv::host::storage {
namespace {

namespace fs = std::filesystem;
using base::Code;
using base::Error;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;

constexpr std::size_t kMaxFileBytes = 64 * 1024;

// Lines of a file without comments and empty ones; blanks at the ends stay.
Result<std::vector<std::string>> DataLines(const std::string& path) {
  const Result<std::string> text = base::ReadFile(path, kMaxFileBytes);
  if (!text) return Fail(text.error());
  std::vector<std::string> lines;
  std::istringstream stream(*text);
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty() && line[0] != '#') lines.push_back(std::move(line));
  }
  return lines;
}

bool HasProgram(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream places(std::string(path == nullptr ? "" : path) + ":/usr/sbin:/sbin");
  for (std::string place; std::getline(places, place, ':');) {
    if (::access((place + "/" + name).c_str(), X_OK) == 0) return true;
  }
  return false;
}

bool Applies(const std::string& when, const BuildOptions& options) {
  if (when == "always") return true;
  if (when == "user") return ::geteuid() != 0;
  return when == FlavourName(options.kernel);
}

}  // namespace

Status CheckRecipe(const BuildOptions& options) {
  const std::string directory = options.recipes_directory + "/recipes";
  std::vector<std::string> known;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->is_directory()) known.push_back(it->path().filename().string());
  }
  if (error || known.empty()) {
    return Fail(Code::kNotFound, fmt::format("no image recipes in '{}'", directory));
  }
  std::ranges::sort(known);
  if (std::ranges::find(known, options.recipe) != known.end()) return {};
  return Fail(Code::kInvalidArgument, fmt::format("unknown recipe '{}'; accepted: {}",
                                                  options.recipe, fmt::join(known, ", ")));
}

Status CheckTools(const BuildOptions& options) {
  const Result<std::vector<std::string>> lines = DataLines(options.recipes_directory + "/tools");
  if (!lines) return Fail(lines.error());
  std::vector<std::string> missing;
  std::set<std::string> packages;
  for (const std::string& line : *lines) {
    std::istringstream words(line);
    std::string program;
    std::string package;
    std::string when;
    words >> program >> package >> when;
    if (!Applies(when, options) || HasProgram(program)) continue;
    missing.push_back(program);
    packages.insert(package);
  }
  if (missing.empty()) return {};
  return Fail(Error(Code::kFailedPrecondition,
                    fmt::format("building an image needs programs that are not there: {}",
                                fmt::join(missing, ", ")))
                  .WithRemedy(fmt::format("apt-get install {}", fmt::join(packages, " "))));
}

Status CheckSpace(const BuildOptions& options, const std::string& directory, ToMake parts) {
  const std::string path =
      fmt::format("{}/recipes/{}/space", options.recipes_directory, options.recipe);
  const Result<std::vector<std::string>> lines = DataLines(path);
  if (!lines) return Fail(lines.error());
  std::uint64_t needed = 0;
  for (const std::string& line : *lines) {
    const std::size_t blank = line.find(' ');
    const std::string part = line.substr(0, blank);
    const Result<std::uint64_t> mebibytes =
        base::ParseUint(blank == std::string::npos ? "" : line.substr(blank + 1));
    if (!mebibytes) {
      return Fail(Code::kInvalidArgument, fmt::format("'{}': cannot read '{}'", path, line));
    }
    const bool applies = part == "image" || (part == "root" && parts.root) ||
                         (part == FlavourName(options.kernel) && parts.kernel);
    if (applies) needed += *mebibytes;
  }
  struct statvfs about {};
  if (::statvfs(directory.c_str(), &about) != 0) {
    return FailErrno(fmt::format("cannot ask for the free space of '{}'", directory));
  }
  const std::uint64_t found = std::uint64_t{about.f_bavail} * about.f_frsize >> 20U;
  if (found >= needed) return {};
  return Fail(Error(Code::kResourceExhausted,
                    fmt::format("not enough free space in '{}': {} MiB needed, {} MiB found",
                                directory, needed, found))
                  .WithRemedy("make room there, or choose another place by NEUROVISOR_DATA_DIR"));
}

}  // namespace nv::host::storage
