#include "guest/executor/program_request.h"

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"

namespace nv::guest::executor {
namespace {

constexpr char kPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::size_t kMaxShownName = 40;

base::Status TooMuch(std::string_view field, std::string_view unit, std::size_t size,
                     std::size_t limit) {
  return base::Fail(base::Code::kInvalidArgument,
                    fmt::format("{}: {} {}, the limit is {}", field, size, unit, limit));
}

bool HasNul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

}  // namespace

std::vector<std::string> ProgramEnvironment(std::string_view home, const TraceContext& trace,
                                            std::span<const std::string_view> language,
                                            const std::map<std::string, std::string>& request) {
  std::map<std::string, std::string, std::less<>> entries{
      {"HOME", std::string(home)}, {"LANG", "C.UTF-8"}, {"PATH", kPath}};
  if (!trace.trace_id.empty()) entries["NEUROVISOR_TRACE_ID"] = trace.trace_id;
  if (!trace.traceparent.empty()) entries["TRACEPARENT"] = trace.traceparent;
  for (const std::string_view entry : language) {
    const std::size_t equals = entry.find('=');
    entries.insert_or_assign(std::string(entry.substr(0, equals)),
                             std::string(entry.substr(equals + 1)));
  }
  for (const auto& [name, value] : request) entries.insert_or_assign(name, value);

  std::vector<std::string> environment;
  environment.reserve(entries.size());
  for (const auto& [name, value] : entries)
    environment.push_back(fmt::format("{}={}", name, value));
  return environment;
}

base::Status CheckEnvironment(const std::map<std::string, std::string>& request) {
  if (request.size() > base::kMaxEnvEntries) {
    return TooMuch("env", "entries", request.size(), base::kMaxEnvEntries);
  }
  std::size_t bytes = 0;
  for (const auto& [name, value] : request) {
    if (name.empty()) return base::Fail(base::Code::kInvalidArgument, "env: a name is empty");
    const std::string shown = base::EscapeForTerminal(name, kMaxShownName);
    if (name.find('=') != std::string::npos || HasNul(name)) {
      return base::Fail(base::Code::kInvalidArgument,
                        fmt::format("env: the name '{}' has '=' or NUL in it", shown));
    }
    if (HasNul(value)) {
      return base::Fail(base::Code::kInvalidArgument,
                        fmt::format("env: the value of '{}' has NUL in it", shown));
    }
    bytes += name.size() + value.size() + 2;
  }
  if (bytes > base::kMaxEnvBytes) return TooMuch("env", "bytes", bytes, base::kMaxEnvBytes);
  return {};
}

base::Status CheckArguments(const std::vector<std::string>& arguments) {
  if (arguments.size() > base::kMaxArgs) {
    return TooMuch("args", "arguments", arguments.size(), base::kMaxArgs);
  }
  std::size_t bytes = 0;
  for (const std::string& argument : arguments) {
    if (HasNul(argument))
      return base::Fail(base::Code::kInvalidArgument, "args: NUL in an argument");
    bytes += argument.size() + 1;
  }
  if (bytes > base::kMaxArgsBytes) return TooMuch("args", "bytes", bytes, base::kMaxArgsBytes);
  return {};
}

base::Status CheckCode(std::string_view code) {
  if (code.empty()) return base::Fail(base::Code::kInvalidArgument, "code: empty");
  if (code.size() > base::kMaxCodeBytes) {
    return TooMuch("code", "bytes", code.size(), base::kMaxCodeBytes);
  }
  return {};
}

base::Result<std::chrono::milliseconds> CheckTimeout(std::uint64_t milliseconds) {
  if (milliseconds == 0) return std::chrono::seconds{base::kDefaultTimeoutSecs};
  if (milliseconds > std::uint64_t{base::kMaxTimeoutSecs} * 1000) {
    return base::Fail(
        base::Code::kInvalidArgument,
        fmt::format("timeout: {} ms, the limit is {} s", milliseconds, base::kMaxTimeoutSecs));
  }
  return std::chrono::milliseconds{milliseconds};
}

}  // namespace nv::guest::executor
