// RunOptions: what the command line of `neurovisor run` says, checked.
//
// Pure: reads no file and no environment but through the reader given, so that every bad input has
// a unit test. Each error names the flag (or variable) as written, the reason, and what is
// accepted.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "host/cli/flags.h"

namespace nv::host::cli {

struct RunOptions {
  bool help = false;

  std::optional<std::string> code;  // -c
  std::optional<std::string> file;  // FILE; "-" is standard input
  std::vector<std::string> args;    // the program's own
  std::string language;             // canonical; empty: found from the code

  std::map<std::string, std::string> env;
  std::optional<std::string> stdin_path;  // --stdin; "-" is standard input, as without the flag
  std::uint32_t timeout_secs = base::kDefaultTimeoutSecs;
  std::uint64_t max_output_bytes = base::kDefaultMaxOutputBytes;  // 0: no limit
  std::string size;                                               // canonical; empty: the default
  std::string image;                                              // empty: the default

  bool json = false;
  bool timings = false;
  bool cold = false;
  bool standalone = false;  // also when a flag below is given: only a private engine can obey those
  std::string socket;       // --socket alone; the variable is read where the daemon is looked for
  std::string accel;
  std::string backend;
  std::string data_dir;
};

// kInvalidArgument as described above; kUnimplemented for flags of a later version.
[[nodiscard]] base::Result<RunOptions> ParseRunOptions(std::span<const std::string> args,
                                                       VariableReader read_variable);

}  // namespace nv::host::cli
