#include "host/storage/build_step.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/child_process.h"
#include "base/io.h"
#include "base/tail_buffer.h"
#include "base/text.h"

namespace nv::host::storage {
namespace {

using base::Code;
using base::Error;
using base::Fail;
using base::Result;
using base::Status;

constexpr int kLifelineFd = 3;
constexpr std::size_t kTailBytes = 16 * 1024;
constexpr std::size_t kTailLines = 12;
constexpr std::chrono::hours kStepLimit{2};  // the tuned kernel on a slow, busy machine
// Runs "$@" and ends the process group with it when descriptor 3 reaches end of file, which it does
// when the builder is gone. The script itself does not get the descriptor.
constexpr std::string_view kSupervisor = R"(
(trap '' TERM; read -r _ <&3; kill -KILL 0) > /dev/null 2>&1 &
watcher=$!
exec 3<&-
"$@" &
script=$!
trap 'kill -TERM $script 2> /dev/null' TERM
wait $script; status=$?
while kill -0 $script 2> /dev/null; do wait $script; status=$?; done
kill -KILL $watcher
exit $status
)";

// What a script says about its failure.
struct Report {
  std::string error;
  std::string remedy;
  bool disk_full = false;

  void Read(std::string_view line) {
    constexpr std::string_view kError = "error: ";
    constexpr std::string_view kRemedy = "remedy: ";
    if (line.starts_with(kError)) error = line.substr(kError.size());
    if (line.starts_with(kRemedy)) remedy = line.substr(kRemedy.size());
    if (line.contains("No space left on device")) disk_full = true;
  }
};

std::uint64_t FreeMebibytes(const std::string& path) {
  struct statvfs about {};
  if (::statvfs(path.c_str(), &about) != 0) return 0;
  return std::uint64_t{about.f_bavail} * about.f_frsize >> 20U;
}

Error Explain(const Step& step, const Report& report, const base::ExitStatus& ended,
              const base::TailBuffer& tail) {
  const std::string log = fmt::format("{}/{}.log", step.log_directory, step.name);
  std::string details = fmt::format("command: {} ({})\nlog: {}\n", fmt::join(step.command, " "),
                                    ended.Describe(), log);
  details += tail.LastLinesEscaped(kTailLines);
  if (report.disk_full) {
    return Error(Code::kResourceExhausted,
                 fmt::format("step '{}': the disk of '{}' is full ({} MiB left)", step.name,
                             step.log_directory, FreeMebibytes(step.log_directory)))
        .WithRemedy("make room there, or choose another place by NEUROVISOR_DATA_DIR")
        .WithDetails(std::move(details));
  }
  std::string message = report.error.empty() ? "failed with " + ended.Describe()
                                             : base::EscapeForTerminal(report.error, 400);
  return Error(Code::kUnavailable, fmt::format("step '{}': {}", step.name, message))
      .WithRemedy(base::EscapeForTerminal(report.remedy, 400))
      .WithDetails(std::move(details));
}

}  // namespace

Status RunStep(const Step& step, const std::function<void(std::string_view line)>& on_line) {
  const std::string log_path = fmt::format("{}/{}.log", step.log_directory, step.name);
  Result<base::UniqueFd> log = base::OpenFile(log_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (!log) return Fail(std::move(log.error()));
  Result<base::FdPair> lifeline = base::MakePipe();
  if (!lifeline) return Fail(std::move(lifeline.error()));

  base::SpawnOptions options;
  options.argv = {"bash", "-c", std::string(kSupervisor), "image-step"};
  options.argv.insert(options.argv.end(), step.command.begin(), step.command.end());
  options.environment = base::HelperEnvironment();
  // Messages are read here: tools must speak the language that Report knows.
  options.environment.emplace_back("LC_ALL=C");
  options.environment.insert(options.environment.end(), step.variables.begin(),
                             step.variables.end());
  options.fds = {{lifeline->first.get(), kLifelineFd}};
  options.working_directory = "/";

  base::TailBuffer tail(kTailBytes);
  Report report;
  const auto read_line = [&](std::string_view line) {
    report.Read(line);
    tail.Append(line);
    tail.Append("\n");
    // A log that cannot be written (full disk) must not hide the failure that follows.
    static_cast<void>(base::WriteAll(log->get(), fmt::format("{}\n", line)));
    on_line(line);
  };
  const base::Deadline deadline = std::chrono::steady_clock::now() + kStepLimit;
  const Result<base::ExitStatus> ended =
      base::RunCommand(std::move(options), read_line, deadline, step.cancel_fd);
  if (!ended && ended.error().code() == Code::kCancelled) {
    return Fail(Code::kCancelled, fmt::format("stopped in step '{}'; nothing is left", step.name));
  }
  if (!ended) {
    Error error = ended.error();
    return Fail(std::move(error).WithContext(fmt::format("step '{}'", step.name)));
  }
  if (ended->ok()) return {};
  return Fail(Explain(step, report, *ended, tail));
}

}  // namespace nv::host::storage
