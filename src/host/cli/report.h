// What `run` says after a run: its notices, the timings line, the JSON object.

#pragma once

#include <string>
#include <string_view>

#include "host/client/run_client.h"

namespace nv::host::cli {

// What the program's own output does not tell: timeout, out of memory, signal, discarded output,
// and the engine's hint. Each a line that begins with "neurovisor: "; empty for a plain end.
[[nodiscard]] std::string Notices(const client::RunRequest& request,
                                  const client::RunReport& report);

// "neurovisor: acquire 812.4 ms, ... total 862.0 ms (qemu, tcg)\n".
[[nodiscard]] std::string TimingsLine(const client::RunReport& report);

// The contract's object, one line without a newline. Bytes that are not UTF-8 become U+FFFD, and
// the truth is added as stdout_base64 or stderr_base64.
[[nodiscard]] std::string ReportAsJson(const client::RunReport& report, std::string_view out,
                                       std::string_view err);

}  // namespace nv::host::cli
