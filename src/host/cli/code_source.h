// Where the code to run comes from, and in which language it is.

#pragma once

#include <string>

#include "base/result.h"
#include "host/cli/run_options.h"

namespace nv::host::cli {

struct CodeSource {
  std::string code;
  std::string language;     // canonical
  bool took_stdin = false;  // the code was standard input: the program gets an empty one
};

// -c, FILE, or standard input (FILE "-", or none while standard input is no terminal). Language:
// -l, else the suffix, else the #! line, else Python for code without a file.
// kInvalidArgument and friends name the input, the reason and what to do: no code at all, both -c
// and FILE, code that is empty, over the limit or with NUL bytes (no supported language takes
// those), a directory, an unknown language. kCancelled when cancel_fd becomes readable first.
[[nodiscard]] base::Result<CodeSource> LoadCode(const RunOptions& options, int cancel_fd);

// The part without files: checks `code` and finds its language. `name` is how errors call it.
[[nodiscard]] base::Result<CodeSource> CheckCode(const RunOptions& options, std::string code,
                                                 const std::string& name);

}  // namespace nv::host::cli
