// Standard input and output of the client, without the traps of shared descriptors.
//
// A pipe or terminal on 0..2 is shared with other processes (the shell, a pipeline's other end):
// setting O_NONBLOCK on it would break them, and leaving it blocking would make a read or write
// wait for ever with a signal pending. So such a descriptor is opened once more through /proc: same
// pipe, flags of our own. Where that is refused (another user's terminal) we fall back to poll and
// writes that poll says will not block.

#pragma once

#include <string>
#include <string_view>

#include "base/io.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace nv::host::cli {

// Opens /dev/null on those of 0, 1, 2 that are closed, so that no socket of ours lands there.
// Before anything else opens a descriptor, static constructors of libraries included.
void OpenMissingStandardDescriptors();

// The descriptor again with O_NONBLOCK and a description of its own (pipes, terminals), or a
// duplicate (files, sockets, devices, and where opening is refused).
[[nodiscard]] base::Result<base::UniqueFd> OpenAgain(int fd, int access_mode);

// Reads to the end, at most max_bytes (kResourceExhausted past them). kCancelled when cancel_fd
// becomes readable.
[[nodiscard]] base::Result<std::string> ReadToEnd(int fd, std::size_t max_bytes, int cancel_fd);

// Standard output or error, written while cancel_fd is watched.
class OutputFd {
 public:
  [[nodiscard]] static base::Result<OutputFd> Create(int fd, int cancel_fd);

  // Blocks until all is written: that is what holds back the program in the VM. kCancelled when
  // cancel_fd becomes readable; else the error has error_number() (EPIPE: the reader has gone).
  [[nodiscard]] base::Status Write(std::string_view bytes);
  // Later writes go on although the run was interrupted.
  void IgnoreCancel() { cancel_fd_ = -1; }
  // True when the last byte written was no newline.
  [[nodiscard]] bool inside_line() const { return inside_line_; }

 private:
  enum class Kind { kWhole, kAsMuchAsFits, kSocket };
  OutputFd(base::UniqueFd fd, Kind kind, int cancel_fd)
      : fd_(std::move(fd)), kind_(kind), cancel_fd_(cancel_fd) {}

  base::UniqueFd fd_;
  Kind kind_;
  int cancel_fd_;
  bool inside_line_ = false;
};

// One line of ours, or several, on standard error: no more than a try.
void PrintToStderr(std::string_view text);

// Text from elsewhere made safe for a terminal: control characters and bytes that are not UTF-8 as
// \xNN, newlines kept or escaped. Unlike base::EscapeForTerminal it leaves names in any script
// readable.
enum class Lines { kOne, kMany };
[[nodiscard]] std::string Printable(std::string_view text, Lines lines = Lines::kOne);

// "neurovisor: <message>", then the remedy and the details, each on lines of their own.
[[nodiscard]] std::string DescribeError(const base::Error& error);

}  // namespace nv::host::cli
