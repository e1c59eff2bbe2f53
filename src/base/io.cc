#include "base/io.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <limits>

namespace nv::base {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kReadChunkBytes = 64 * 1024;

Status WaitFor(int fd, short events, Deadline deadline, std::string_view what) {
  // A peer that is always ready for one more byte must not stretch the deadline.
  if (steady_clock::now() < deadline) {
    const Result<bool> ready = PollUntil(fd, events, deadline);
    if (!ready) return Fail(ready.error());
    if (*ready) return {};
  }
  return Fail(Code::kDeadlineExceeded, std::string(what) + ": deadline passed");
}

}  // namespace

Result<FdPair> MakeSocketPair(int type) {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    return FailErrno("cannot make a socket pair");
  }
  return FdPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<FdPair> MakePipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return FailErrno("cannot make a pipe");
  return FdPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Status SetNonBlocking(int fd, bool on) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return FailErrno("cannot read descriptor flags");
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted != flags && ::fcntl(fd, F_SETFL, wanted) != 0) {
    return FailErrno("cannot set descriptor flags");
  }
  return {};
}

Status WriteAll(int fd, std::span<const std::byte> bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      if (Status ready = WaitFor(fd, POLLOUT, deadline, "write"); !ready) return ready;
    } else if (errno != EINTR) {
      return FailErrno("write");
    }
  }
  return {};
}

Status WriteAll(int fd, std::string_view text, Deadline deadline) {
  return WriteAll(fd, std::as_bytes(std::span(text)), deadline);
}

Status ReadExactly(int fd, std::span<std::byte> bytes, Deadline deadline) {
  while (!bytes.empty()) {
    // A blocking descriptor would sleep in read(2) past the deadline.
    if (deadline != Deadline::max()) {
      if (Status ready = WaitFor(fd, POLLIN, deadline, "read"); !ready) return ready;
    }
    const ssize_t got = ::read(fd, bytes.data(), bytes.size());
    if (got > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(got));
    } else if (got == 0) {
      return Fail(Code::kUnavailable, "read: end of file");
    } else if (errno == EAGAIN) {
      if (Status ready = WaitFor(fd, POLLIN, deadline, "read"); !ready) return ready;
    } else if (errno != EINTR) {
      return FailErrno("read");
    }
  }
  return {};
}

Result<std::string> ReadUntilEof(int fd, std::size_t max_bytes) {
  std::string content;
  struct stat about {};
  if (::fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0) {
    content.reserve(std::min(static_cast<std::size_t>(about.st_size), max_bytes) + 1);
  }
  std::size_t used = 0;
  while (true) {
    // One byte past the limit is asked for: that is how "larger" shows.
    const std::size_t room = std::min(kReadChunkBytes, max_bytes - used + 1);
    content.resize(used + room);
    const ssize_t got = ::read(fd, content.data() + used, room);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      if (Status ready = WaitFor(fd, POLLIN, Deadline::max(), "read"); !ready) {
        return Fail(ready.error());
      }
      continue;
    }
    if (got < 0) return FailErrno("read");
    used += static_cast<std::size_t>(got);
    if (used > max_bytes) {
      return Fail(Code::kResourceExhausted, "larger than " + std::to_string(max_bytes) + " bytes");
    }
    if (got == 0) {
      content.resize(used);
      return content;
    }
  }
}

Result<std::string> ReadFile(const std::string& path, std::size_t max_bytes) {
  Result<UniqueFd> fd = OpenFile(path, O_RDONLY);
  if (!fd) return Fail(std::move(fd.error()));
  Result<std::string> content = ReadUntilEof(fd->get(), max_bytes);
  if (!content) return Fail(std::move(content.error()).WithContext("'" + path + "'"));
  return content;
}

Status WriteFileAtomically(const std::string& path, std::string_view bytes, unsigned mode) {
  static std::atomic<unsigned> counter{0};  // two threads may write the same path
  const std::string temporary =
      path + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
  // A leftover of a dead process with our number is removed, never followed or reused.
  ::unlink(temporary.c_str());
  Result<UniqueFd> fd = OpenFile(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  if (!fd) return Fail(std::move(fd.error()));
  Status done = WriteAll(fd->get(), bytes);
  if (!done) done = Fail(std::move(done.error()).WithContext("'" + temporary + "'"));
  if (done && ::fsync(fd->get()) != 0) done = FailErrno("cannot sync '" + temporary + "'");
  if (done && ::rename(temporary.c_str(), path.c_str()) != 0) {
    done = FailErrno("cannot rename to '" + path + "'");
  }
  if (!done) ::unlink(temporary.c_str());
  return done;
}

int PollTimeout(Deadline deadline) {
  if (deadline == Deadline::max()) return -1;
  const auto now = steady_clock::now();
  if (deadline <= now) return 0;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
  constexpr std::int64_t kLongest = std::numeric_limits<int>::max();
  return static_cast<int>(std::min<std::int64_t>(left, kLongest));
}

Result<bool> PollUntil(int fd, short events, Deadline deadline) {
  while (true) {
    pollfd entry{.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&entry, 1, PollTimeout(deadline));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return FailErrno("poll");
    // poll(2) counts at most 24 days, and a signal may have cut it short.
    if (deadline != Deadline::max() && steady_clock::now() >= deadline) return false;
  }
}

Result<UniqueFd> OpenFile(const std::string& path, int flags, unsigned mode) {
  while (true) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EINTR) return FailErrno("cannot open '" + path + "'");
  }
}

}  // namespace nv::base
