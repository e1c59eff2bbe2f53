// What a request may say about a program (code, arguments, environment, timeout), and the
// environment that the program gets: clean, documented, the request's own entries last.
//
// Used by the engine for each run. TRUST: the request comes through the host, so it was checked
// there; it is checked again here because execve would silently cut at a NUL.

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nv::guest::executor {

// What Lease said about the request that this guest serves. Both may be empty.
struct TraceContext {
  std::string trace_id;
  std::string traceparent;
};

// HOME, PATH, LANG=C.UTF-8, NEUROVISOR_TRACE_ID and TRACEPARENT (when known), then the language's
// own entries, then the request's; a later name replaces an earlier one. Sorted by name.
[[nodiscard]] std::vector<std::string> ProgramEnvironment(
    std::string_view home, const TraceContext& trace, std::span<const std::string_view> language,
    const std::map<std::string, std::string>& request);

// kInvalidArgument naming field, size and limit: entries, bytes; a name that is empty or has '=' or
// NUL; a value with NUL.
[[nodiscard]] base::Status CheckEnvironment(const std::map<std::string, std::string>& request);
[[nodiscard]] base::Status CheckArguments(const std::vector<std::string>& arguments);
[[nodiscard]] base::Status CheckCode(std::string_view code);
// 0 stands for the default. kInvalidArgument outside 1 ms ... kMaxTimeoutSecs.
[[nodiscard]] base::Result<std::chrono::milliseconds> CheckTimeout(std::uint64_t milliseconds);

}  // namespace nv::guest::executor
