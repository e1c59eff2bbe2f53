#include "base/result.h"

#include <system_error>

namespace nv::base {
namespace {

Code CodeForErrno(int error_number) {
  switch (error_number) {
    case ENOENT:
      return Code::kNotFound;
    case EACCES:
    case EPERM:
      return Code::kPermissionDenied;
    case EEXIST:
      return Code::kAlreadyExists;
    case ENOSPC:
    case EMFILE:
    case ENOMEM:
      return Code::kResourceExhausted;
    case ETIMEDOUT:
      return Code::kDeadlineExceeded;
    default:
      return Code::kUnavailable;
  }
}

}  // namespace

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kCancelled:
      return "CANCELLED";
    case Code::kUnknown:
      return "UNKNOWN";
    case Code::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case Code::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case Code::kNotFound:
      return "NOT_FOUND";
    case Code::kAlreadyExists:
      return "ALREADY_EXISTS";
    case Code::kPermissionDenied:
      return "PERMISSION_DENIED";
    case Code::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case Code::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case Code::kAborted:
      return "ABORTED";
    case Code::kUnimplemented:
      return "UNIMPLEMENTED";
    case Code::kInternal:
      return "INTERNAL";
    case Code::kUnavailable:
      return "UNAVAILABLE";
    case Code::kDataLoss:
      return "DATA_LOSS";
    case Code::kUnauthenticated:
      return "UNAUTHENTICATED";
  }
  return "UNKNOWN";  // a number from the wire that is none of ours
}

Error Error::FromErrno(int error_number, std::string_view what) {
  std::string message(what);
  message += ": ";
  message += std::generic_category().message(error_number);
  Error error(CodeForErrno(error_number), std::move(message));
  error.error_number_ = error_number;
  return error;
}

Error Error::WithContext(std::string_view context) && {
  message_.insert(0, ": ").insert(0, context);
  return std::move(*this);
}

Error Error::WithRemedy(std::string remedy) && {
  remedy_ = std::move(remedy);
  return std::move(*this);
}

Error Error::WithDetails(std::string details) && {
  details_ = std::move(details);
  return std::move(*this);
}

}  // namespace nv::base
