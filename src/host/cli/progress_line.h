// ProgressLine: "what takes so long", on a terminal, for as long as nothing has been printed.
//
// Used by `run` when standard error is a terminal. Shows nothing in the first second; then one
// line, rewritten every second, which Clear() takes away before the program's output begins.

#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace nv::host::cli {

class ProgressLine {
 public:
  // fd is borrowed: a terminal. The thread starts here.
  ProgressLine(int fd, std::string text, std::chrono::milliseconds quiet = std::chrono::seconds{1});
  ~ProgressLine();  // clears

  // Any thread. Text is made printable and cut.
  void Update(std::string_view text);
  // Erases the line, if it was shown, and shows nothing more. Cheap when called again.
  void Clear();

  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

 private:
  void Show(std::stop_token stop);

  const int fd_;
  const std::chrono::milliseconds quiet_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::string text_;
  bool over_ = false;
  bool shown_ = false;
  std::jthread thread_;  // last: uses all above
};

}  // namespace nv::host::cli
