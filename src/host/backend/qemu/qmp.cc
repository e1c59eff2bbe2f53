#include "host/backend/qemu/qmp.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace nv::host::backend::qemu {
namespace {

constexpr int kMaxDepth = 32;

// Null when the bytes are no JSON object or nest too deep. Depth is cut while parsing: a million
// brackets cost a line, no stack.
nlohmann::json ParseObject(const std::string& line) {
  bool too_deep = false;
  auto limit = [&too_deep](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return depth <= kMaxDepth;
  };
  nlohmann::json value = nlohmann::json::parse(line, limit, /*allow_exceptions=*/false);
  if (too_deep || value.is_discarded() || !value.is_object()) return nullptr;
  return value;
}

}  // namespace

base::Status Qmp::Execute(std::string_view command, base::Deadline deadline) {
  if (!fd_.valid()) return base::Fail(base::Code::kUnavailable, "QMP: the connection has ended");
  auto run = [&]() -> base::Status {
    if (!negotiated_) {
      if (auto greeting = ReadLine(deadline); !greeting) return base::Fail(greeting.error());
      if (auto sent = Send("qmp_capabilities", deadline); !sent) return sent;
      if (auto reply = ReadReply(deadline); !reply) return reply;
      negotiated_ = true;
    }
    if (auto sent = Send(command, deadline); !sent) return sent;
    return ReadReply(deadline);
  };
  auto status = run();
  if (status) return status;
  // A reply that comes late would be taken for the next command's.
  if (status.error().code() != base::Code::kUnavailable) fd_.Reset();
  return base::Fail(std::move(status.error()).WithContext(fmt::format("QMP {}", command)));
}

base::Status Qmp::Send(std::string_view command, base::Deadline deadline) {
  return base::WriteAll(fd_.get(), fmt::format("{{\"execute\":\"{}\"}}\n", command), deadline);
}

base::Result<std::string> Qmp::ReadLine(base::Deadline deadline) {
  std::size_t searched = 0;
  while (true) {
    const std::size_t end = pending_.find('\n', searched);
    if (end != std::string::npos) {
      std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      return line;
    }
    searched = pending_.size();
    if (pending_.size() > kMaxLineBytes) {
      return base::Fail(base::Code::kDataLoss, "QEMU sent a line of over 1 MiB");
    }
    auto ready = base::PollUntil(fd_.get(), POLLIN, deadline);
    if (!ready) return base::Fail(std::move(ready.error()));
    if (!*ready) return base::Fail(base::Code::kDeadlineExceeded, "QEMU did not answer in time");
    std::array<char, 4096> buffer;
    const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return base::Fail(base::Code::kUnavailable, "QEMU closed the connection");
    pending_.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

base::Status Qmp::ReadReply(base::Deadline deadline) {
  for (int skipped = 0; skipped < kMaxSkippedLines; ++skipped) {
    auto line = ReadLine(deadline);
    if (!line) return base::Fail(std::move(line.error()));
    const nlohmann::json message = ParseObject(*line);
    if (message.is_null()) {
      return base::Fail(base::Code::kDataLoss, fmt::format("QEMU sent what is no JSON object: '{}'",
                                                           base::EscapeForTerminal(*line, 80)));
    }
    if (message.contains("return")) return {};
    if (message.contains("error")) {
      return base::Fail(
          base::Code::kUnavailable,
          fmt::format("QEMU refused: {}", base::EscapeForTerminal(message["error"].dump(), 200)));
    }
  }
  return base::Fail(base::Code::kDataLoss, "QEMU sent a thousand events and no reply");
}

}  // namespace nv::host::backend::qemu
