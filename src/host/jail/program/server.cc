#include "host/jail/program/server.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>
#include <vector>

#include "base/child_process.h"
#include "host/jail/program/cage.h"
#include "host/jail/program/request_check.h"

namespace nv::host::jail {

using base::Deadline;
using base::UniqueFd;
using std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds kEndWait{5};

Reply MakeReply(ReplyType type, std::uint64_t id) {
  Reply reply{};
  reply.version = kVersion;
  reply.type = type;
  reply.id = id;
  return reply;
}

// The group that may use KVM, for a VMM under a uid of its own. Never group 0: that would hand out
// much more than a device.
struct KvmAccess {
  const char* refusal = nullptr;
  std::optional<std::uint32_t> group;
};
KvmAccess FindKvmAccess(const std::string& device) {
  struct stat facts {};
  if (::stat(device.c_str(), &facts) != 0) return {"cannot find the KVM device", {}};
  if ((facts.st_mode & 06) == 06) return {};
  if ((facts.st_mode & 060) == 060 && facts.st_gid != 0) return {nullptr, facts.st_gid};
  return {"the KVM device is open to no group but root's", {}};
}

}  // namespace

base::Result<std::unique_ptr<Server>> Server::Create(ServerOptions options) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return base::FailErrno("cannot block signals");
  UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.valid()) return base::FailErrno("cannot make a signal descriptor");
  std::unique_ptr<Server> server(new Server(std::move(options), std::move(signals)));
  if (::geteuid() == 0) server->uids_ = UidPool::Open(server->options_.uid_directory);
  return server;
}

Server::Server(ServerOptions options, UniqueFd signals)
    : options_(std::move(options)),
      signals_(std::move(signals)),
      vsock_(options_.vsock_device),
      uids_(base::Fail(base::Code::kFailedPrecondition, "no uids without root")),
      request_(std::make_unique<Request>()) {}

void Server::Run() {
  for (;;) {
    pollfd fds[2] = {{options_.socket.get(), 0, 0}, {signals_.get(), POLLIN, 0}};
    fds[0].events = outgoing_.empty() ? POLLIN : POLLOUT;
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) break;
    if (fds[1].revents != 0 && !ReadSignals()) break;
    if (!Flush()) break;
    if (outgoing_.empty() && (fds[0].revents & POLLIN) != 0) {
      if (!ReadRecord()) break;
    } else if ((fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
      break;
    }
  }
  EndAll();
}

bool Server::ReadSignals() {
  bool go_on = true;
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGCHLD) go_on = false;
  }
  Reap();
  return go_on;
}

bool Server::ReadRecord() {
  base::Result<Record> record =
      ReceiveRecord(options_.socket.get(), std::as_writable_bytes(std::span(request_.get(), 1)));
  if (!record) return record.error().code() == base::Code::kDeadlineExceeded;
  if (record->bytes == 0 && record->fds.empty()) return false;
  if (record->cut || record->bytes != sizeof(Request)) {
    Refuse(0, EMSGSIZE, "record of another size");
    return Flush();
  }
  Handle(*record);
  return Flush();
}

void Server::Handle(Record& record) {
  const Request& request = *request_;
  if (const char* wrong = CheckRequest(request, record.fds.size())) {
    Refuse(request.id, EINVAL, wrong);
    return;
  }
  switch (request.type) {
    case RequestType::kHello: {
      Reply reply = MakeReply(ReplyType::kHelloReply, request.id);
      reply.uid = ::geteuid();
      Queue({reply, {}});
      return;
    }
    case RequestType::kStart:
      Start(record);
      return;
    case RequestType::kKill:
      for (const auto& [pid, child] : children_) {
        // Not reaped yet, so the number is still this child's.
        if (child.id == request.id) ::kill(pid, SIGKILL);
      }
      return;
    case RequestType::kOpenVsock:
      OpenVsock();
      return;
  }
}

void Server::Start(Record& record) {
  const Request& request = *request_;
  const auto same_id = [&](const auto& entry) { return entry.second.id == request.id; };
  if (std::ranges::any_of(children_, same_id)) {
    Refuse(request.id, EEXIST, "a child with this id runs");
    return;
  }
  if (children_.size() >= kMaxChildren) {
    Refuse(request.id, EAGAIN, "1024 children run");
    return;
  }
  if (options_.qemu_path.empty()) {
    Refuse(request.id, ENOENT, "this jail was given no QEMU");
    return;
  }

  CageOptions cage{};
  ClaimedUid uid;
  if (::geteuid() == 0) {
    if (!uids_) {
      Refuse(request.id, uids_.error().error_number(), uids_.error().message());
      return;
    }
    base::Result<ClaimedUid> claimed = uids_->Claim();
    if (!claimed) {
      Refuse(request.id, claimed.error().error_number(), claimed.error().message());
      return;
    }
    uid = std::move(*claimed);
    cage.uid = uid.uid();
    if ((request.flags & kNeedsKvm) != 0) {
      const KvmAccess kvm = FindKvmAccess(options_.kvm_device);
      if (kvm.refusal != nullptr) {
        Refuse(request.id, EACCES, kvm.refusal);
        return;
      }
      cage.extra_group = kvm.group;
    }
  }

  Argv argv;
  FillArgv(request, options_.qemu_path.c_str(), argv);
  FdPlacement placements[kMaxFds];
  for (std::uint32_t i = 0; i < request.fd_count; ++i) {
    placements[i] = {record.fds[i].get(), request.fd_numbers[i]};
  }
  cage.program = options_.qemu_path.c_str();
  cage.argv = argv.data();
  cage.fds = std::span(placements, request.fd_count);
  cage.limits = request.limits;
  Caged caged = StartCaged(cage);
  if (caged.pid < 0) {
    Refuse(request.id, caged.error_number, caged.stage);
    return;
  }
  Reply reply = MakeReply(ReplyType::kStarted, request.id);
  reply.value = static_cast<std::uint32_t>(caged.pid);
  reply.uid = uid.valid() ? uid.uid() : ::geteuid();
  children_.emplace(caged.pid, Child{request.id, std::move(uid)});
  Queue({reply, std::move(caged.pidfd)});
}

void Server::OpenVsock() {
  base::Result<VsockDoor::Claimed> claimed = vsock_.Open();
  if (!claimed) {
    Refuse(request_->id, claimed.error().error_number(), claimed.error().message());
    return;
  }
  Reply reply = MakeReply(ReplyType::kVsock, request_->id);
  reply.value = claimed->cid;
  Queue({reply, std::move(claimed->device)});
}

void Server::Reap() {
  int status = 0;
  for (;;) {
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;
    const auto child = children_.find(pid);
    if (child == children_.end()) continue;
    const base::ExitStatus exit = base::ExitStatusFromWait(status);
    Reply reply = MakeReply(ReplyType::kExited, child->second.id);
    reply.exit_code = exit.exit_code;
    reply.signal = exit.signal;
    children_.erase(child);
    Queue({reply, {}});
  }
}

void Server::EndAll() {
  for (const auto& [pid, child] : children_) ::kill(pid, SIGKILL);
  // SIGKILL takes as long as the kernel needs to free the memory; a process stuck in the kernel
  // must not keep the jail for ever. Its uid's lock file then stays for the next jail to remove.
  const Deadline deadline = steady_clock::now() + kEndWait;
  while (!children_.empty() && steady_clock::now() < deadline) {
    pollfd signals{signals_.get(), POLLIN, 0};
    if (::poll(&signals, 1, 100) > 0) (void)ReadSignals();
    Reap();
  }
}

void Server::Refuse(std::uint64_t id, int error_number, const std::string& stage) {
  Reply reply = MakeReply(ReplyType::kRefused, id);
  reply.error_number = error_number;
  const std::size_t length = std::min(stage.size(), sizeof reply.stage - 1);
  std::memcpy(reply.stage, stage.data(), length);
  Queue({reply, {}});
}

void Server::Queue(Outgoing outgoing) { outgoing_.push_back(std::move(outgoing)); }

bool Server::Flush() {
  while (!outgoing_.empty()) {
    const Outgoing& next = outgoing_.front();
    const int fd = next.fd.get();
    const base::Status sent =
        SendRecord(options_.socket.get(), std::as_bytes(std::span(&next.reply, 1)),
                   next.fd.valid() ? std::span(&fd, 1) : std::span<const int>(), Deadline::min());
    if (!sent) return sent.error().code() == base::Code::kDeadlineExceeded;
    outgoing_.pop_front();
  }
  return true;
}

}  // namespace nv::host::jail
