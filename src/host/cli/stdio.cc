#include "host/cli/stdio.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "base/text.h"

namespace nv::host::cli {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;

// True when fd is ready, false when cancel_fd is.
base::Result<bool> WaitFor(int fd, short events, int cancel_fd) {
  for (;;) {
    pollfd fds[2] = {{.fd = cancel_fd, .events = POLLIN, .revents = 0},
                     {.fd = fd, .events = events, .revents = 0}};
    if (::poll(fds, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return base::FailErrno("poll");
    }
    return fds[0].revents == 0;
  }
}

// A C1 control character in UTF-8 (U+0080..U+009F): terminals obey those too.
bool IsC1(std::string_view text, std::size_t at) {
  return text[at] == '\xc2' && at + 1 < text.size() &&
         static_cast<unsigned char>(text[at + 1]) < 0xa0;
}

}  // namespace

void OpenMissingStandardDescriptors() {
  for (int fd = 0; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // open(2) gives the lowest free number, which is fd: those below it are open by now. Without
    // /dev/null there is nothing left to do.
    [[maybe_unused]] const int opened = ::open("/dev/null", O_RDWR);
  }
}

base::Result<base::UniqueFd> OpenAgain(int fd, int access_mode) {
  struct stat status {};
  if (::fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || ::isatty(fd) == 1)) {
    const std::string path = fmt::format("/proc/self/fd/{}", fd);
    base::UniqueFd again(::open(path.c_str(), access_mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (again.valid()) return again;
  }
  base::UniqueFd same(::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!same.valid()) return base::FailErrno(fmt::format("duplicate descriptor {}", fd));
  return same;
}

base::Result<std::string> ReadToEnd(int fd, std::size_t max_bytes, int cancel_fd) {
  std::string bytes;
  std::string buffer(kReadBytes, '\0');
  for (;;) {
    const auto ready = WaitFor(fd, POLLIN, cancel_fd);
    if (!ready) return base::Fail(ready.error());
    if (!*ready) return base::Fail(base::Code::kCancelled, "interrupted");
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return base::FailErrno("read");
    if (got == 0) return bytes;
    bytes.append(buffer, 0, static_cast<std::size_t>(got));
    if (bytes.size() > max_bytes) {
      return base::Fail(base::Code::kResourceExhausted, fmt::format("over {} bytes", max_bytes));
    }
  }
}

base::Result<OutputFd> OutputFd::Create(int fd, int cancel_fd) {
  auto own = OpenAgain(fd, O_WRONLY);
  if (!own) return base::Fail(std::move(own.error()));
  struct stat status {};
  Kind kind = Kind::kWhole;
  if (::fstat(own->get(), &status) == 0) {
    if (S_ISSOCK(status.st_mode)) kind = Kind::kSocket;
    // Writable means that PIPE_BUF bytes fit (pipe(7)), so that much blocks nobody.
    const bool may_block = (::fcntl(own->get(), F_GETFL) & O_NONBLOCK) == 0;
    if (may_block && (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))) {
      kind = Kind::kAsMuchAsFits;
    }
  }
  return OutputFd(*std::move(own), kind, cancel_fd);
}

base::Status OutputFd::Write(std::string_view bytes) {
  if (!bytes.empty()) inside_line_ = bytes.back() != '\n';
  while (!bytes.empty()) {
    const auto ready = WaitFor(fd_.get(), POLLOUT, cancel_fd_);
    if (!ready) return base::Fail(ready.error());
    if (!*ready) return base::Fail(base::Code::kCancelled, "interrupted");
    const std::size_t size =
        kind_ == Kind::kAsMuchAsFits ? std::min<std::size_t>(bytes.size(), PIPE_BUF) : bytes.size();
    const ssize_t written = kind_ == Kind::kSocket
                                ? ::send(fd_.get(), bytes.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                : ::write(fd_.get(), bytes.data(), size);
    if (written < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return base::FailErrno("write");
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

void PrintToStderr(std::string_view text) {
  using std::chrono::steady_clock;
  // Bounded: a terminal stopped with ^S must not keep us from ending.
  [[maybe_unused]] const auto tried =
      base::WriteAll(STDERR_FILENO, text, steady_clock::now() + std::chrono::seconds{2});
}

std::string Printable(std::string_view text, Lines lines) {
  const std::string valid = base::IsUtf8(text) ? std::string() : base::ReplaceInvalidUtf8(text);
  if (!valid.empty()) text = valid;
  std::string safe;
  safe.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (IsC1(text, at)) {
      safe += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++at]));
    } else if (byte >= 0x20 && byte != 0x7f) {
      safe += text[at];
    } else if (lines == Lines::kMany && (byte == '\n' || byte == '\t')) {
      safe += text[at];
    } else {
      safe += fmt::format("\\x{:02x}", byte);
    }
  }
  return safe;
}

std::string DescribeError(const base::Error& error) {
  std::string text = fmt::format("neurovisor: {}\n", Printable(error.message()));
  if (!error.remedy().empty()) text += fmt::format("  try: {}\n", Printable(error.remedy()));
  std::string_view details = error.details();
  while (!details.empty()) {
    const std::string_view line = details.substr(0, details.find('\n'));
    text += fmt::format("  | {}\n", Printable(line));
    details.remove_prefix(std::min(line.size() + 1, details.size()));
  }
  return text;
}

}  // namespace nv::host::cli
