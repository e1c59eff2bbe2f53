// neurovisor: what users type. Small and static, so that it starts in a blink; what needs the big
// libraries is handed to neurovisor-engine by exec.

#include <unistd.h>

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/io.h"
#include "base/version.h"
#include "host/cli/flags.h"
#include "host/cli/help.h"
#include "host/cli/run_command.h"
#include "host/cli/stdio.h"
#include "host/config/config.h"

namespace nv::host::cli {
namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;

constexpr std::array<std::string_view, 5> kCommands{"run", "image", "doctor", "bench", "version"};
constexpr std::array<std::string_view, 3> kEngineCommands{"image", "doctor", "bench"};
constexpr std::array<std::string_view, 8> kLaterCommands{"serve", "agent",    "snapshot", "ps",
                                                         "mcp",   "sessions", "token",    "config"};

bool IsOneOf(std::span<const std::string_view> names, std::string_view name) {
  for (std::string_view one : names) {
    if (one == name) return true;
  }
  return false;
}

int Print(std::string_view text) { return base::WriteAll(STDOUT_FILENO, text) ? 0 : kFailure; }

int Usage(std::string_view message) {
  PrintToStderr(fmt::format("neurovisor: {}\n  try: neurovisor --help\n", Printable(message)));
  return kUsage;
}

int VersionCommand(std::span<const std::string> args) {
  bool json = false;
  for (const std::string& arg : args) {
    if (arg == "--help" || arg == "-h") return Print(kVersionHelp);
    if (arg != "--json") {
      return Usage(fmt::format("version: unknown argument '{}'; accepted: --json, --help", arg));
    }
    json = true;
  }
  if (json) {
    return Print(fmt::format("{{\"version\": \"{}\", \"guest_protocol\": {}}}\n", base::kVersion,
                             base::kGuestProtocol));
  }
  return Print(
      fmt::format("neurovisor {} (guest protocol {})\n", base::kVersion, base::kGuestProtocol));
}

// Becomes the engine; returns only when that fails.
int HandOver(std::span<const std::string> args) {
  const auto paths = config::FindPaths();
  if (!paths) {
    PrintToStderr(DescribeError(paths.error()));
    return kFailure;
  }
  const std::string program = paths->libexec + "/neurovisor-engine";
  // exec's prototype predates const; nothing writes through it.
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  PrintToStderr(
      DescribeError(base::Error::FromErrno(errno, fmt::format("start '{}'", program))
                        .WithRemedy("build it (cmake --build --preset release), install it, or set "
                                    "NEUROVISOR_LIBEXEC_DIR to where neurovisor-engine is")));
  return kFailure;
}

int Main(std::span<const std::string> args) {
  if (args.empty()) {
    PrintToStderr(kMainHelp);
    return kUsage;
  }
  const std::string& command = args[0];
  const auto rest = args.subspan(1);
  if (command == "run") return RunCommand(rest);
  if (command == "version" || command == "--version" || command == "-V") {
    return VersionCommand(rest);
  }
  if (command == "help" || command == "--help" || command == "-h") return Print(kMainHelp);
  if (IsOneOf(kEngineCommands, command)) return HandOver(args);

  const std::string accepted = fmt::format("accepted: {}", fmt::join(kCommands, ", "));
  if (IsOneOf(kLaterCommands, command)) {
    return Usage(fmt::format("'{}' is not in this version; {}", command, accepted));
  }
  if (command.starts_with('-')) {
    return Usage(
        fmt::format("unknown flag '{}' where a sub-command belongs; {}", command, accepted));
  }
  const std::string_view nearest = Nearest(command, kCommands);
  const std::string meant = nearest.empty() ? "" : fmt::format(" (did you mean {}?)", nearest);
  return Usage(fmt::format("unknown sub-command '{}'{}; {}", command, meant, accepted));
}

}  // namespace
}  // namespace nv::host::cli

// gRPC's static constructors open descriptors, which would land on a closed 0, 1 or 2: this one
// runs before them. 101 is the first priority that is not the C library's.
[[gnu::constructor(101)]] void FillStandardDescriptors() {
  nv::host::cli::OpenMissingStandardDescriptors();
}

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  return nv::host::cli::Main(args);
}
