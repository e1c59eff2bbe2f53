// Manifest: what an image holds and from what it was made (manifest.json, schema 1; docs/image.md
// has the fields).
//
// Made by the image builder, read by everything that boots. The JSON library stays in manifest.cc.
// An unknown schema number is refused; unknown fields are ignored.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nv::host::storage {

struct FileEntry {
  std::string name;  // "vmlinux", "initrd.cpio", "rootfs.erofs"
  std::uint64_t size_bytes = 0;
  std::string sha256;  // hex
};

struct Manifest {
  static constexpr int kSchema = 1;
  std::string name;     // recipe: mini, base, data
  std::string created;  // RFC 3339, UTC
  std::string
      inputs;  // hex SHA-256 of everything that decides the result; equal inputs: nothing to build
  struct {
    std::string version;  // nv::base::kVersion of the agent
    std::uint32_t protocol = 0;
    std::string sha256;
  } agent;
  struct {
    std::string flavour;  // "debian" or "tuned"
    std::string version;  // uname -r
    std::string package;  // name=version
    bool needs_acpi = true;
    std::string arguments;  // added to the kernel's command line
  } kernel;
  struct {
    std::string id;        // debian
    std::string codename;  // trixie
    std::string version;   // 13.x
  } release;
  struct Language {
    std::string name;
    std::string version;
  };
  std::vector<Language> languages;
  struct Package {
    std::string name;
    std::string version;
  };
  std::vector<Package> packages;
  std::vector<FileEntry> files;

  [[nodiscard]] const FileEntry* Find(std::string_view file) const;
};

// Canonical bytes: two-space indented JSON with sorted keys and a final newline.
[[nodiscard]] std::string ToJson(const Manifest& manifest);
// kDataLoss naming the field that is missing or wrong.
[[nodiscard]] base::Result<Manifest> ParseManifest(std::string_view json);

}  // namespace nv::host::storage
