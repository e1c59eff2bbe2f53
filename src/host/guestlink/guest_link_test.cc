#include "host/guestlink/guest_link.h"

#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <future>
#include <thread>

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include "base/version.h"
#include "neurovisor/guest.grpc.pb.h"
#include "wire/grpc_fd.h"

namespace nv::host::guestlink {
namespace {

namespace proto = neurovisor::guest::v1;
using std::chrono::milliseconds;
using Stream = grpc::ServerReaderWriter<proto::RunResponse, proto::RunRequest>;

// A guest whose answers a test writes.
class FakeGuest final : public proto::Guest::Service {
 public:
  std::function<grpc::Status(grpc::ServerContext&, Stream&)> on_run;
  std::function<void(proto::PingResponse&)> on_ping;
  proto::PrepareResponse prepare;
  proto::LeaseResponse lease;
  std::promise<void> pinged;

  grpc::Status Ping(grpc::ServerContext*, const proto::PingRequest*,
                    proto::PingResponse* answer) override {
    pinged.set_value();
    answer->set_protocol(base::kGuestProtocol);
    if (on_ping) on_ping(*answer);
    return grpc::Status::OK;
  }
  grpc::Status Prepare(grpc::ServerContext*, const proto::PrepareRequest* request,
                       proto::PrepareResponse* answer) override {
    EXPECT_GE(request->entropy().size(), 32u);
    EXPECT_EQ(request->machine_id().size(), 32u);
    *answer = prepare;
    return grpc::Status::OK;
  }
  grpc::Status Lease(grpc::ServerContext*, const proto::LeaseRequest*,
                     proto::LeaseResponse* answer) override {
    *answer = lease;
    return grpc::Status::OK;
  }
  grpc::Status Run(grpc::ServerContext* context, Stream* stream) override {
    return on_run(*context, *stream);
  }
};

class CollectingSink final : public OutputSink {
 public:
  bool OnStdout(std::string_view bytes) override {
    out += bytes;
    return !on_output || on_output();
  }
  bool OnStderr(std::string_view bytes) override {
    err += bytes;
    return true;
  }
  std::string out;
  std::string err;
  std::function<bool()> on_output;
};

// Blocks until it is cancelled, as a terminal does.
class BlockingStdin final : public StdinSource {
 public:
  std::string Read() override {
    cancelled_.get_future().wait();
    return {};
  }
  void Cancel() override { cancelled_.set_value(); }

 private:
  std::promise<void> cancelled_;
};

class WordsStdin final : public StdinSource {
 public:
  explicit WordsStdin(std::vector<std::string> words) : words_(std::move(words)) {}
  std::string Read() override { return next_ < words_.size() ? words_[next_++] : std::string(); }
  void Cancel() override {}

 private:
  std::vector<std::string> words_;
  std::size_t next_ = 0;
};

proto::RunResponse Out(std::string bytes) {
  proto::RunResponse answer;
  answer.set_stdout(std::move(bytes));
  return answer;
}
proto::RunResponse ResultOf(std::uint32_t outcome, int exit_code = 0, int signal = 0) {
  proto::RunResponse answer;
  answer.mutable_result()->set_outcome(outcome);
  answer.mutable_result()->set_exit_code(exit_code);
  answer.mutable_result()->set_signal(signal);
  return answer;
}
constexpr std::uint32_t kOk = 1;

class GuestLinkTest : public testing::Test {
 protected:
  void Connect(LinkOptions options = {}) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&guest_);
    builder.SetMaxSendMessageSize(-1);
    server_ = builder.BuildAndStart();
    auto pair = base::MakeSocketPair(SOCK_STREAM);
    ASSERT_TRUE(pair);
    wire::ServeFd(*server_, std::move(pair->second));
    link_ = GuestLink::Create(std::move(pair->first), options);
  }
  void TearDown() override {
    link_.reset();
    if (server_) server_->Shutdown(std::chrono::system_clock::now() + milliseconds{200});
  }

  // Runs with a guest that answers like `guest`, after it has taken the start message.
  base::Result<RunOutcome> RunWith(std::function<void(Stream&)> guest, RunSpec spec = {}) {
    guest_.on_run = [guest = std::move(guest)](grpc::ServerContext&, Stream& stream) {
      proto::RunRequest start;
      EXPECT_TRUE(stream.Read(&start));
      guest(stream);
      return grpc::Status::OK;
    };
    if (!link_) Connect();
    if (spec.language.empty()) spec.language = "python";
    return link_->Run(spec, nullptr, sink_, {});
  }

  // Runs with a guest that writes these answers.
  base::Result<RunOutcome> RunAnswers(std::vector<proto::RunResponse> answers, RunSpec spec = {}) {
    return RunWith(
        [answers = std::move(answers)](Stream& stream) {
          for (const auto& answer : answers) stream.Write(answer);
        },
        std::move(spec));
  }

  FakeGuest guest_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<GuestLink> link_;
  CollectingSink sink_;
};

TEST_F(GuestLinkTest, OutputAndResultArrive) {
  const auto outcome = RunAnswers({Out("one"), Out("two"), ResultOf(kOk)});
  ASSERT_TRUE(outcome) << outcome.error().message();
  EXPECT_EQ(outcome->outcome, base::Outcome::kSuccess);
  EXPECT_EQ(sink_.out, "onetwo");
}

TEST_F(GuestLinkTest, ExitCodesAreTheContracts) {
  auto signal = RunAnswers({ResultOf(6, 0, 11)});
  ASSERT_TRUE(signal);
  EXPECT_EQ(signal->exit_code, 139);
  auto timeout = RunAnswers({ResultOf(4, 0, 9)});
  ASSERT_TRUE(timeout);
  EXPECT_EQ(timeout->exit_code, 124);
  auto own = RunAnswers({ResultOf(2, 7)});
  ASSERT_TRUE(own);
  EXPECT_EQ(own->exit_code, 7);
}

TEST_F(GuestLinkTest, StartCarriesWhatWasAsked) {
  RunSpec spec{.language = "bash",
               .code = std::string("a\0b", 3),
               .args = {"x", "y"},
               .env = {{"K", "V"}},
               .timeout = milliseconds{1234},
               .max_output_bytes = 99,
               .stdin_follows = false};
  proto::RunRequest got;
  guest_.on_run = [&got](grpc::ServerContext&, Stream& stream) {
    stream.Read(&got);
    proto::RunRequest more;
    EXPECT_FALSE(stream.Read(&more));  // the client has said all it has to say
    stream.Write(ResultOf(kOk));
    return grpc::Status::OK;
  };
  Connect();
  ASSERT_TRUE(link_->Run(spec, nullptr, sink_, {}));
  EXPECT_EQ(got.start().language(), "bash");
  EXPECT_EQ(got.start().code(), spec.code);
  EXPECT_EQ(got.start().args_size(), 2);
  EXPECT_EQ(got.start().env().at("K"), "V");
  EXPECT_EQ(got.start().timeout_ms(), 1234u);
  EXPECT_EQ(got.start().max_output_bytes(), 99u);
}

TEST_F(GuestLinkTest, StdinIsFedInOrderAndEnded) {
  std::string got;
  bool ended = false;
  guest_.on_run = [&](grpc::ServerContext&, Stream& stream) {
    proto::RunRequest request;
    while (stream.Read(&request)) {
      got += request.stdin();
      ended = ended || request.stdin_end();
    }
    stream.Write(ResultOf(kOk));
    return grpc::Status::OK;
  };
  Connect();
  WordsStdin input({"ab", "cd"});
  ASSERT_TRUE(link_->Run({.language = "python", .stdin_follows = true}, &input, sink_, {}));
  EXPECT_EQ(got, "abcd");
  EXPECT_TRUE(ended);
}

TEST_F(GuestLinkTest, ProgramMayEndWhileStdinIsStillOpen) {
  guest_.on_run = [](grpc::ServerContext&, Stream& stream) {
    proto::RunRequest start;
    stream.Read(&start);
    stream.Write(ResultOf(kOk));
    return grpc::Status::OK;
  };
  Connect();
  BlockingStdin input;
  EXPECT_TRUE(link_->Run({.language = "python", .stdin_follows = true}, &input, sink_, {}));
}

struct Hostile {
  std::string name;
  std::vector<proto::RunResponse> answers;
};

TEST_F(GuestLinkTest, BrokenRulesEndTheRunAsDataLoss) {
  proto::RunResponse file;
  file.mutable_file()->set_path("/etc/passwd");
  proto::RunResponse nine_mebibytes = Out(std::string(9 << 20, 'x'));
  const std::vector<Hostile> cases = {
      {"two results", {ResultOf(kOk), ResultOf(kOk)}},
      {"output after the result", {ResultOf(kOk), Out("late")}},
      {"outcome 99", {ResultOf(99)}},
      {"outcome 0", {ResultOf(0)}},
      {"signal 65", {ResultOf(6, 0, 65)}},
      {"killed by nothing", {ResultOf(6, 0, 0)}},
      {"exit code 256", {ResultOf(2, 256)}},
      {"exit code -1", {ResultOf(2, -1)}},
      {"no result", {Out("x")}},
      {"empty message", {proto::RunResponse()}},
      {"empty chunk", {Out("")}},
      {"large chunk", {Out(std::string(64 * 1024 + 1, 'x'))}},
      {"9 MiB message", {nine_mebibytes}},
      {"unasked file", {file}},
  };
  for (const Hostile& hostile : cases) {
    const auto outcome = RunAnswers(hostile.answers);
    ASSERT_FALSE(outcome) << hostile.name;
    EXPECT_EQ(outcome.error().code(), base::Code::kDataLoss)
        << hostile.name << ": " << outcome.error().message();
  }
}

TEST_F(GuestLinkTest, MoreOutputThanAskedForIsABrokenRule) {
  const std::string chunk(64 * 1024, 'x');
  const auto outcome = RunWith(
      [&chunk](Stream& stream) {
        while (stream.Write(Out(chunk))) {
        }
      },
      {.max_output_bytes = 100'000});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code(), base::Code::kDataLoss);
  EXPECT_LE(sink_.out.size(), 100'000u + 64 * 1024);
}

TEST_F(GuestLinkTest, NotANumberTimingsAreZero) {
  auto answer = ResultOf(kOk);
  answer.mutable_result()->set_run_ms(std::numeric_limits<double>::quiet_NaN());
  answer.mutable_result()->set_cpu_ms(-1);
  answer.mutable_result()->set_compile_ms(std::numeric_limits<double>::infinity());
  const auto outcome = RunAnswers({answer});
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->run_ms, 0);
  EXPECT_EQ(outcome->cpu_ms, 0);
  EXPECT_EQ(outcome->compile_ms, 0);
}

constexpr LinkOptions kImpatient{.compile_timeout = milliseconds{20},
                                 .host_grace = milliseconds{30}};

TEST_F(GuestLinkTest, SilentGuestEndsByTheHostsClock) {
  Connect(kImpatient);
  guest_.on_run = [](grpc::ServerContext&, Stream& stream) {
    proto::RunRequest request;
    while (stream.Read(&request)) {
    }
    return grpc::Status::OK;
  };
  const auto outcome =
      link_->Run({.language = "python", .timeout = milliseconds{20}}, nullptr, sink_, {});
  ASSERT_FALSE(outcome);
  // The fake ends its stream at our half-close: no result is a broken rule. What counts is below.
  EXPECT_EQ(outcome.error().code(), base::Code::kDataLoss);
  std::promise<void> release;
  guest_.on_run = [&release](grpc::ServerContext&, Stream&) {
    release.get_future().wait();
    return grpc::Status::OK;
  };
  const auto silent =
      link_->Run({.language = "python", .timeout = milliseconds{20}}, nullptr, sink_, {});
  release.set_value();
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code(), base::Code::kDeadlineExceeded);
}

TEST_F(GuestLinkTest, DrippingGuestEndsByTheHostsClock) {
  Connect(kImpatient);
  const auto outcome = RunWith(
      [](Stream& stream) {
        while (stream.Write(Out("."))) {
        }
      },
      {.language = "python", .timeout = milliseconds{20}});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code(), base::Code::kDeadlineExceeded);
}

TEST_F(GuestLinkTest, GuestThatKeepsTheStreamOpenAfterItsResultIsNotWaitedForLong) {
  guest_.on_run = [](grpc::ServerContext& context, Stream& stream) {
    stream.Write(ResultOf(kOk));
    while (!context.IsCancelled()) std::this_thread::yield();
    return grpc::Status::OK;
  };
  Connect();
  EXPECT_TRUE(link_->Run({.language = "python"}, nullptr, sink_, {}));
}

TEST_F(GuestLinkTest, TimeThatTheReceiverTakesIsNotTheGuests) {
  Connect(kImpatient);
  // The receiver holds the first chunk for longer than the run may take in all.
  const auto held_until = std::chrono::steady_clock::now() + milliseconds{150};
  sink_.on_output = [held_until] {
    std::this_thread::sleep_until(held_until);
    return true;
  };
  const auto outcome = RunWith(
      [](Stream& stream) {
        stream.Write(Out("x"));
        stream.Write(ResultOf(kOk));
      },
      {.language = "python", .timeout = milliseconds{20}});
  EXPECT_TRUE(outcome) << outcome.error().message();
}

TEST_F(GuestLinkTest, StopCancelsTheRun) {
  std::stop_source stop;
  guest_.on_run = [&stop](grpc::ServerContext& context, Stream&) {
    stop.request_stop();
    while (!context.IsCancelled()) std::this_thread::yield();
    return grpc::Status::CANCELLED;
  };
  Connect();
  BlockingStdin input;
  const auto outcome =
      link_->Run({.language = "python", .stdin_follows = true}, &input, sink_, stop.get_token());
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code(), base::Code::kCancelled);
}

TEST_F(GuestLinkTest, ReceiverThatWantsNoMoreCancelsTheRun) {
  sink_.on_output = [] { return false; };
  const auto outcome = RunWith([](Stream& stream) {
    while (stream.Write(Out("x"))) {
    }
  });
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code(), base::Code::kCancelled);
  EXPECT_EQ(sink_.out, "x");
}

TEST_F(GuestLinkTest, GuestsRefusalIsItsAnswerEscaped) {
  guest_.on_run = [](grpc::ServerContext&, Stream&) {
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "no \x1b[31mrust");
  };
  Connect();
  const auto outcome = link_->Run({.language = "rust"}, nullptr, sink_, {});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code(), base::Code::kFailedPrecondition);
  EXPECT_EQ(outcome.error().message().find('\x1b'), std::string::npos);
}

TEST_F(GuestLinkTest, PingGivesBoundedEscapedFacts) {
  guest_.on_ping = [](proto::PingResponse& answer) {
    answer.set_agent_version(std::string(1000, '\n'));
    answer.set_boottime_ns(-5);
    for (int i = 0; i < 1000; ++i) answer.add_lacks("x");
  };
  Connect();
  const auto facts = link_->Ping(base::Deadline::max(), {});
  ASSERT_TRUE(facts) << facts.error().message();
  EXPECT_EQ(facts->agent_version.find('\n'), std::string::npos);
  EXPECT_LT(facts->agent_version.size(), 300u);
  EXPECT_EQ(facts->boottime.count(), 0);
  EXPECT_EQ(facts->lacks.size(), 64u);
}

TEST_F(GuestLinkTest, OtherProtocolIsRefused) {
  guest_.on_ping = [](proto::PingResponse& answer) {
    answer.set_protocol(base::kGuestProtocol + 1);
  };
  Connect();
  const auto facts = link_->Ping(base::Deadline::max(), {});
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code(), base::Code::kFailedPrecondition);
}

TEST_F(GuestLinkTest, LeaseHasToBeConfirmedUnlessDeclaredLacking) {
  Connect();
  const base::SystemClock clock;
  const auto trace = base::TraceId::New(clock);
  EXPECT_FALSE(link_->Prepare("vm", base::Deadline::max()));
  EXPECT_FALSE(link_->Lease(trace, base::Deadline::max()));
  guest_.on_ping = [](proto::PingResponse& answer) {
    answer.add_lacks("rng_feed");
    answer.add_lacks("clock_set");
  };
  ASSERT_TRUE(link_->Ping(base::Deadline::max(), {}));
  EXPECT_TRUE(link_->Prepare("vm", base::Deadline::max()));
  EXPECT_TRUE(link_->Lease(trace, base::Deadline::max()));
}

// Peers that do not speak HTTP/2.
class RawPeerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = base::MakeSocketPair(SOCK_STREAM);
    ASSERT_TRUE(pair);
    peer_ = std::move(pair->second);
    link_ = GuestLink::Create(std::move(pair->first), kImpatient);
  }
  base::UniqueFd peer_;
  std::unique_ptr<GuestLink> link_;
  CollectingSink sink_;
};

TEST_F(RawPeerTest, GarbageBreaksTheChannel) {
  ASSERT_TRUE(base::WriteAll(peer_.get(), std::string(4096, '\xff')));
  const auto outcome = link_->Run({.language = "python"}, nullptr, sink_, {});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code(), base::Code::kUnavailable) << outcome.error().message();
}

TEST_F(RawPeerTest, ClosedPeerBreaksTheChannel) {
  peer_.Reset();
  const auto facts = link_->Ping(base::Deadline::max(), {});
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code(), base::Code::kUnavailable);
}

TEST_F(RawPeerTest, SilentPeerEndsAtTheDeadlineOrAtTheStop) {
  const auto late = link_->Ping(std::chrono::steady_clock::now() + milliseconds{20}, {});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), base::Code::kDeadlineExceeded);
  std::stop_source stop;
  stop.request_stop();
  const auto stopped = link_->Ping(base::Deadline::max(), stop.get_token());
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code(), base::Code::kCancelled);
}

TEST_F(RawPeerTest, SilentPeerCannotHoldARunThatItDoesNotRead) {
  const auto outcome = link_->Run(
      {.language = "python", .code = std::string(4 << 20, 'x'), .timeout = milliseconds{20}},
      nullptr, sink_, {});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code(), base::Code::kDeadlineExceeded);
}

}  // namespace
}  // namespace nv::host::guestlink
