// RunOutput: where a run's output goes: to standard output and error as it comes, or into one JSON
// object.
//
// Used by `run` on the thread that reads from the engine: a write that blocks holds back the
// program in the VM, nothing is piled up here (but with --json, where --max-output is the bound).

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "host/cli/progress_line.h"
#include "host/cli/stdio.h"
#include "host/client/run_client.h"

namespace nv::host::cli {

class RunOutput {
 public:
  enum class Form { kStreams, kJson };
  // cancel_fd ends a write that blocks. Starts the progress line when standard error is a terminal.
  [[nodiscard]] static base::Result<std::unique_ptr<RunOutput>> Create(Form form, int cancel_fd);

  // False when the stream cannot be written any more; failure() says why.
  [[nodiscard]] bool OnStdout(std::string_view bytes);
  [[nodiscard]] bool OnStderr(std::string_view bytes);
  void OnProgress(std::string_view text);
  // The run is over: the progress line goes.
  void EndProgress();

  // The object and a newline on standard output. False on failure. When the run was interrupted
  // already, what is known is worth writing still: only a second signal ends that.
  enum class After { kRun, kInterrupt };
  [[nodiscard]] bool WriteJson(const client::RunReport& report, After after);
  // Lines of ours on standard error, on a fresh line.
  void PrintNotices(std::string_view lines);

  // The first failed write.
  [[nodiscard]] const std::optional<base::Error>& failure() const { return failure_; }

 private:
  RunOutput(Form form, OutputFd out, OutputFd err)
      : form_(form), out_(std::move(out)), err_(std::move(err)) {}
  [[nodiscard]] bool Write(OutputFd& fd, std::string_view bytes);

  const Form form_;
  OutputFd out_;
  OutputFd err_;
  std::string json_stdout_;
  std::string json_stderr_;
  std::optional<base::Error> failure_;
  std::unique_ptr<ProgressLine> progress_;  // null when standard error is no terminal
};

}  // namespace nv::host::cli
