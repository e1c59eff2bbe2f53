// Error and Result<T>: how every expected failure travels.
//
// Used by all layers. Code numbers are gRPC's (so that the gateway maps them without a table); the
// message says what was tried and on which object. Context is added once per layer with
// WithContext. Bugs are not errors: see check.h.

#pragma once

#include <cerrno>
#include <cstring>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace nv::base {

// Numbers of google.rpc.Code / grpc::StatusCode.
enum class Code {
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// SCREAMING_CASE name as gRPC prints it, e.g. "INVALID_ARGUMENT".
[[nodiscard]] std::string_view CodeName(Code code);

class Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  // From errno: "<what>: <strerror>". ENOENT, EACCES/EPERM, EEXIST, ENOSPC/EMFILE/ENOMEM and
  // ETIMEDOUT choose the code, everything else is kUnavailable.
  [[nodiscard]] static Error FromErrno(int error_number, std::string_view what);

  [[nodiscard]] Code code() const { return code_; }
  [[nodiscard]] const std::string& message() const { return message_; }
  // errno that caused it, or 0.
  [[nodiscard]] int error_number() const { return error_number_; }
  // What the user can do about it, one line, or empty.
  [[nodiscard]] const std::string& remedy() const { return remedy_; }
  // Extra lines for a person (a console tail, a command's last lines), already escaped, or empty.
  [[nodiscard]] const std::string& details() const { return details_; }

  // "<context>: <message>".
  [[nodiscard]] Error WithContext(std::string_view context) &&;
  [[nodiscard]] Error WithRemedy(std::string remedy) &&;
  [[nodiscard]] Error WithDetails(std::string details) &&;

 private:
  Code code_;
  int error_number_ = 0;
  std::string message_;
  std::string remedy_;
  std::string details_;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

// return Fail(Code::kNotFound, fmt::format("image '{}' ...", name));
[[nodiscard]] inline std::unexpected<Error> Fail(Code code, std::string message) {
  return std::unexpected<Error>(Error(code, std::move(message)));
}
[[nodiscard]] inline std::unexpected<Error> Fail(Error error) {
  return std::unexpected<Error>(std::move(error));
}
// Uses the errno of the call just made.
[[nodiscard]] inline std::unexpected<Error> FailErrno(std::string_view what) {
  return std::unexpected<Error>(Error::FromErrno(errno, what));
}

}  // namespace nv::base
