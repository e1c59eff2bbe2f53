#include "host/gateway/run_call.h"

#include <utility>

namespace nv::host::gateway {
namespace {

// gRPC's default bound for all metadata of a call is 8 KiB; past it the client sees nothing at all.
constexpr std::size_t kMaxMessage = 1024;
constexpr std::size_t kMaxRemedy = 512;
constexpr std::size_t kMaxDetails = 5 * 1024;

grpc::Status ToGrpc(const base::Error& error) {
  return {static_cast<grpc::StatusCode>(error.code()), error.message().substr(0, kMaxMessage)};
}

}  // namespace

void RunCall::Begin() {
  self_ = shared_from_this();
  StartRead(&incoming_);
}

std::optional<RunCall::Request> RunCall::Receive(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const bool here = changed_.wait(lock, stop, [this] { return reading_ != Reading::kPending; });
  if (!here || reading_ == Reading::kEnded) return std::nullopt;
  Request message = std::move(incoming_);
  incoming_.Clear();
  reading_ = Reading::kPending;
  lock.unlock();
  StartRead(&incoming_);
  return message;
}

bool RunCall::Send(const Response& message) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return writing_ != Writing::kPending; });
  if (writing_ == Writing::kBroken) return false;
  writing_ = Writing::kPending;
  lock.unlock();
  StartWrite(&message);  // `message` is ours until OnWriteDone, which gRPC promises
  lock.lock();
  changed_.wait(lock, [this] { return writing_ != Writing::kPending; });
  return writing_ != Writing::kBroken;
}

void RunCall::FinishWith(const base::Status& status) {
  if (status) {
    Finish(grpc::Status::OK);
    return;
  }
  const base::Error& error = status.error();
  if (!error.remedy().empty()) {
    context_.AddTrailingMetadata("nv-remedy-bin", error.remedy().substr(0, kMaxRemedy));
  }
  if (const std::string& details = error.details(); !details.empty()) {
    // The end of a console says more than its start.
    const std::size_t cut = details.size() > kMaxDetails ? details.size() - kMaxDetails : 0;
    context_.AddTrailingMetadata("nv-details-bin", details.substr(cut));
  }
  Finish(ToGrpc(error));
}

std::string RunCall::Metadata(const std::string& key) const {
  const auto& all = context_.client_metadata();
  const auto found = all.find(key);
  return found == all.end() ? std::string()
                            : std::string(found->second.data(), found->second.size());
}

bool RunCall::done() const {
  const std::scoped_lock lock(mutex_);
  return worker_done_;
}

void RunCall::WorkerDone() {
  const std::scoped_lock lock(mutex_);
  worker_done_ = true;
}

void RunCall::OnReadDone(bool ok) {
  {
    const std::scoped_lock lock(mutex_);
    reading_ = ok ? Reading::kHere : Reading::kEnded;
  }
  changed_.notify_all();
}

void RunCall::OnWriteDone(bool ok) {
  {
    const std::scoped_lock lock(mutex_);
    writing_ = ok ? Writing::kIdle : Writing::kBroken;
  }
  changed_.notify_all();
}

void RunCall::OnCancel() { cancel_.request_stop(); }

void RunCall::OnDone() { self_.reset(); }  // may destroy *this

}  // namespace nv::host::gateway
