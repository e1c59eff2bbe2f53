#include "host/gateway/run_request.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "host/config/config.h"
#include "host/gateway/languages.h"

namespace nv::host::gateway {
namespace {

using neurovisor::sandbox::v1::Start;

constexpr std::size_t kMaxImageName = 64;
constexpr std::size_t kShown = 40;  // characters of a client's text in a message

base::Status WithinLimit(std::string_view field, std::size_t size, std::size_t limit,
                         std::string_view unit) {
  if (size <= limit) return {};
  return base::Fail(base::Code::kInvalidArgument,
                    fmt::format("{}: {} {} exceed the limit of {}", field, size, unit, limit));
}

base::Status NoNul(std::string_view field, std::string_view text) {
  if (text.find('\0') == std::string_view::npos) return {};
  return base::Fail(base::Code::kInvalidArgument, fmt::format("{}: holds a NUL byte", field));
}

base::Status CheckNothingUnimplemented(const Start& start) {
  const char* field = start.files_follow()    ? "files_follow"
                      : start.get_size() > 0  ? "get"
                      : !start.main().empty() ? "main"
                                              : nullptr;
  if (field == nullptr) return {};
  return base::Fail(base::Code::kUnimplemented,
                    fmt::format("{}: files in and out are not there yet in this version", field));
}

base::Result<std::string> ChooseLanguage(const Start& start) {
  if (start.language().empty()) {
    if (const auto found = LanguageFromShebang(start.code())) return std::string(*found);
    return base::Fail(base::Code::kInvalidArgument,
                      fmt::format("language: none given, and the code has no #! line that names "
                                  "one; supported: {}",
                                  SupportedLanguages()));
  }
  if (const auto found = CanonicalLanguage(start.language())) return std::string(*found);
  return base::Fail(
      base::Code::kInvalidArgument,
      fmt::format("language: '{}' is unknown; supported: {}",
                  base::EscapeForTerminal(start.language(), kShown), SupportedLanguages()));
}

base::Status CheckCode(const Start& start) {
  if (start.code().empty()) return base::Fail(base::Code::kInvalidArgument, "code: is empty");
  return WithinLimit("code", start.code().size(), base::kMaxCodeBytes, "bytes");
}

base::Status TakeArgs(Start& start, guestlink::RunSpec& spec) {
  const auto count = static_cast<std::size_t>(start.args_size());
  if (auto s = WithinLimit("args", count, base::kMaxArgs, "entries"); !s) return s;
  std::size_t bytes = 0;
  for (auto& arg : *start.mutable_args()) {
    if (auto s = NoNul("args", arg); !s) return s;
    bytes += arg.size() + 1;
    spec.args.push_back(std::move(arg));
  }
  return WithinLimit("args", bytes, base::kMaxArgsBytes, "bytes");
}

base::Status TakeEnv(Start& start, guestlink::RunSpec& spec) {
  if (auto s = WithinLimit("env", start.env().size(), base::kMaxEnvEntries, "entries"); !s) {
    return s;
  }
  std::size_t bytes = 0;
  for (auto& [key, value] : *start.mutable_env()) {
    if (key.empty() || key.find('=') != std::string::npos) {
      return base::Fail(
          base::Code::kInvalidArgument,
          fmt::format("env: '{}' is no name of a variable", base::EscapeForTerminal(key, kShown)));
    }
    if (auto s = NoNul("env", key); !s) return s;
    if (auto s = NoNul("env", value); !s) return s;
    bytes += key.size() + value.size() + 2;  // '=' and NUL, as execve(2) counts
    spec.env[key] = std::move(value);
  }
  return WithinLimit("env", bytes, base::kMaxEnvBytes, "bytes");
}

base::Status TakeSize(const Start& start, RunPlan& plan) {
  const auto size = config::ParseSize(start.size().empty() ? config::kDefaultSize
                                                           : std::string_view(start.size()));
  if (!size) return base::Fail(base::Error(size.error()).WithContext("size"));
  plan.vcpus = size->vcpus;
  plan.memory_bytes = size->memory_bytes;
  return {};
}

}  // namespace

base::Result<RunPlan> PlanRun(Start& start) {
  RunPlan plan;
  if (auto s = CheckNothingUnimplemented(start); !s) return base::Fail(s.error());
  if (auto s = CheckCode(start); !s) return base::Fail(s.error());
  auto language = ChooseLanguage(start);
  if (!language) return base::Fail(language.error());
  if (auto s = TakeArgs(start, plan.spec); !s) return base::Fail(s.error());
  if (auto s = TakeEnv(start, plan.spec); !s) return base::Fail(s.error());
  if (auto s = TakeSize(start, plan); !s) return base::Fail(s.error());
  if (auto s = WithinLimit("timeout_secs", start.timeout_secs(), base::kMaxTimeoutSecs, "seconds");
      !s) {
    return base::Fail(s.error());
  }
  if (auto s = WithinLimit("image", start.image().size(), kMaxImageName, "characters"); !s) {
    return base::Fail(s.error());
  }

  plan.spec.language = *std::move(language);
  plan.spec.code = std::move(*start.mutable_code());
  plan.spec.timeout = std::chrono::seconds(start.timeout_secs() == 0 ? base::kDefaultTimeoutSecs
                                                                     : start.timeout_secs());
  plan.spec.max_output_bytes =
      start.has_max_output_bytes() ? start.max_output_bytes() : base::kDefaultMaxOutputBytes;
  plan.spec.stdin_follows = start.stdin_follows();
  plan.image = start.image();
  plan.cold = start.cold();
  return plan;
}

base::Result<base::TraceId> ChooseTrace(std::string_view traceparent, std::string_view field,
                                        std::string_view header, const base::Clock& clock) {
  if (!traceparent.empty()) {
    if (auto trace = base::TraceId::FromTraceparent(traceparent)) return trace;
  }
  const std::string_view text = field.empty() ? header : field;
  if (text.empty()) return base::TraceId::New(clock);
  auto trace = base::TraceId::FromText(text);
  if (!trace) return base::Fail(std::move(trace).error().WithContext("trace_id"));
  return trace;
}

}  // namespace nv::host::gateway
