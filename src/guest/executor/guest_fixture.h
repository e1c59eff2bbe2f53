// GuestFixture: the guest's two services in this process, over a real gRPC connection (socketpair),
// with a real spawner. For tests.
//
// The spawner must be forked before gRPC has threads, so it is made once, in a static initialiser
// of the test program's main thread: see SharedSpawner.

#pragma once

#include <unistd.h>

#include <memory>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "guest/executor/engine.h"
#include "guest/executor/services.h"
#include "neurovisor/execution.grpc.pb.h"
#include "neurovisor/guest.grpc.pb.h"

namespace grpc {
class Server;
}

namespace nv::guest::executor {

// What a Run gave, put together.
struct RunResult {
  std::string out;
  std::string err;
  bool has_result = false;
  ::neurovisor::guest::v1::RunResult result;
  int status = 0;  // gRPC's
  std::string message;
};

class GuestFixture : public ::testing::Test {
 protected:
  GuestFixture();
  ~GuestFixture() override;

  static bool IsRoot() { return geteuid() == 0; }
  // A second connection to the same guest.
  [[nodiscard]] std::shared_ptr<grpc::Channel> Connect();

  [[nodiscard]] static ::neurovisor::guest::v1::Start Bash(const std::string& code);
  [[nodiscard]] static ::neurovisor::guest::v1::Start Python(const std::string& code);
  // Runs to the end. With `input`, it is sent whole, then ended.
  [[nodiscard]] RunResult Run(const ::neurovisor::guest::v1::Start& start,
                              const std::string* input = nullptr);

  std::binary_semaphore shut_down_{0};
  boot::BorrowedMachine machine_{[this] { shut_down_.release(); }};
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<grpc::Service> guest_service_;
  std::unique_ptr<grpc::Service> execution_service_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<::neurovisor::guest::v1::Guest::Stub> guest_;
  std::unique_ptr<::neurovisor::execution::ExecutionService::Stub> execution_;
};

}  // namespace nv::guest::executor
