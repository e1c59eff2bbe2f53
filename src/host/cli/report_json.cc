#include <cmath>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "host/cli/report.h"

namespace nv::host::cli {
namespace {

using Json = nlohmann::ordered_json;

// Microseconds are the last digits that mean something.
double Milliseconds(double value) { return std::round(value * 1000) / 1000; }

}  // namespace

std::string ReportAsJson(const client::RunReport& report, std::string_view out,
                         std::string_view err) {
  Json object;
  object["stdout"] = base::ReplaceInvalidUtf8(out);
  object["stderr"] = base::ReplaceInvalidUtf8(err);
  object["exit_code"] = report.exit_code;
  object["duration_ms"] = Milliseconds(report.duration_ms);
  object["timed_out"] = report.outcome == "timeout";
  object["outcome"] = base::ReplaceInvalidUtf8(report.outcome);
  object["signal"] = report.signal;
  object["truncated"] = {{"stdout_bytes", report.stdout_truncated},
                         {"stderr_bytes", report.stderr_truncated}};
  object["trace_id"] = base::ReplaceInvalidUtf8(report.trace_id);
  object["timings_ms"] = {{"acquire", Milliseconds(report.acquire_ms)},
                          {"prepare", Milliseconds(report.prepare_ms)},
                          {"compile", Milliseconds(report.compile_ms)},
                          {"run", Milliseconds(report.run_ms)},
                          {"total", Milliseconds(report.total_ms)}};
  object["usage"] = {{"cpu_ms", Milliseconds(report.cpu_ms)},
                     {"max_rss_bytes", report.max_rss_bytes}};
  if (!base::IsUtf8(out)) object["stdout_base64"] = base::Base64(out);
  if (!base::IsUtf8(err)) object["stderr_base64"] = base::Base64(err);
  return object.dump();
}

}  // namespace nv::host::cli
