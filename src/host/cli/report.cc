#include "host/cli/report.h"

#include <cstring>

#include <fmt/format.h>

#include "host/cli/stdio.h"

namespace nv::host::cli {
namespace {

std::string SignalText(int number) {
  const char* name = ::sigabbrev_np(number);
  if (name == nullptr) return fmt::format("signal {}", number);
  return fmt::format("signal {} (SIG{})", number, name);
}

std::string OutcomeNotice(const client::RunRequest& request, const client::RunReport& report) {
  if (report.outcome == "timeout") {
    return fmt::format("neurovisor: timed out after {} s; allow more with --timeout\n",
                       request.timeout_secs);
  }
  if (report.outcome == "oom") {
    return fmt::format("neurovisor: out of memory: killed at the memory limit of size '{}'{}\n",
                       request.size, request.size == "large" ? "" : "; allow more with --size");
  }
  if (report.outcome == "signal") {
    return fmt::format("neurovisor: the program was killed by {}\n", SignalText(report.signal));
  }
  if (report.outcome == "cancelled") return "neurovisor: the run was cancelled\n";
  return {};
}

}  // namespace

std::string Notices(const client::RunRequest& request, const client::RunReport& report) {
  std::string text = OutcomeNotice(request, report);
  if (report.stdout_truncated != 0 || report.stderr_truncated != 0) {
    text += fmt::format(
        "neurovisor: output past {} bytes a stream was discarded (stdout {}, stderr {} bytes); "
        "allow more with --max-output\n",
        request.max_output_bytes, report.stdout_truncated, report.stderr_truncated);
  }
  if (!report.hint.empty()) text += fmt::format("neurovisor: hint: {}\n", Printable(report.hint));
  return text;
}

std::string TimingsLine(const client::RunReport& report) {
  return fmt::format(
      "neurovisor: acquire {:.1f} ms, prepare {:.1f} ms, compile {:.1f} ms, run {:.1f} ms, "
      "total {:.1f} ms ({}, {})\n",
      report.acquire_ms, report.prepare_ms, report.compile_ms, report.run_ms, report.total_ms,
      Printable(report.backend), Printable(report.accelerator));
}

}  // namespace nv::host::cli
