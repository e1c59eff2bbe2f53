// RunCall: one Run call of a client as blocking reads and writes, over gRPC's callbacks.
//
// Why not gRPC's synchronous streams: a program may end while its client still holds stdin open,
// and a synchronous handler cannot return while a Read is pending. Here Finish may come at any
// time.
//
// Threads: Receive is called by one thread at a time, Send and FinishWith by any; the On... by
// gRPC. The object lives until gRPC has said OnDone and the worker is through (shared_ptr from
// both).

#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "neurovisor/sandbox.grpc.pb.h"

namespace nv::host::gateway {

class RunCall final : public grpc::ServerBidiReactor<neurovisor::sandbox::v1::RunRequest,
                                                     neurovisor::sandbox::v1::RunResponse>,
                      public std::enable_shared_from_this<RunCall> {
 public:
  using Request = neurovisor::sandbox::v1::RunRequest;
  using Response = neurovisor::sandbox::v1::RunResponse;

  explicit RunCall(grpc::CallbackServerContext& context) : context_(context) {}

  // Starts reading; from now on gRPC holds a reference.
  void Begin();

  // The client's next message. nullopt: no more will come, or `stop` was requested.
  [[nodiscard]] std::optional<Request> Receive(const std::stop_token& stop);
  // Blocks until the message is on its way; that is the back-pressure. False: the client is gone.
  [[nodiscard]] bool Send(const Response& message);
  // Ends the call; errors carry remedy and details in nv-remedy-bin and nv-details-bin. Call once.
  void FinishWith(const base::Status& status);

  // Value of the client's metadata, or empty.
  [[nodiscard]] std::string Metadata(const std::string& key) const;
  // Requested when the client left or cancelled.
  [[nodiscard]] std::stop_token cancelled() const { return cancel_.get_token(); }
  void Cancel() { cancel_.request_stop(); }
  // gRPC and the worker are through with it.
  [[nodiscard]] bool done() const;
  void WorkerDone();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  grpc::CallbackServerContext& context_;
  std::stop_source cancel_;
  std::shared_ptr<RunCall> self_;  // gRPC's reference

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  // Guarded by mutex_, but for the message while gRPC reads into it.
  Request incoming_;
  enum class Reading { kPending, kHere, kEnded } reading_ = Reading::kPending;
  enum class Writing { kIdle, kPending, kBroken } writing_ = Writing::kIdle;
  bool worker_done_ = false;
};

}  // namespace nv::host::gateway
