// neurovisor.sandbox.v1.Sandboxes over a LeaseSource: one fresh guest for each Run.
//
// Used by private_gateway.cc (and by the daemon's gateway, when there is one). Includes gRPC: only
// the gateway's own files and tests include this.
//
// Threads: gRPC's deliver messages; each Run has a worker of its own, which blocks in the pool and
// in guestlink. One message a direction is in memory at a time, so a slow client slows its program.

#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "host/pool/lease_source.h"
#include "neurovisor/sandbox.grpc.pb.h"

namespace nv::host::gateway {

class RunCall;

class SandboxesService final : public neurovisor::sandbox::v1::Sandboxes::WithCallbackMethod_Run<
                                   neurovisor::sandbox::v1::Sandboxes::Service> {
 public:
  SandboxesService(pool::LeaseSource& source, const base::Clock& clock)
      : source_(source), clock_(clock) {}
  // After the server's shutdown: waits for the workers, which are then being cancelled.
  ~SandboxesService() override;

  grpc::ServerBidiReactor<neurovisor::sandbox::v1::RunRequest,
                          neurovisor::sandbox::v1::RunResponse>*
  Run(grpc::CallbackServerContext* context) override;

  // Cancels every run; returns at once.
  void CancelAll();

 private:
  struct Running {
    std::shared_ptr<RunCall> call;
    std::jthread worker;
  };
  void Reap();  // under mutex_

  pool::LeaseSource& source_;
  const base::Clock& clock_;
  std::mutex mutex_;
  std::list<Running> running_;  // guarded by mutex_
};

}  // namespace nv::host::gateway
