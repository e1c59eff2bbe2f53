#include "guest/executor/engine.h"

#include <unistd.h>

#include <algorithm>
#include <sstream>

#include <fmt/format.h>

#include "base/io.h"
#include "guest/runner/program_exec.h"

namespace nv::guest::executor {
namespace {

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kAgentReserveBytes = 24 * kKiB * kKiB;  // streams in flight, page tables
constexpr std::uint64_t kLeastMemoryBytes = 32 * kKiB * kKiB;

// What programs may use: all that is free now but the agent's reserve. The cgroup's OOM killer must
// come before the kernel's own, which stops the whole guest to look for a victim. 0 when unknown.
std::uint64_t MemoryForPrograms() {
  const auto text = base::ReadFile("/proc/meminfo", 64 * kKiB);
  if (!text) return 0;
  std::istringstream lines(*text);
  std::string word;
  while (lines >> word) {
    if (word != "MemAvailable:") continue;
    std::uint64_t kib = 0;
    if (!(lines >> kib)) return 0;
    const std::uint64_t available = kib * kKiB;
    return available > kAgentReserveBytes + kLeastMemoryBytes ? available - kAgentReserveBytes
                                                              : kLeastMemoryBytes;
  }
  return 0;
}

std::vector<std::string> CommandLine(const Language& language,
                                     const std::vector<std::string>& arguments) {
  std::vector<std::string> argv(language.run.begin(), language.run.end());
  argv.emplace_back(language.file_name);
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

}  // namespace

Engine::Engine(runner::Spawner& spawner, std::unique_ptr<runner::CgroupTree> cgroups,
               EngineOptions options)
    : spawner_(spawner),
      cgroups_(std::move(cgroups)),
      options_(std::move(options)),
      languages_(InstalledLanguages::Load(options_.languages_file)) {}

Engine::~Engine() = default;

std::vector<std::string> Engine::Lacks() const {
  std::vector<std::string> lacks = cgroups_->lacks();
  if (!options_.own_namespaces) lacks.emplace_back("namespaces");
  if (!options_.change_user) lacks.emplace_back("own_user");
  return lacks;
}

base::Status Engine::Check(const RunRequest& request) const {
  if (auto ok = CheckCode(request.code); !ok) return ok;
  if (auto ok = CheckArguments(request.arguments); !ok) return ok;
  if (auto ok = CheckEnvironment(request.environment); !ok) return ok;
  return languages_.Check(*request.language);
}

base::Result<RunReport> Engine::Run(const RunRequest& request, runner::RunControl& control,
                                    runner::OutputSink& sink) {
  const std::string name = fmt::format("run-{}", next_run_.fetch_add(1));
  runner::CellOptions cell_options;
  cell_options.shape.namespaces = options_.own_namespaces;
  cell_options.shape.change_user = options_.change_user;
  cell_options.shape.uid = options_.uid;
  cell_options.shape.gid = options_.gid;
  cell_options.owns_work_directory = !options_.own_namespaces;
  std::string work_path = options_.work_path;
  if (!options_.own_namespaces) work_path += fmt::format("-{}-{}", getpid(), name);
  if (work_path.size() >= runner::kMaxCellPath) {
    return base::Fail(base::Code::kInternal, "the work directory's path is too long");
  }
  std::ranges::copy(work_path, cell_options.shape.work_path.begin());
  cell_options.limits = {.memory_bytes = options_.limit_memory ? MemoryForPrograms() : 0,
                         .max_processes = runner::kMaxProcesses};

  auto cell = runner::Cell::Create(spawner_, *cgroups_, name, cell_options);
  if (!cell) return base::Fail(std::move(cell.error()));
  const Language& language = *request.language;
  if (auto ok = (*cell)->WriteFile(std::string(language.file_name), request.code); !ok) {
    return base::Fail(std::move(ok.error()).WithContext("write the program"));
  }
  const runner::ProgramSpec spec{.argv = CommandLine(language, request.arguments),
                                 .environment = ProgramEnvironment(
                                     work_path, trace(), language.environment, request.environment),
                                 .timeout = request.timeout,
                                 .max_output_bytes = request.max_output_bytes,
                                 .stdin_follows = request.stdin_follows};
  auto program = runner::RunProgram(**cell, spec, control, sink);
  if (!program) return base::Fail(std::move(program.error()));
  return RunReport{.program = std::move(*program), .cell = std::move(*cell)};
}

base::Status Engine::StartRun(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  std::erase_if(workers_, [](const Worker& worker) { return worker.done.load(); });
  if (workers_.size() >= kMaxRuns) {
    return base::Fail(
        base::Code::kResourceExhausted,
        fmt::format("{} programs run already, the limit is {}", workers_.size(), kMaxRuns));
  }
  Worker& worker = workers_.emplace_back();
  worker.thread = std::jthread([&worker, work = std::move(work)] {
    work();
    worker.done = true;
  });
  return {};
}

void Engine::SetTrace(TraceContext trace) {
  const std::lock_guard lock(mutex_);
  trace_ = std::move(trace);
}

TraceContext Engine::trace() const {
  const std::lock_guard lock(mutex_);
  return trace_;
}

}  // namespace nv::guest::executor
