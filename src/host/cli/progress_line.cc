#include "host/cli/progress_line.h"

#include <fmt/format.h>

#include "base/io.h"
#include "base/text.h"

namespace nv::host::cli {
namespace {

constexpr std::size_t kMaxText = 60;  // characters: with the clock it must fit into 80 columns
constexpr std::string_view kEraseLine = "\r\x1b[K";

void Print(int fd, std::string_view text) {
  // Bounded, since the mutex is held: a stopped terminal loses the line, not the run.
  [[maybe_unused]] const auto tried =
      base::WriteAll(fd, text, std::chrono::steady_clock::now() + std::chrono::milliseconds{100});
}

}  // namespace

ProgressLine::ProgressLine(int fd, std::string text, std::chrono::milliseconds quiet)
    : fd_(fd),
      quiet_(quiet),
      text_(std::move(text)),
      thread_([this](std::stop_token stop) { Show(std::move(stop)); }) {}

ProgressLine::~ProgressLine() { Clear(); }

void ProgressLine::Update(std::string_view text) {
  const std::lock_guard lock(mutex_);
  text_ = base::EscapeForTerminal(text, kMaxText);
}

void ProgressLine::Clear() {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  over_ = true;
  if (shown_) Print(fd_, kEraseLine);
  changed_.notify_all();
}

void ProgressLine::Show(std::stop_token stop) {
  const auto begin = std::chrono::steady_clock::now();
  auto next = begin + quiet_;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_until(lock, stop, next, [this] { return over_; })) {
    if (stop.stop_requested()) return;
    const auto elapsed = std::chrono::steady_clock::now() - begin;
    Print(fd_, fmt::format("{}{} ({} s)", kEraseLine, text_,
                           std::chrono::duration_cast<std::chrono::seconds>(elapsed).count()));
    shown_ = true;
    next += std::chrono::seconds{1};
  }
}

}  // namespace nv::host::cli
