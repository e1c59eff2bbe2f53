#include "host/jail/program/request_check.h"

#include <cstring>

namespace nv::host::jail {
namespace {

const char* CheckArguments(const Request& request) {
  if (request.argument_count > kMaxArguments) return "more arguments than 128";
  if (request.argument_bytes > kMaxArgumentBytes) return "more argument bytes than 16384";
  // Exactly as many terminators as arguments, the last byte being one: then no string can run past
  // the end, and none is left over.
  std::uint32_t terminators = 0;
  for (std::uint32_t i = 0; i < request.argument_bytes; ++i) {
    if (request.arguments[i] == '\0') ++terminators;
  }
  if (terminators != request.argument_count) return "arguments and their NUL bytes do not match";
  if (request.argument_bytes > 0 && request.arguments[request.argument_bytes - 1] != '\0') {
    return "the last argument has no NUL byte";
  }
  return nullptr;
}

const char* CheckFds(const Request& request, std::size_t fds_received) {
  if (request.fd_count > kMaxFds) return "more descriptors than 24";
  if (request.fd_count != fds_received) return "descriptor count and descriptors do not match";
  std::uint64_t seen = 0;
  static_assert(kMaxFdNumber < 64);
  for (std::uint32_t i = 0; i < request.fd_count; ++i) {
    const std::int32_t number = request.fd_numbers[i];
    if (number < 0 || number > kMaxFdNumber) return "descriptor number outside 0..63";
    const std::uint64_t bit = std::uint64_t{1} << number;
    if ((seen & bit) != 0) return "two descriptors with one number";
    seen |= bit;
  }
  return nullptr;
}

const char* CheckStart(const Request& request, std::size_t fds_received) {
  if (request.program != ProgramKind::kQemu) return "unknown program kind";
  if ((request.flags & ~kNeedsKvm) != 0) return "unknown flag";
  const Limits& limits = request.limits;
  if (limits.open_files < 8 || limits.open_files > 4096) return "open_files outside 8..4096";
  if (limits.processes < 1 || limits.processes > 4096) return "processes outside 1..4096";
  // address_space and file_size: every number is a limit that the kernel can keep.
  if (const char* wrong = CheckArguments(request)) return wrong;
  return CheckFds(request, fds_received);
}

}  // namespace

const char* CheckRequest(const Request& request, std::size_t fds_received) {
  if (request.version != kVersion) return "another protocol version";
  switch (request.type) {
    case RequestType::kStart:
      return CheckStart(request, fds_received);
    case RequestType::kHello:
    case RequestType::kKill:
    case RequestType::kOpenVsock:
      return fds_received == 0 ? nullptr : "descriptors where none belong";
  }
  return "unknown request type";
}

void FillArgv(const Request& request, const char* program, Argv& argv) {
  argv.fill(nullptr);
  argv[0] = program;
  const char* next = request.arguments;
  for (std::uint32_t i = 0; i < request.argument_count; ++i) {
    argv[i + 1] = next;
    next += std::strlen(next) + 1;
  }
}

}  // namespace nv::host::jail
