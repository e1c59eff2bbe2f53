#include "wire/vsock.h"

#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>

#include <gtest/gtest.h>

namespace nv::wire {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::uint32_t kNobodysPort = 0x7fff'fe01;

// Only loopback is dialled here: any other CID would leave this machine.
bool HaveLoopback() {
  const base::UniqueFd fd(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_LOCAL;
  address.svm_port = VMADDR_PORT_ANY;
  return fd.valid() &&
         ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

#define NV_NEED_LOOPBACK() \
  if (!HaveLoopback()) GTEST_SKIP() << "no vsock loopback here (module vsock_loopback)"

TEST(Vsock, DialReachesAListener) {
  NV_NEED_LOOPBACK();
  const base::UniqueFd listener = ListenVsock(kNobodysPort).value();
  const auto soon = steady_clock::now() + milliseconds{10'000};
  const base::UniqueFd dialled = DialVsock(VMADDR_CID_LOCAL, kNobodysPort, soon, -1).value();
  ASSERT_TRUE(base::PollUntil(listener.get(), POLLIN, soon).value());
  const base::UniqueFd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(base::WriteAll(dialled.get(), "hello", soon));
  std::string got(5, ' ');
  ASSERT_TRUE(base::ReadExactly(accepted.get(), std::as_writable_bytes(std::span(got)), soon));
  EXPECT_EQ(got, "hello");
}

TEST(Vsock, DialRetriesUntilTheDeadline) {
  NV_NEED_LOOPBACK();
  const auto failed =
      DialVsock(VMADDR_CID_LOCAL, kNobodysPort, steady_clock::now() + milliseconds{50}, -1);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), base::Code::kDeadlineExceeded);
}

TEST(Vsock, DialEndsWhenCancelled) {
  NV_NEED_LOOPBACK();
  base::FdPair cancel = base::MakePipe().value();
  cancel.second.Reset();
  const auto failed = DialVsock(VMADDR_CID_LOCAL, kNobodysPort,
                                steady_clock::now() + milliseconds{10'000}, cancel.first.get());
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), base::Code::kCancelled);
}

TEST(Vsock, ListenSaysWhenTheKernelHasNoTransport) {
  const auto listener = ListenVsock(kNobodysPort);
  if (listener) {
    // Two listeners on one port are refused; the error names the port.
    const auto second = ListenVsock(kNobodysPort);
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().message().find(std::to_string(kNobodysPort)), std::string::npos);
  } else {
    EXPECT_EQ(listener.error().code(), base::Code::kUnimplemented);
  }
}

}  // namespace
}  // namespace nv::wire
