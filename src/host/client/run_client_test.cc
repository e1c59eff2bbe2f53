#include "host/client/run_client.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/io.h"
#include "host/client/fake_sandboxes.h"

namespace nv::host::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

base::FdPair Sockets() {
  auto pair = base::MakeSocketPair(SOCK_STREAM);
  EXPECT_TRUE(pair);
  return *std::move(pair);
}

// A client connected to a fake server, and what came back.
// The fake server lists the settings that it finds in its environment: the caller's own must not be
// among them.
const bool kEnvironmentIsOurs = [] {
  for (const char* name :
       {"NEUROVISOR_DATA_DIR", "NEUROVISOR_LIBEXEC_DIR", "NEUROVISOR_QEMU", "NEUROVISOR_ACCEL"}) {
    ::unsetenv(name);
  }
  return true;
}();

class RunClientTest : public testing::Test {
 protected:
  base::Result<RunReport> Run(const std::string& script, int stdin_fd = -1) {
    request_.language = "bash";
    request_.code = script;
    request_.stdin_fd = stdin_fd;
    return client_->Run(request_, {.on_stdout =
                                       [this](std::string_view bytes) {
                                         out_ += bytes;
                                         return keep_going_;
                                       },
                                   .on_stderr =
                                       [this](std::string_view bytes) {
                                         err_ += bytes;
                                         return keep_going_;
                                       },
                                   .on_progress =
                                       [this](std::string_view text) {
                                         progress_ += text;
                                         if (on_progress_) on_progress_();
                                       }});
  }

  void Connect(RunClientOptions options = {}) {
    base::FdPair pair = Sockets();
    server_ = FakeSandboxes::Start(std::move(pair.second));
    client_ = RunClient::Create(std::move(pair.first), options);
  }

  void SetUp() override { Connect(); }
  void TearDown() override {
    client_.reset();
    server_.reset();
  }

  std::unique_ptr<FakeSandboxes> server_;
  std::unique_ptr<RunClient> client_;
  RunRequest request_;
  bool keep_going_ = true;
  std::function<void()> on_progress_;
  std::string out_, err_, progress_;
};

TEST_F(RunClientTest, OutputComesUnchangedAndTheReportIsFilled) {
  request_.trace_id = "trace-1";
  const auto report =
      Run("out one\nerr two\nhex out 00ff0a\nresult exit=3 outcome=error out_lost=7 hint=net");
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(out_, std::string("one\n\0\xff\n", 7));
  EXPECT_EQ(err_, "two\n");
  EXPECT_EQ(report->exit_code, 3);
  EXPECT_EQ(report->outcome, "error");
  EXPECT_EQ(report->stdout_truncated, 7U);
  EXPECT_EQ(report->trace_id, "trace-1");
  EXPECT_EQ(report->vm_id, "vm-fake");
  EXPECT_EQ(report->backend, "fake");
  EXPECT_DOUBLE_EQ(report->total_ms, 4.25);
  EXPECT_EQ(report->max_rss_bytes, 4096U);
  EXPECT_EQ(report->hint, "net");
}

TEST_F(RunClientTest, EverythingOfTheRequestReachesTheServer) {
  request_.args = {"a b", ""};
  request_.env = {{"NAME", std::string("\xff\x01")}};
  request_.timeout_secs = 77;
  request_.max_output_bytes = 123;
  request_.size = "small";
  request_.image = "mini";
  request_.cold = true;
  ASSERT_TRUE(Run("request"));
  EXPECT_EQ(out_,
            "language=bash\ntimeout=77\nmax_output=123\nsize=small\nimage=mini\ncold=true\n"
            "stdin_follows=false\narg=a b\narg=\nenv NAME=\xff\x01\n");
}

TEST_F(RunClientTest, StandardInputIsStreamedToItsEnd) {
  auto pipe = base::MakePipe();
  ASSERT_TRUE(pipe);
  std::string sent;
  for (int i = 0; i < 50'000; ++i) sent += std::to_string(i) + "\n";
  std::jthread writer([&sent, end = std::move(pipe->second)]() mutable {
    EXPECT_TRUE(base::WriteAll(end.get(), sent));
    end.Reset();
  });
  ASSERT_TRUE(Run("stdin", pipe->first.get()));
  EXPECT_EQ(out_, sent);
}

TEST_F(RunClientTest, InputThatNeverEndsDoesNotHoldTheClient) {
  auto pipe = base::MakePipe();  // nobody writes, nobody closes
  ASSERT_TRUE(pipe);
  ASSERT_TRUE(Run("out done", pipe->first.get()));
  EXPECT_EQ(out_, "done\n");
}

TEST_F(RunClientTest, InputThatTheServerDoesNotReadDoesNotHoldTheClient) {
  base::UniqueFd zeros(*base::OpenFile("/dev/zero", O_RDONLY));  // fills every window
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(Run("out done", zeros.get()));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds{10});
}

TEST_F(RunClientTest, ErrorCarriesCodeMessageRemedyAndLongDetails) {
  std::string details;
  for (int line = 0; line < 20; ++line) details += std::string(400, 'c') + "\\n";
  const auto report = Run("fail 9|no image 'mini'|neurovisor image build mini|" + details);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), base::Code::kFailedPrecondition);
  EXPECT_EQ(report.error().message(), "no image 'mini'");
  EXPECT_EQ(report.error().remedy(), "neurovisor image build mini");
  EXPECT_EQ(report.error().details().size(), 20 * 401U);
}

TEST_F(RunClientTest, UnknownStatusNumberIsUnknown) {
  const auto report = Run("fail 11|range");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), base::Code::kUnknown);
}

TEST_F(RunClientTest, EndWithoutResultIsAnErrorOfTheEngine) {
  const auto report = Run("out x\nnothing");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), base::Code::kInternal);
}

TEST_F(RunClientTest, ExitStatusOutsideAByteIsAnErrorOfTheEngine) {
  const auto report = Run("result exit=256");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), base::Code::kInternal);
}

TEST_F(RunClientTest, CancelFromAnotherThreadEndsTheRunOnBothSides) {
  std::jthread canceller;
  on_progress_ = [&] { canceller = std::jthread([this] { client_->Cancel(); }); };
  const auto report = Run("progress booting\nwait");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), base::Code::kCancelled);
  EXPECT_EQ(progress_, "booting");
  EXPECT_TRUE(server_->WaitForCancel(seconds{10}));
}

TEST_F(RunClientTest, CancelBeforeTheRunEndsItAtOnce) {
  client_->Cancel();
  const auto report = Run("wait");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), base::Code::kCancelled);
}

TEST_F(RunClientTest, CallbackThatRefusesCancelsTheRun) {
  keep_going_ = false;
  const auto report = Run("out first\nwait");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), base::Code::kCancelled);
  EXPECT_EQ(out_, "first\n");
  EXPECT_TRUE(server_->WaitForCancel(seconds{10}));
}

TEST_F(RunClientTest, ServerThatForgetsIsLeftAtTheDeadline) {
  Connect({.overhead = milliseconds{-29'900}});  // the request's own 30 s make it 0.1 s
  const auto report = Run("wait");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), base::Code::kDeadlineExceeded);
}

TEST_F(RunClientTest, PeerThatClosesIsUnavailable) {
  base::FdPair pair = Sockets();
  client_ = RunClient::Create(std::move(pair.first));
  pair.second.Reset();
  const auto report = Run("out x");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), base::Code::kUnavailable);
}

TEST_F(RunClientTest, PeerThatSpeaksGarbageIsAnErrorAtOnce) {
  base::FdPair pair = Sockets();
  client_ = RunClient::Create(std::move(pair.first));
  ASSERT_TRUE(base::WriteAll(pair.second.get(), std::string(100'000, 'G')));
  const auto report = Run("out x");
  ASSERT_FALSE(report);
  // gRPC says UNKNOWN or UNAVAILABLE, by what it was doing when the bytes came.
  EXPECT_NE(report.error().code(), base::Code::kDeadlineExceeded);
  EXPECT_NE(report.error().message(), "");
}

TEST_F(RunClientTest, PeerThatNeverSpeaksIsLeftAtTheDeadline) {
  base::FdPair pair = Sockets();
  client_ = RunClient::Create(std::move(pair.first), {.overhead = milliseconds{-29'900}});
  const auto report = Run("out x");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), base::Code::kDeadlineExceeded);
}

}  // namespace
}  // namespace nv::host::client
