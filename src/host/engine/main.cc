// neurovisor-engine: what the client execs for everything that needs the big libraries.
//
// One sub-command a process; `neurovisor` passes its own arguments on. Each command parses its
// flags itself (commands/<name>.cc) and returns the exit status: 0, 1 for a failure of the work, 2
// for a usage error.

#include <csignal>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/version.h"
#include "host/engine/commands/bench.h"
#include "host/engine/commands/doctor.h"
#include "host/engine/commands/image.h"
#include "host/engine/commands/private_run.h"

namespace {

using Command = int (*)(std::span<const std::string> args);

struct Entry {
  std::string_view name;
  Command run;
  std::string_view help;
};

constexpr Entry kCommands[] = {
    {"bench", nv::host::engine::BenchCommand, "measure boots on this machine"},
    {"doctor", nv::host::engine::DoctorCommand, "what this machine can do, and what it lacks"},
    {"image", nv::host::engine::ImageCommand, "build, list, inspect and remove images"},
    {"private-run", nv::host::engine::PrivateRunCommand,
     "serve one client on descriptor 3 (started by neurovisor run)"},
    {"version", nullptr, "print the version"},
};

void PrintHelp(std::FILE* out) {
  std::fputs(
      "The large half of NeuroVisor. People use `neurovisor`, which starts it when needed.\n\n"
      "usage: neurovisor-engine COMMAND [OPTIONS]\n\ncommands:\n",
      out);
  for (const Entry& entry : kCommands) {
    std::fprintf(out, "  %-12s %s\n", entry.name.data(), entry.help.data());
  }
  std::fputs("\nexamples:\n  neurovisor-engine image list\n  neurovisor-engine bench boot --n 10\n",
             out);
}

}  // namespace

int main(int argc, char** argv) {
  // A closed socket or terminal is an error code where it is written, not a death.
  std::signal(SIGPIPE, SIG_IGN);

  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.empty()) {
    PrintHelp(stderr);
    return 2;
  }
  if (args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
    PrintHelp(stdout);
    return 0;
  }
  if (args[0] == "version" || args[0] == "--version") {
    std::printf("neurovisor-engine %s (guest protocol %u)\n", nv::base::kVersion,
                nv::base::kGuestProtocol);
    return 0;
  }
  for (const Entry& entry : kCommands) {
    if (entry.name == args[0]) return entry.run(std::span(args).subspan(1));
  }
  std::fprintf(stderr, "neurovisor-engine: unknown command '%s'; accepted:", args[0].c_str());
  for (const Entry& entry : kCommands) std::fprintf(stderr, " %s", entry.name.data());
  std::fputc('\n', stderr);
  return 2;
}
