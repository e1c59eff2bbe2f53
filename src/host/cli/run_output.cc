#include "host/cli/run_output.h"

#include <unistd.h>

#include "host/cli/report.h"

namespace nv::host::cli {

base::Result<std::unique_ptr<RunOutput>> RunOutput::Create(Form form, int cancel_fd) {
  auto out = OutputFd::Create(STDOUT_FILENO, cancel_fd);
  if (!out) return base::Fail(std::move(out.error()));
  auto err = OutputFd::Create(STDERR_FILENO, cancel_fd);
  if (!err) return base::Fail(std::move(err.error()));
  std::unique_ptr<RunOutput> output(new RunOutput(form, *std::move(out), *std::move(err)));
  if (::isatty(STDERR_FILENO) == 1) {
    output->progress_ = std::make_unique<ProgressLine>(STDERR_FILENO, "starting a microVM");
  }
  return output;
}

bool RunOutput::Write(OutputFd& fd, std::string_view bytes) {
  EndProgress();
  auto written = fd.Write(bytes);
  if (!written && !failure_) failure_ = std::move(written.error());
  return written.has_value();
}

bool RunOutput::OnStdout(std::string_view bytes) {
  if (form_ == Form::kStreams) return Write(out_, bytes);
  json_stdout_ += bytes;
  return true;
}

bool RunOutput::OnStderr(std::string_view bytes) {
  if (form_ == Form::kStreams) return Write(err_, bytes);
  json_stderr_ += bytes;
  return true;
}

void RunOutput::OnProgress(std::string_view text) {
  if (progress_) progress_->Update(text);
}

void RunOutput::EndProgress() { progress_.reset(); }

bool RunOutput::WriteJson(const client::RunReport& report, After after) {
  if (after == After::kInterrupt) out_.IgnoreCancel();
  return Write(out_, ReportAsJson(report, json_stdout_, json_stderr_) + "\n");
}

void RunOutput::PrintNotices(std::string_view lines) {
  if (lines.empty()) return;
  std::string text = err_.inside_line() ? "\n" : "";
  text += lines;
  PrintToStderr(text);
}

}  // namespace nv::host::cli
