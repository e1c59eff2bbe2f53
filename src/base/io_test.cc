#include "base/io.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace nv::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

Deadline In(milliseconds time) { return steady_clock::now() + time; }

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = ::testing::TempDir() + "io_test.XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string File(const char* name) const { return path_ + "/" + name; }
  [[nodiscard]] long Entries() const {
    return std::distance(std::filesystem::directory_iterator(path_), {});
  }

 private:
  std::string path_;
};

TEST(Io, DescriptorsMadeHereAreCloseOnExec) {
  const FdPair sockets = MakeSocketPair(SOCK_SEQPACKET).value();
  const FdPair pipe = MakePipe().value();
  const UniqueFd file = OpenFile("/dev/null", O_RDONLY).value();
  for (const int fd : {sockets.first.get(), sockets.second.get(), pipe.first.get(),
                       pipe.second.get(), file.get()}) {
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST(Io, ShortWritesAndReadsAreContinued) {
  FdPair pair = MakeSocketPair(SOCK_STREAM).value();
  ASSERT_TRUE(SetNonBlocking(pair.first.get(), true));
  ASSERT_TRUE(SetNonBlocking(pair.second.get(), true));
  const std::string sent(5'000'000, 'z');
  std::jthread writer([&] { EXPECT_TRUE(WriteAll(pair.first.get(), sent, In(seconds{30}))); });
  std::string got(sent.size(), ' ');
  EXPECT_TRUE(
      ReadExactly(pair.second.get(), std::as_writable_bytes(std::span(got)), In(seconds{30})));
  EXPECT_EQ(got, sent);
}

TEST(Io, SignalsDoNotCutAReadOrAWriteShort) {
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) {};  // without SA_RESTART: system calls return EINTR
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  FdPair pair = MakeSocketPair(SOCK_STREAM).value();
  const std::string sent(8'000'000, 'q');
  std::string got(sent.size(), ' ');
  std::atomic<int> finished = 0;
  std::jthread writer([&] {
    EXPECT_TRUE(WriteAll(pair.first.get(), sent));
    ++finished;
  });
  std::jthread reader([&] {
    EXPECT_TRUE(ReadExactly(pair.second.get(), std::as_writable_bytes(std::span(got))));
    ++finished;
  });
  while (finished < 2) {
    ::pthread_kill(writer.native_handle(), SIGUSR1);
    ::pthread_kill(reader.native_handle(), SIGUSR1);
    std::this_thread::yield();
  }
  writer.join();
  reader.join();
  EXPECT_EQ(got, sent);
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST(Io, WriteToAFullPeerEndsAtTheDeadline) {
  FdPair pair = MakeSocketPair(SOCK_STREAM).value();
  ASSERT_TRUE(SetNonBlocking(pair.first.get(), true));
  const Status done =
      WriteAll(pair.first.get(), std::string(10'000'000, 'x'), In(milliseconds{20}));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kDeadlineExceeded);
}

TEST(Io, WriteToAGonePeerIsEpipe) {
  struct sigaction ignore {};
  struct sigaction before {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &before);
  FdPair pipe = MakePipe().value();
  pipe.first.Reset();
  const Status done = WriteAll(pipe.second.get(), "x");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().error_number(), EPIPE);
  ::sigaction(SIGPIPE, &before, nullptr);
}

TEST(Io, ReadFromASilentPeerEndsAtTheDeadlineEvenWhenBlocking) {
  const FdPair pipe = MakePipe().value();
  std::byte byte{};
  const Status done = ReadExactly(pipe.first.get(), {&byte, 1}, In(milliseconds{20}));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kDeadlineExceeded);
}

TEST(Io, ReadPastTheEndSaysEndOfFile) {
  FdPair pipe = MakePipe().value();
  ASSERT_TRUE(WriteAll(pipe.second.get(), "abc"));
  pipe.second.Reset();
  std::string got(4, ' ');
  const Status done = ReadExactly(pipe.first.get(), std::as_writable_bytes(std::span(got)));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kUnavailable);
  EXPECT_NE(done.error().message().find("end of file"), std::string::npos);
}

TEST(Io, ReadFileHoldsTheLimitToTheByte) {
  const TemporaryFolder folder;
  const std::string path = folder.File("f");
  const std::string content(200'000, 'k');
  ASSERT_TRUE(WriteFileAtomically(path, content));
  EXPECT_EQ(ReadFile(path, content.size()).value(), content);
  EXPECT_EQ(ReadFile(path, content.size() + 1).value(), content);
  const auto large = ReadFile(path, content.size() - 1);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code(), Code::kResourceExhausted);
  EXPECT_NE(large.error().message().find(path), std::string::npos);
}

TEST(Io, ReadFileOfProcHasNoSizeAndIsReadWhole) {
  EXPECT_FALSE(ReadFile("/proc/self/status", 100'000).value().empty());
}

TEST(Io, ReadFileErrorsNameThePath) {
  const auto missing = ReadFile("/no/such/file", 10);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_NE(missing.error().message().find("/no/such/file"), std::string::npos);
  const auto folder = ReadFile("/proc", 10);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().error_number(), EISDIR);
}

TEST(Io, AtomicWriteReplacesAndLeavesNothingElse) {
  const TemporaryFolder folder;
  const std::string path = folder.File("f");
  ASSERT_TRUE(WriteFileAtomically(path, "old"));
  ASSERT_TRUE(WriteFileAtomically(path, "new", 0600));
  EXPECT_EQ(ReadFile(path, 10).value(), "new");
  EXPECT_EQ(folder.Entries(), 1);
  struct stat about {};
  ASSERT_EQ(::stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 07777, 0600U);
}

TEST(Io, AtomicWriteThatFailsLeavesTheOldFileAndNoTemporary) {
  const TemporaryFolder folder;
  const std::string path = folder.File("d");
  std::filesystem::create_directory(path);
  EXPECT_FALSE(WriteFileAtomically(path, "x"));  // rename onto a folder
  EXPECT_EQ(folder.Entries(), 1);
  EXPECT_FALSE(WriteFileAtomically(folder.File("no/such"), "x"));
}

TEST(Io, PollTimeoutRoundsUpAndClamps) {
  EXPECT_EQ(PollTimeout(Deadline::max()), -1);
  EXPECT_EQ(PollTimeout(steady_clock::now() - seconds{1}), 0);
  EXPECT_EQ(PollTimeout(steady_clock::now() + std::chrono::hours{24 * 365}), INT_MAX);
  EXPECT_GE(PollTimeout(steady_clock::now() + std::chrono::microseconds{900}), 0);
  EXPECT_GT(PollTimeout(In(milliseconds{50})), 0);
}

TEST(Io, PollUntilTellsReadyFromLate) {
  FdPair pipe = MakePipe().value();
  EXPECT_FALSE(PollUntil(pipe.first.get(), POLLIN, In(milliseconds{5})).value());
  ASSERT_TRUE(WriteAll(pipe.second.get(), "x"));
  EXPECT_TRUE(PollUntil(pipe.first.get(), POLLIN, In(seconds{5})).value());
  pipe.second.Reset();
  EXPECT_TRUE(PollUntil(pipe.first.get(), POLLIN, Deadline::max()).value()) << "hang-up counts";
}

}  // namespace
}  // namespace nv::base
