#include "host/guestlink/guest_calls.h"

#include <chrono>

#include <fmt/format.h>
#include <grpc/support/time.h>

#include "base/text.h"

namespace nv::host::guestlink {

void SetDeadline(grpc::ClientContext& context, base::Deadline deadline) {
  if (deadline == base::Deadline::max()) return;
  // By the monotonic clock: a step of the wall clock must neither end a call nor make it endless.
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(
      deadline - std::chrono::steady_clock::now());
  context.set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(left.count(), GPR_TIMESPAN)));
}

std::string GuestText(std::string_view text, std::size_t max_characters) {
  return base::EscapeForTerminal(text, max_characters);
}

base::Error ErrorFromGuest(const grpc::Status& status, std::string_view what) {
  const std::string said = GuestText(status.error_message());
  switch (status.error_code()) {
    case grpc::StatusCode::CANCELLED:
      return {base::Code::kCancelled, fmt::format("{}: cancelled", what)};
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {base::Code::kDeadlineExceeded, fmt::format("{}: no answer in time", what)};
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::UNKNOWN:  // gRPC's word for bytes that are no HTTP/2
      return {base::Code::kUnavailable,
              fmt::format("{}: the channel to the guest broke ({})", what, said)};
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::FAILED_PRECONDITION:
      return {static_cast<base::Code>(status.error_code()),
              fmt::format("{}: the guest refused: {}", what, said)};
    default:
      return {base::Code::kDataLoss,
              fmt::format("{}: the guest answered against the rules: status {}, {}", what,
                          static_cast<int>(status.error_code()), said)};
  }
}

}  // namespace nv::host::guestlink
