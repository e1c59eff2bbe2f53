// The language table: what a request's language is called, what its file is called, and how it
// runs.
//
// One row a language; a new language is a new row. The image builder writes the versions that the
// image has into /usr/lib/neurovisor/languages; nothing is started to find them out.

#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nv::guest::executor {

struct Language {
  std::string_view name;                      // canonical, as guest.v1 has it
  std::span<const std::string_view> aliases;  // ExecutionService accepts them too
  std::string_view file_name;                 // of the code in the working directory
  std::span<const std::string_view> compile;  // program and arguments before the file; empty: none
  std::span<const std::string_view> run;      // the same; program is an absolute path
  std::span<const std::string_view> environment;  // "K=V", before the request's
  std::string_view image;                         // the smallest image that has the toolchain
};

[[nodiscard]] std::span<const Language> AllLanguages();
// By name or alias. kInvalidArgument naming the supported ones.
[[nodiscard]] base::Result<const Language*> FindLanguage(std::string_view name);

// What this guest has.
class InstalledLanguages {
 public:
  // Reads lines "name version". Without the file a language is there when its program is, with the
  // version "unknown" (a test on a host).
  [[nodiscard]] static InstalledLanguages Load(const std::string& path);
  // Empty: the toolchain is missing.
  [[nodiscard]] std::string Version(const Language& language) const;
  // kFailedPrecondition "toolchain missing" naming the image that has it.
  [[nodiscard]] base::Status Check(const Language& language) const;

 private:
  std::map<std::string, std::string, std::less<>> versions_;
};

}  // namespace nv::guest::executor
