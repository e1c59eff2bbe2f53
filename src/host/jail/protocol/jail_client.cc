#include "host/jail/protocol/jail_client.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "base/text.h"
#include "host/jail/protocol/records.h"

namespace nv::host::jail {
namespace {

using base::Code;
using base::Deadline;
using base::Fail;
using base::Result;
using base::Status;
using base::UniqueFd;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kHelloWait{5};
constexpr std::chrono::seconds kKillWait{1};

// One question to the jail, or one program of it.
struct Entry {
  std::optional<Reply> reply;  // kStarted, kRefused, kVsock or kHelloReply
  UniqueFd fd;                 // that came with it
  std::optional<base::ExitStatus> exit;
};

// What the client, its reader thread and the handles of programs share. shared_ptr: a handle may
// outlive the client, and then only learns that the jail is gone.
class Core {
 public:
  explicit Core(UniqueFd socket, UniqueFd closed)
      : socket_(std::move(socket)), closed_(std::move(closed)) {}

  // Sends a request and waits for its answer. The entry stays (for the exit) only after kStarted.
  Result<Entry> Ask(Request& request, std::span<const int> fds, Deadline deadline) {
    request.version = kVersion;
    request.id = next_id_.fetch_add(1);
    const std::uint64_t id = request.id;
    {
      const std::lock_guard lock(mutex_);
      if (gone_) return Gone();
      entries_[id];
    }
    Status sent = SendRecord(socket_.get(), std::as_bytes(std::span(&request, 1)), fds, deadline);
    if (!sent) {
      const std::lock_guard lock(mutex_);
      entries_.erase(id);
      return Fail(std::move(sent.error()).WithContext("cannot ask the jail"));
    }
    std::unique_lock lock(mutex_);
    Entry& entry = entries_[id];  // a map's elements do not move
    const auto answered = [&] { return entry.reply.has_value() || gone_; };
    bool in_time = true;
    if (deadline == Deadline::max()) {
      changed_.wait(lock, answered);
    } else {
      in_time = changed_.wait_until(lock, deadline, answered);
    }
    if (!entry.reply) {
      entries_.erase(id);
      lock.unlock();
      if (in_time) return Gone();
      if (request.type == RequestType::kStart) Kill(id);  // it may still come up
      return Fail(Code::kDeadlineExceeded, "the jail did not answer in time");
    }
    Entry answer{entry.reply, std::move(entry.fd), std::nullopt};
    if (entry.reply->type != ReplyType::kStarted) entries_.erase(id);
    lock.unlock();
    if (answer.reply->type == ReplyType::kRefused) return Fail(Refusal(*answer.reply));
    return answer;
  }

  void Kill(std::uint64_t id) {
    auto request = std::make_unique<Request>();
    request->version = kVersion;
    request->type = RequestType::kKill;
    request->id = id;
    // Failing means that the jail is gone or hangs; its death kills the program too.
    (void)SendRecord(socket_.get(), std::as_bytes(std::span(request.get(), 1)), {},
                     steady_clock::now() + kKillWait);
  }

  std::optional<base::ExitStatus> WaitExit(std::uint64_t id, Deadline deadline) {
    std::unique_lock lock(mutex_);
    const auto ended = [&] { return gone_ || entries_[id].exit.has_value(); };
    if (deadline == Deadline::max()) {
      changed_.wait(lock, ended);
    } else if (!changed_.wait_until(lock, deadline, ended)) {
      return std::nullopt;
    }
    if (entries_[id].exit) return entries_[id].exit;
    return base::ExitStatus{0, SIGKILL};
  }

  void Forget(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    entries_.erase(id);
  }

  void ReadUntilClosed() {
    for (;;) {
      const auto ready = base::PollUntil(socket_.get(), POLLIN, Deadline::max());
      if (!ready) break;
      Reply reply{};
      auto record = ReceiveRecord(socket_.get(), std::as_writable_bytes(std::span(&reply, 1)));
      if (!record && record.error().code() == Code::kDeadlineExceeded) continue;
      if (!record || record->cut || record->bytes != sizeof reply || reply.version != kVersion) {
        break;
      }
      Take(reply, record->fds.empty() ? UniqueFd() : std::move(record->fds.front()));
    }
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
    }
    changed_.notify_all();
    (void)::eventfd_write(closed_.get(), 1);
  }

  void Close() { ::shutdown(socket_.get(), SHUT_RDWR); }
  [[nodiscard]] int closed_fd() const { return closed_.get(); }

 private:
  static std::unexpected<base::Error> Gone() {
    return Fail(Code::kUnavailable, "neurovisor-jail has ended");
  }

  static base::Error Refusal(const Reply& reply) {
    // The jail's text is our own, but it is printed: bounded by the field, escaped like any other.
    const std::string stage = base::EscapeForTerminal(
        std::string_view(reply.stage, ::strnlen(reply.stage, sizeof reply.stage)),
        sizeof reply.stage);
    if (reply.error_number == 0) return {Code::kUnavailable, stage};
    const base::Error from_errno = base::Error::FromErrno(reply.error_number, stage);
    // The jail's own errors carry their errno text already.
    return stage.ends_with(std::strerror(reply.error_number))
               ? base::Error(from_errno.code(), stage)
               : from_errno;
  }

  void Take(const Reply& reply, UniqueFd fd) {
    {
      const std::lock_guard lock(mutex_);
      const auto found = entries_.find(reply.id);
      if (found == entries_.end()) return;  // nobody waits any more; the descriptor closes here
      if (reply.type == ReplyType::kExited) {
        found->second.exit = base::ExitStatus{reply.exit_code, reply.signal};
      } else {
        found->second.reply = reply;
        found->second.fd = std::move(fd);
      }
    }
    changed_.notify_all();
  }

  UniqueFd socket_;
  UniqueFd closed_;  // eventfd
  std::atomic<std::uint64_t> next_id_{1};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool gone_ = false;                       // guarded by mutex_
  std::map<std::uint64_t, Entry> entries_;  // guarded by mutex_
};

class Process final : public JailedProcess {
 public:
  Process(std::shared_ptr<Core> core, const Reply& started, UniqueFd pidfd)
      : core_(std::move(core)),
        id_(started.id),
        pid_(started.value),
        uid_(started.uid),
        pidfd_(std::move(pidfd)) {}
  ~Process() override {
    if (!core_->WaitExit(id_, Deadline::min())) core_->Kill(id_);
    core_->Forget(id_);
  }
  int pidfd() const override { return pidfd_.get(); }
  std::uint32_t pid() const override { return pid_; }
  std::uint32_t uid() const override { return uid_; }
  void Kill() override { core_->Kill(id_); }
  std::optional<base::ExitStatus> WaitExit(Deadline deadline) override {
    return core_->WaitExit(id_, deadline);
  }

 private:
  std::shared_ptr<Core> core_;
  std::uint64_t id_;
  std::uint32_t pid_;
  std::uint32_t uid_;
  UniqueFd pidfd_;
};

Status CheckBounds(const StartOptions& options, std::size_t argument_bytes) {
  if (options.arguments.size() > kMaxArguments || argument_bytes > kMaxArgumentBytes) {
    return Fail(
        Code::kInvalidArgument,
        fmt::format("{} arguments of {} bytes; the jail takes {} of {}", options.arguments.size(),
                    argument_bytes, kMaxArguments, kMaxArgumentBytes));
  }
  if (options.fds.size() > kMaxFds) {
    return Fail(Code::kInvalidArgument,
                fmt::format("{} descriptors; the jail takes {}", options.fds.size(), kMaxFds));
  }
  for (const std::string& argument : options.arguments) {
    if (argument.find('\0') != std::string::npos) {
      return Fail(Code::kInvalidArgument, "an argument holds a NUL byte");
    }
  }
  return {};
}

class Client final : public JailClient {
 public:
  explicit Client(std::shared_ptr<Core> core) : core_(std::move(core)) {
    reader_ = std::thread([shared = core_] { shared->ReadUntilClosed(); });
  }
  ~Client() override {
    core_->Close();
    reader_.join();
  }

  Status Hello() {
    auto request = std::make_unique<Request>();
    request->type = RequestType::kHello;
    auto answer = core_->Ask(*request, {}, steady_clock::now() + kHelloWait);
    if (!answer) return Fail(std::move(answer.error()).WithContext("neurovisor-jail"));
    gives_own_uids_ = answer->reply->uid == 0;
    return {};
  }

  Result<std::unique_ptr<JailedProcess>> Start(const StartOptions& options,
                                               Deadline deadline) override {
    std::size_t bytes = 0;
    for (const std::string& argument : options.arguments) bytes += argument.size() + 1;
    if (Status bounds = CheckBounds(options, bytes); !bounds) return Fail(bounds.error());

    auto request = std::make_unique<Request>();
    request->type = RequestType::kStart;
    request->program = options.program;
    request->flags = options.flags;
    request->limits = options.limits;
    char* out = request->arguments;
    for (const std::string& argument : options.arguments) {
      std::memcpy(out, argument.c_str(), argument.size() + 1);
      out += argument.size() + 1;
    }
    request->argument_count = static_cast<std::uint32_t>(options.arguments.size());
    request->argument_bytes = static_cast<std::uint32_t>(bytes);
    std::vector<int> fds;
    for (const auto& [ours, number] : options.fds) {
      request->fd_numbers[fds.size()] = number;
      fds.push_back(ours);
    }
    request->fd_count = static_cast<std::uint32_t>(fds.size());

    auto answer = core_->Ask(*request, fds, deadline);
    if (!answer) return Fail(std::move(answer.error()));
    if (answer->reply->type != ReplyType::kStarted || !answer->fd.valid()) {
      core_->Kill(request->id);
      core_->Forget(request->id);
      return Fail(Code::kInternal, "the jail answered a start with something else");
    }
    return std::make_unique<Process>(core_, *answer->reply, std::move(answer->fd));
  }

  Result<Vsock> OpenVsock(Deadline deadline) override {
    auto request = std::make_unique<Request>();
    request->type = RequestType::kOpenVsock;
    auto answer = core_->Ask(*request, {}, deadline);
    if (!answer) return Fail(std::move(answer.error()));
    if (answer->reply->type != ReplyType::kVsock || !answer->fd.valid()) {
      return Fail(Code::kInternal, "the jail answered a vsock request with something else");
    }
    return Vsock{std::move(answer->fd), answer->reply->value};
  }

  bool gives_own_uids() const override { return gives_own_uids_; }
  int closed_fd() const override { return core_->closed_fd(); }

 private:
  std::shared_ptr<Core> core_;
  std::thread reader_;
  bool gives_own_uids_ = false;
};

}  // namespace

Result<std::unique_ptr<JailClient>> JailClient::Connect(UniqueFd socket) {
  UniqueFd closed(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!closed.valid()) return base::FailErrno("cannot make an event descriptor");
  auto client =
      std::make_unique<Client>(std::make_shared<Core>(std::move(socket), std::move(closed)));
  if (Status hello = client->Hello(); !hello) return Fail(std::move(hello.error()));
  return client;
}

}  // namespace nv::host::jail
