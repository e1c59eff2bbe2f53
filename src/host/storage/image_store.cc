#include "host/storage/image_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <set>
#include <system_error>

#include <fmt/format.h>

#include "base/io.h"
#include "base/sha256.h"
#include "base/version.h"
#include "host/storage/build_lock.h"
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

constexpr std::size_t kMaxManifestBytes = 4 * 1024 * 1024;
constexpr std::string_view kDigestPrefix = "sha256-";
constexpr std::string_view kTemporary = ".tmp-";  // in names of WriteFileAtomically's own files
constexpr std::string_view kDefaultNames[] = {"base", "mini"};

// Names of the entries of a directory, sorted; empty when it does not exist.
Result<std::vector<std::string>> Entries(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return Fail(Error::FromErrno(error.value(), fmt::format("cannot read '{}'", path)));
  }
  std::ranges::sort(names);
  return names;
}

std::string Rebuild(const std::string& recipe) {
  return fmt::format("neurovisor image build {} --force", recipe.empty() ? "mini" : recipe);
}

Status CheckAgent(const Manifest& manifest) {
  if (manifest.agent.version == base::kVersion && manifest.agent.protocol == base::kGuestProtocol) {
    return {};
  }
  return Fail(
      Error(Code::kFailedPrecondition,
            fmt::format("image '{}' was built for another agent: it has version {} (protocol {}), "
                        "this program needs {} (protocol {})",
                        manifest.name, manifest.agent.version, manifest.agent.protocol,
                        base::kVersion, base::kGuestProtocol))
          .WithRemedy(fmt::format("neurovisor image build {}", manifest.name)));
}

}  // namespace

bool IsImageName(std::string_view name) {
  constexpr std::string_view kAlphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789";
  return !name.empty() && name.size() <= 64 && kAlphanumeric.contains(name[0]) &&
         std::ranges::all_of(name,
                             [&](char c) {
                               return kAlphanumeric.contains(c) || c == '.' || c == '_' || c == '-';
                             }) &&
         !name.contains(kTemporary);
}

bool IsImageDigest(std::string_view text) {
  return text.starts_with(kDigestPrefix) && text.size() == kDigestPrefix.size() + 64 &&
         text.find_first_not_of("0123456789abcdef", kDigestPrefix.size()) == text.npos;
}

Result<std::string> ImageStore::DigestOf(const std::string& name) const {
  if (IsImageDigest(name)) return name;
  if (!IsImageName(name)) {
    return Fail(Code::kInvalidArgument,
                fmt::format("image name '{}': accepted are 1 to 64 of a-z 0-9 . _ -, first a "
                            "letter or digit",
                            name));
  }
  const std::string path = fmt::format("{}/names/{}", directory_, name);
  Result<std::string> text = base::ReadFile(path, 256);
  if (!text && text.error().code() == Code::kNotFound) {
    return Fail(Error(Code::kNotFound, fmt::format("no image '{}' in '{}'", name, directory_))
                    .WithRemedy("'neurovisor image build' makes one; 'neurovisor image list' shows "
                                "what is there"));
  }
  if (!text && text.error().code() != Code::kResourceExhausted) return text;
  if (!text || !text->ends_with('\n') ||
      !IsImageDigest(std::string_view(*text).substr(0, text->size() - 1))) {
    return Fail(Error(Code::kDataLoss, fmt::format("'{}' holds no image digest", path))
                    .WithRemedy(Rebuild(name)));
  }
  text->pop_back();
  return text;
}

Result<Manifest> ImageStore::ReadManifest(const std::string& digest) const {
  const std::string path = fmt::format("{}/objects/{}/manifest.json", directory_, digest);
  Result<std::string> text = base::ReadFile(path, kMaxManifestBytes);
  if (!text && text.error().code() == Code::kNotFound) {
    return Fail(Code::kDataLoss, fmt::format("'{}' is missing", path));
  }
  if (!text) return Fail(std::move(text.error()));
  const std::string found = std::string(kDigestPrefix) + base::Hex(base::Sha256Of(*text));
  if (found != digest) {
    return Fail(Code::kDataLoss,
                fmt::format("'{}' is damaged: expected {}, found {}", path, digest, found));
  }
  Result<Manifest> manifest = ParseManifest(*text);
  if (!manifest) return Fail(std::move(manifest.error()).WithContext(fmt::format("'{}'", path)));
  return manifest;
}

Result<OpenImage> ImageStore::OpenDigest(const std::string& digest) const {
  Result<Manifest> manifest = ReadManifest(digest);
  if (!manifest) return Fail(std::move(manifest.error()));
  if (Status fits = CheckAgent(*manifest); !fits) return Fail(std::move(fits.error()));

  OpenImage image{.manifest = *std::move(manifest),
                  .digest = digest,
                  .kernel = base::UniqueFd(),
                  .initrd = base::UniqueFd(),
                  .rootfs = base::UniqueFd()};
  const std::string object = fmt::format("{}/objects/{}", directory_, digest);
  const std::string stamp_path = fmt::format("{}/verified/{}", directory_, digest);
  Stamps stamps = Stamps::Load(stamp_path);
  for (const FileEntry& file : image.manifest.files) {
    Result<base::UniqueFd> fd = OpenVerified(object, file, stamps);
    if (!fd) {
      Error error = std::move(fd.error());
      return Fail(std::move(error).WithRemedy(Rebuild(image.manifest.name)));
    }
    if (file.name == "vmlinux") image.kernel = *std::move(fd);
    if (file.name == "initrd.cpio") image.initrd = *std::move(fd);
    if (file.name == "rootfs.erofs") image.rootfs = *std::move(fd);
  }
  // Without the right to write here, the next Open reads the files again; nothing else changes.
  if (stamps.changed()) static_cast<void>(stamps.Save(stamp_path));
  return image;
}

Result<OpenImage> ImageStore::Open(const std::string& name) const {
  std::string wanted = name;
  for (const std::string_view known : kDefaultNames) {
    if (!wanted.empty()) break;
    if (fs::exists(fmt::format("{}/names/{}", directory_, known))) wanted = known;
  }
  if (wanted.empty()) {
    return Fail(Error(Code::kNotFound, fmt::format("no image is built yet in '{}'", directory_))
                    .WithRemedy("neurovisor image build mini"));
  }
  Result<std::string> digest = DigestOf(wanted);
  while (true) {
    if (!digest) return Fail(std::move(digest.error()));
    Result<OpenImage> image = OpenDigest(*digest);
    if (image) return image;
    // A builder may have put a new object under the name, and removed the old one, meanwhile.
    Result<std::string> now = DigestOf(wanted);
    if (now && *now != *digest) {
      digest = std::move(now);
      continue;
    }
    Error error = std::move(image.error());
    if (error.remedy().empty()) error = std::move(error).WithRemedy(Rebuild(wanted));
    return Fail(std::move(error).WithContext(fmt::format("image '{}'", wanted)));
  }
}

Result<ImageEntry> ImageStore::Find(const std::string& name_or_digest) const {
  const Result<std::string> digest = DigestOf(name_or_digest);
  if (!digest) return Fail(digest.error());
  if (name_or_digest == *digest && !fs::exists(fmt::format("{}/objects/{}", directory_, *digest))) {
    return Fail(Code::kNotFound, fmt::format("no image {} in '{}'", *digest, directory_));
  }
  Result<Manifest> manifest = ReadManifest(*digest);
  if (!manifest) return Fail(std::move(manifest.error()).WithRemedy(Rebuild(name_or_digest)));
  ImageEntry entry{.name = name_or_digest,
                   .digest = *digest,
                   .manifest = *std::move(manifest),
                   .bytes = 0,
                   .problem = ""};
  for (const FileEntry& file : entry.manifest.files) entry.bytes += file.size_bytes;
  return entry;
}

Result<std::vector<ImageEntry>> ImageStore::List() const {
  const Result<std::vector<std::string>> names = Entries(directory_ + "/names");
  if (!names) return Fail(names.error());
  std::vector<ImageEntry> entries;
  for (const std::string& name : *names) {
    if (!IsImageName(name)) continue;  // a temporary file of a writer that was killed
    Result<ImageEntry> entry = Find(name);
    if (!entry) {
      entries.push_back({.name = name,
                         .digest = DigestOf(name).value_or(""),
                         .manifest = {},
                         .bytes = 0,
                         .problem = entry.error().message()});
      continue;
    }
    if (Status fits = CheckAgent(entry->manifest); !fits) entry->problem = fits.error().message();
    entries.push_back(*std::move(entry));
  }
  return entries;
}

Status ImageStore::Prepare() const {
  for (const char* part : {"objects", "names", "verified", "staging", "cache"}) {
    std::error_code error;
    const std::string path = fmt::format("{}/{}", directory_, part);
    fs::create_directories(path, error);
    if (error) {
      return Fail(Error::FromErrno(error.value(), fmt::format("cannot make '{}'", path)));
    }
  }
  return {};
}

Status ImageStore::RemoveUnnamed() const {
  const Result<std::vector<std::string>> names = Entries(directory_ + "/names");
  if (!names) return Fail(names.error());
  std::set<std::string> kept;
  for (const std::string& name : *names) {
    if (const Result<std::string> digest = DigestOf(name); digest) kept.insert(*digest);
    // Left by a writer that was killed.
    if (name.contains(kTemporary))
      std::remove(fmt::format("{}/names/{}", directory_, name).c_str());
  }
  const Result<std::vector<std::string>> objects = Entries(directory_ + "/objects");
  if (!objects) return Fail(objects.error());
  for (const std::string& object : *objects) {
    if (kept.contains(object)) continue;
    // Out of objects/ in one step, so that no half of it is ever found there.
    const std::string from = fmt::format("{}/objects/{}", directory_, object);
    const std::string to = fmt::format("{}/staging/removed-{}", directory_, object);
    if (Status clear = RemoveTree(to); !clear) return clear;
    if (std::rename(from.c_str(), to.c_str()) != 0) {
      return FailErrno(fmt::format("cannot remove '{}'", from));
    }
    std::remove(fmt::format("{}/verified/{}", directory_, object).c_str());
    if (Status gone = RemoveTree(to); !gone) return gone;
  }
  return {};
}

Status ImageStore::Sweep() const {
  const Result<std::vector<std::string>> staged = Entries(directory_ + "/staging");
  if (!staged) return Fail(staged.error());
  for (const std::string& name : *staged) {
    if (Status gone = RemoveTree(fmt::format("{}/staging/{}", directory_, name)); !gone) {
      return gone;
    }
  }
  return RemoveUnnamed();
}

Status ImageStore::Adopt(const std::string& staged, const std::string& digest,
                         const std::string& name) const {
  const std::string object = fmt::format("{}/objects/{}", directory_, digest);
  // Only a build of the same second and inputs has the same digest; what is there may be damaged.
  if (Status gone = RemoveTree(object); !gone) return gone;
  if (std::rename(staged.c_str(), object.c_str()) != 0) {
    return FailErrno(fmt::format("cannot rename '{}' to '{}'", staged, object));
  }
  const std::string name_path = fmt::format("{}/names/{}", directory_, name);
  if (Status named = base::WriteFileAtomically(name_path, digest + "\n"); !named) return named;
  return RemoveUnnamed();
}

Status ImageStore::Remove(const std::string& name) {
  // Looked up before the lock: asking about a store that does not exist must not make one. A
  // damaged name can be removed, a digest is no name.
  const Result<std::string> digest = DigestOf(name);
  if (!digest && digest.error().code() != Code::kDataLoss) return Fail(digest.error());
  if (!IsImageName(name)) {
    return Fail(Code::kInvalidArgument, fmt::format("'{}' is no image name", name));
  }
  const std::string path = fmt::format("{}/names/{}", directory_, name);
  const Result<BuildLock> lock = BuildLock::Take(directory_);
  if (!lock) return Fail(lock.error());
  if (Status ready = Prepare(); !ready) return ready;
  if (std::remove(path.c_str()) != 0) return FailErrno(fmt::format("cannot remove '{}'", path));
  return RemoveUnnamed();
}

}  // namespace nv::host::storage
