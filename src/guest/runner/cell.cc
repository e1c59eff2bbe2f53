#include "guest/runner/cell.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "base/io.h"

namespace nv::guest::runner {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kCreateDeadline{10};
constexpr seconds kEndDeadline{5};

base::Error FromEvent(const Event& event, std::string_view action) {
  return base::Error::FromErrno(event.error_number,
                                std::string(action) + " (" + event.what.data() + ")");
}

// One memfd with all strings: a command's own message stays small.
base::Result<base::UniqueFd> PackStrings(const ProgramStart& program) {
  std::string packed;
  for (const auto* list : {&program.argv, &program.environment}) {
    for (const std::string& text : *list) packed.append(text.c_str(), text.size() + 1);
  }
  base::UniqueFd fd(memfd_create("program", MFD_CLOEXEC));
  if (!fd.valid()) return base::FailErrno("memfd_create");
  if (auto ok = base::WriteAll(fd.get(), packed); !ok) return base::Fail(std::move(ok.error()));
  return fd;
}

}  // namespace

base::Result<std::unique_ptr<Cell>> Cell::Create(Spawner& spawner, const CgroupTree& cgroups,
                                                 const std::string& name,
                                                 const CellOptions& options) {
  auto cell = std::unique_ptr<Cell>(new Cell);
  cell->work_path_ = options.shape.work_path.data();
  cell->uid_ = options.shape.uid;
  cell->gid_ = options.shape.gid;
  cell->change_user_ = options.shape.change_user;
  if (options.owns_work_directory) {
    if (mkdir(cell->work_path_.c_str(), 0700) != 0) {
      return base::FailErrno("make " + cell->work_path_);
    }
    cell->own_directory_ = cell->work_path_;
  }
  auto group = cgroups.Make(name, options.limits);
  if (!group) return base::Fail(std::move(group.error()));
  cell->cgroup_ = std::move(*group);

  auto control =
      spawner.Make(options.shape, cell->cgroup_ == nullptr ? -1 : cell->cgroup_->directory());
  if (!control) return base::Fail(std::move(control.error()));
  cell->control_ = std::move(*control);
  if (auto ok = cell->AwaitReady(); !ok) {
    return base::Fail(std::move(ok.error()).WithContext("make a cell"));
  }
  return cell;
}

base::Status Cell::AwaitReady() {
  const auto deadline = steady_clock::now() + kCreateDeadline;
  while (!pidfd_.valid() || !work_dir_.valid()) {
    const auto ready = base::PollUntil(control_.get(), POLLIN, deadline);
    if (!ready) return base::Fail(base::Error(ready.error()));
    if (!*ready) return base::Fail(base::Code::kDeadlineExceeded, "the reaper does not answer");
    Event event;
    auto fds = Receive(control_.get(), event);
    if (!fds) return base::Fail(std::move(fds.error()));
    if (event.kind == EventKind::kFailed) return base::Fail(FromEvent(event, "cell"));
    if (fds->size() != 1) return base::Fail(base::Code::kInternal, "reaper: no descriptor");
    if (event.kind == EventKind::kCreated) pidfd_ = std::move(fds->front());
    if (event.kind == EventKind::kReady) work_dir_ = std::move(fds->front());
  }
  return {};
}

Cell::~Cell() {
  KillHard();
  if (cgroup_ != nullptr) cgroup_->Kill();
  if (pidfd_.valid()) {
    // The pidfd is readable when the reaper is dead, which it is not before its namespace is empty.
    static_cast<void>(base::PollUntil(pidfd_.get(), POLLIN, steady_clock::now() + kEndDeadline));
  }
  if (!own_directory_.empty()) {
    std::error_code ignored;
    std::filesystem::remove_all(own_directory_, ignored);
  }
}

base::Status Cell::WriteFile(const std::string& name, std::string_view bytes) {
  const base::UniqueFd fd(openat(work_dir_.get(), name.c_str(),
                                 O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!fd.valid()) return base::FailErrno("create " + name);
  if (auto ok = base::WriteAll(fd.get(), bytes); !ok) {
    return base::Fail(std::move(ok.error()).WithContext(name));
  }
  if (change_user_ && fchown(fd.get(), uid_, gid_) != 0) return base::FailErrno("chown " + name);
  return {};
}

base::Status Cell::Start(const ProgramStart& program) {
  const auto strings = PackStrings(program);
  if (!strings) return base::Fail(base::Error(strings.error()));
  Command command{.kind = CommandKind::kStart,
                  .argument_count = static_cast<std::uint32_t>(program.argv.size()),
                  .environment_count = static_cast<std::uint32_t>(program.environment.size())};
  const std::array fds{program.stdin_fd, program.stdout_fd, program.stderr_fd, strings->get()};
  return Send(control_.get(), command, fds);
}

base::Result<std::optional<Event>> Cell::NextEvent() {
  Event event;
  auto fds = Receive(control_.get(), event, MSG_DONTWAIT);
  if (fds) return event;
  if (fds.error().error_number() == EAGAIN) return std::nullopt;
  return base::Fail(std::move(fds.error()));
}

void Cell::KillAll() {
  // When the reaper is gone there is nothing left to kill, and NextEvent says so.
  static_cast<void>(Send(control_.get(), Command{.kind = CommandKind::kKillAll}));
}

void Cell::KillHard() {
  if (!pidfd_.valid()) return;
  if (!own_directory_.empty()) {
    // No PID namespace: the kernel would not kill the rest. The reaper does, when its socket
    // closes.
    control_.Reset();
    if (base::PollUntil(pidfd_.get(), POLLIN, steady_clock::now() + kEndDeadline).value_or(false)) {
      return;
    }
  }
  syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

}  // namespace nv::guest::runner
