#include "host/cli/code_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/io.h"
#include "base/limits.h"
#include "host/cli/languages.h"
#include "host/cli/stdio.h"

namespace nv::host::cli {
namespace {

using base::Code;

std::unexpected<base::Error> Refuse(std::string message, std::string remedy) {
  return base::Fail(
      base::Error(Code::kInvalidArgument, std::move(message)).WithRemedy(std::move(remedy)));
}

std::unexpected<base::Error> TooLarge(const std::string& name) {
  return Refuse(
      fmt::format("{}: code is over the limit of {} bytes (4 MiB)", name, base::kMaxCodeBytes),
      "keep the code small and send its data by standard input");
}

// O_NONBLOCK: a named pipe without a writer must not hold us where no signal is looked at.
base::Result<base::UniqueFd> OpenCode(const std::string& path) {
  auto file = base::OpenFile(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) {
    const int reason = file.error().error_number();
    std::string remedy = "check the path";
    if (reason == ENOENT) remedy = "check the path, or give code itself with -c 'CODE'";
    if (reason == EACCES) remedy = fmt::format("chmod +r '{}', or give it with: < FILE", path);
    return base::Fail(std::move(file.error()).WithRemedy(std::move(remedy)));
  }
  struct stat status {};
  if (::fstat(file->get(), &status) == 0 && S_ISDIR(status.st_mode)) {
    return Refuse(fmt::format("'{}' is a directory, not a file of code", path),
                  fmt::format("neurovisor run '{}/main.py'", path));
  }
  return file;
}

base::Result<CodeSource> LoadFrom(const RunOptions& options, int fd, const std::string& name,
                                  int cancel_fd) {
  auto code = ReadToEnd(fd, base::kMaxCodeBytes, cancel_fd);
  if (!code) {
    if (code.error().code() == Code::kResourceExhausted) return TooLarge(name);
    if (code.error().code() == Code::kCancelled) return base::Fail(std::move(code.error()));
    return base::Fail(std::move(code.error()).WithContext(name).WithRemedy("check the input"));
  }
  return CheckCode(options, *std::move(code), name);
}

}  // namespace

base::Result<CodeSource> CheckCode(const RunOptions& options, std::string code,
                                   const std::string& name) {
  if (code.size() > base::kMaxCodeBytes) return TooLarge(name);
  if (code.empty()) {
    return Refuse(fmt::format("{}: the code is empty", name), "neurovisor run -c 'print(1)'");
  }
  if (const std::size_t at = code.find('\0'); at != std::string::npos) {
    return Refuse(fmt::format("{}: the code has a NUL byte at offset {}; no supported language "
                              "accepts that",
                              name, at),
                  "give source code as text (UTF-8), not a binary or UTF-16 file");
  }

  CodeSource source;
  source.language = options.language;
  if (source.language.empty() && options.file && *options.file != "-") {
    source.language = LanguageOfSuffix(*options.file).value_or("");
  }
  if (source.language.empty()) {
    const auto found = LanguageOfFirstLine(code);
    if (!found) {
      return base::Fail(
          base::Error(found.error()).WithContext(name).WithRemedy("say which with -l NAME"));
    }
    source.language = found->value_or("");
  }
  if (source.language.empty()) {
    if (options.file && *options.file != "-") {
      return Refuse(fmt::format("{}: neither a known suffix nor a #! line tells the language; "
                                "supported: {}",
                                name, SupportedLanguages()),
                    "say which with -l NAME");
    }
    source.language = "python";
  }
  source.code = std::move(code);
  return source;
}

base::Result<CodeSource> LoadCode(const RunOptions& options, int cancel_fd) {
  if (options.code) return CheckCode(options, *options.code, "-c");

  if (options.file && *options.file != "-") {
    auto file = OpenCode(*options.file);
    if (!file) return base::Fail(std::move(file.error()));
    return LoadFrom(options, file->get(), fmt::format("'{}'", *options.file), cancel_fd);
  }

  if (!options.file && ::isatty(STDIN_FILENO) == 1) {
    return Refuse("no code: give a FILE, -c CODE, or '-' to type it",
                  "neurovisor run -c 'print(1)'");
  }
  if (options.stdin_path && *options.stdin_path == "-") {
    return Refuse("--stdin -: standard input already gives the code",
                  "give the code as a FILE or with -c");
  }
  auto input = OpenAgain(STDIN_FILENO, O_RDONLY);
  if (!input) return base::Fail(std::move(input.error()));
  auto source = LoadFrom(options, input->get(), "standard input", cancel_fd);
  if (source) source->took_stdin = true;
  return source;
}

}  // namespace nv::host::cli
