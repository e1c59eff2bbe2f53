#include "host/jail/protocol/records.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

namespace nv::host::jail {

using base::Code;
using base::Fail;

base::Result<Record> ReceiveRecord(int socket, std::span<std::byte> buffer) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassedFds)];
  iovec data{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;

  ssize_t received;
  do {
    received = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return Fail(Code::kDeadlineExceeded, "no record");
    }
    return base::FailErrno("cannot receive from the jail socket");
  }

  Record record;
  record.bytes = static_cast<std::size_t>(received);
  record.cut = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
      record.fds.emplace_back(fd);
    }
  }
  return record;
}

base::Status SendRecord(int socket, std::span<const std::byte> bytes, std::span<const int> fds,
                        base::Deadline deadline) {
  if (fds.size() > kMaxPassedFds) {
    return Fail(Code::kInvalidArgument, "too many descriptors for one record");
  }
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassedFds)] = {};
  // sendmsg does not write through the pointer; iovec has no const form.
  iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(part), fds.data(), sizeof(int) * fds.size());
  }
  for (;;) {
    if (::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return {};
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) {
      return Fail(Code::kUnavailable, "the other end of the jail socket is closed");
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      return base::FailErrno("cannot send on the jail socket");
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return Fail(Code::kDeadlineExceeded, "the jail socket stayed full");
    }
    const auto ready = base::PollUntil(socket, POLLOUT, deadline);
    if (!ready) return Fail(ready.error());
  }
}

}  // namespace nv::host::jail
