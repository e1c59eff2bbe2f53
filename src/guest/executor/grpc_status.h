// Errors as gRPC statuses: the numbers are the same. Adapter files only.

#pragma once

#include <grpcpp/support/status.h>

#include "base/result.h"

namespace nv::guest::executor {

[[nodiscard]] inline grpc::Status ToGrpc(const base::Error& error) {
  return {static_cast<grpc::StatusCode>(error.code()), error.message()};
}

}  // namespace nv::guest::executor
