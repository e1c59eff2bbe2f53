// Engine: runs one program in one language in a cell of its own. Both services of the guest are
// thin shapes over it.
//
// Made in main. Run blocks on the thread that the caller got from StartRun; everything else is
// quick and may be called from any thread.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "guest/executor/languages.h"
#include "guest/executor/program_request.h"
#include "guest/runner/program_run.h"

namespace nv::guest::executor {

struct EngineOptions {
  bool own_namespaces = true;  // needs root
  bool change_user = true;     // programs become uid and gid; needs root
  std::uint32_t uid = 1000;
  std::uint32_t gid = 1000;
  std::string work_path = "/home/sandbox";  // also HOME
  std::string languages_file = "/usr/lib/neurovisor/languages";
  bool limit_memory = true;  // leave the agent room; needs the memory controller
};

struct RunRequest {
  const Language* language = nullptr;
  std::string code;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  std::chrono::milliseconds timeout{30'000};
  std::uint64_t max_output_bytes = 0;  // per stream; 0 no limit
  bool stdin_follows = false;
};

// Dropping it takes the cell down (milliseconds); no program lives in it any more, so the result
// can be sent first.
struct RunReport {
  runner::ProgramReport program;
  std::chrono::nanoseconds compile_time{0};
  std::unique_ptr<runner::Cell> cell;
};

class Engine {
 public:
  static constexpr std::size_t kMaxRuns = 32;  // at a time

  Engine(runner::Spawner& spawner, std::unique_ptr<runner::CgroupTree> cgroups,
         EngineOptions options);
  // Joins the threads of all runs; the caller has cancelled them.
  ~Engine();

  [[nodiscard]] const InstalledLanguages& languages() const { return languages_; }
  [[nodiscard]] std::vector<std::string> Lacks() const;

  // Limits of code, arguments and environment, toolchain there. Run believes that it was called.
  [[nodiscard]] base::Status Check(const RunRequest& request) const;
  [[nodiscard]] base::Result<RunReport> Run(const RunRequest& request, runner::RunControl& control,
                                            runner::OutputSink& sink);

  // Runs `work` on a thread of its own. kResourceExhausted past kMaxRuns.
  [[nodiscard]] base::Status StartRun(std::function<void()> work);

  // Given to the programs that start from now on.
  void SetTrace(TraceContext trace);
  [[nodiscard]] TraceContext trace() const;

 private:
  struct Worker {
    std::jthread thread;
    std::atomic<bool> done{false};
  };

  runner::Spawner& spawner_;
  const std::unique_ptr<runner::CgroupTree> cgroups_;
  const EngineOptions options_;
  const InstalledLanguages languages_;
  std::atomic<std::uint64_t> next_run_{1};

  mutable std::mutex mutex_;
  TraceContext trace_;
  std::list<Worker> workers_;
};

}  // namespace nv::guest::executor
