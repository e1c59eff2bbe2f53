// FakeSandboxes: a Sandboxes server for tests, on one descriptor, that does what the "code" of a
// run says.
//
// The code is a script, one command a line:
//   out TEXT | err TEXT     a line of output          hex out|err DIGITS    bytes
//   flood out|err BYTES     that much output          progress TEXT
//   request                 prints what was asked     stdin                 echoes it to its end
//   wait                    until the call is cancelled
//   say TEXT                a line on our stderr      die STATUS | kill N   ends this process
//   fail CODE|MESSAGE|REMEDY|DETAILS                  ends the call; "\n" in DETAILS is a newline
//   result KEY=VALUE...     exit outcome signal out_lost err_lost hint; then the call ends well
//   nothing                 ends the call well, without a result
// A script that ends without result, fail or nothing has succeeded.

#pragma once

#include <chrono>
#include <memory>

#include "base/unique_fd.h"

namespace nv::host::client {

class FakeSandboxes {
 public:
  // Serves a connected stream socket on threads of its own.
  [[nodiscard]] static std::unique_ptr<FakeSandboxes> Start(base::UniqueFd client);
  // Cancels what runs.
  virtual ~FakeSandboxes() = default;
  // True once some call has been cancelled; false after the time given.
  [[nodiscard]] virtual bool WaitForCancel(std::chrono::milliseconds patience) = 0;
};

}  // namespace nv::host::client
