// guest.v1 over a real gRPC connection: endings, limits, stdin, cancel.

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>

#include <grpcpp/grpcpp.h>

#include "base/outcome.h"
#include "base/version.h"
#include "guest/executor/guest_fixture.h"

namespace nv::guest::executor {
namespace {

namespace v1 = ::neurovisor::guest::v1;
using base::Outcome;
using std::chrono::seconds;
using std::chrono::steady_clock;

class GuestRun : public GuestFixture {
 protected:
  static Outcome OutcomeOf(const RunResult& run) {
    EXPECT_TRUE(run.has_result) << run.status << " " << run.message;
    return static_cast<Outcome>(run.result.outcome());
  }
};

TEST_F(GuestRun, OutputOfBothStreamsArrivesAndStatusIsTheProgramsOwn) {
  const RunResult run = Run(Bash("echo out; echo err >&2; exit 7"));
  EXPECT_EQ(OutcomeOf(run), Outcome::kError);
  EXPECT_EQ(run.out, "out\n");
  EXPECT_EQ(run.err, "err\n");
  EXPECT_EQ(run.result.exit_code(), 7);
  EXPECT_EQ(run.result.signal(), 0);
  EXPECT_GT(run.result.run_ms(), 0);
  EXPECT_GT(run.result.max_rss_bytes(), 0U);
}

TEST_F(GuestRun, PythonSeesItsFileItsArgumentsAndACleanEnvironment) {
  auto start = Python(
      "import os, sys\n"
      "print(sys.argv)\n"
      "print(sorted(k for k in os.environ if k not in ('LC_CTYPE',)))\n"
      "print(os.environ['A'], os.getcwd() == os.environ['HOME'])");
  start.add_args("one");
  start.add_args("two words");
  (*start.mutable_env())["A"] = "b=c";
  const RunResult run = Run(start);
  EXPECT_EQ(OutcomeOf(run), Outcome::kSuccess) << run.err;
  EXPECT_EQ(run.out, "['main.py', 'one', 'two words']\n['A', 'HOME', 'LANG', 'PATH']\nb=c True\n");
}

TEST_F(GuestRun, TraceOfTheLeaseReachesTheProgram) {
  v1::LeaseRequest lease;
  lease.set_entropy(std::string(32, 'e'));
  lease.set_wall_clock_ns(1'800'000'000'000'000'000);
  lease.set_trace_id("my-trace-123");
  lease.set_traceparent("00-0123-45-01");
  v1::LeaseResponse answer;
  grpc::ClientContext context;
  ASSERT_TRUE(guest_->Lease(&context, lease, &answer).ok());
  EXPECT_FALSE(answer.clock_set());  // this machine is not ours to set, and Ping says so
  const RunResult run = Run(Bash("echo $NEUROVISOR_TRACE_ID $TRACEPARENT"));
  EXPECT_EQ(run.out, "my-trace-123 00-0123-45-01\n");
}

TEST_F(GuestRun, PrepareAndLeaseRefuseWhatCannotBeMeant) {
  const auto lease = [this](std::size_t entropy_bytes, std::int64_t clock, const std::string& id) {
    v1::LeaseRequest request;
    request.set_entropy(std::string(entropy_bytes, 'e'));
    request.set_wall_clock_ns(clock);
    request.set_trace_id(id);
    v1::LeaseResponse answer;
    grpc::ClientContext context;
    return guest_->Lease(&context, request, &answer).error_code();
  };
  EXPECT_EQ(lease(32, 1, "id"), grpc::StatusCode::OK);
  EXPECT_EQ(lease(512, 1, ""), grpc::StatusCode::OK);
  EXPECT_EQ(lease(31, 1, ""), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(lease(513, 1, ""), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(lease(32, 0, ""), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(lease(32, -1, ""), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(lease(32, 1, std::string("a\0b", 3)), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(lease(32, 1, std::string(257, 'a')), grpc::StatusCode::INVALID_ARGUMENT);

  v1::PrepareRequest request;
  v1::PrepareResponse answer;
  grpc::ClientContext context;
  EXPECT_EQ(guest_->Prepare(&context, request, &answer).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(GuestRun, ShutdownAnswersBeforeItActs) {
  v1::ShutdownResponse answer;
  grpc::ClientContext context;
  EXPECT_TRUE(guest_->Shutdown(&context, {}, &answer).ok());
  shut_down_.acquire();
}

TEST_F(GuestRun, FilesAreRefusedUntilThisGuestCanTakeThem) {
  auto start = Bash("true");
  start.add_get("out");
  EXPECT_EQ(Run(start).status, grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(GuestRun, PingNamesLanguagesAndWhatIsLacking) {
  v1::PingResponse pong;
  grpc::ClientContext context;
  ASSERT_TRUE(guest_->Ping(&context, {}, &pong).ok());
  EXPECT_EQ(pong.protocol(), base::kGuestProtocol);
  EXPECT_EQ(pong.languages_size(), 5);
  EXPECT_EQ(pong.languages(0).name(), "python");
  EXPECT_NE(std::ranges::find(pong.lacks(), "rng_feed"), pong.lacks().end());
  EXPECT_GT(pong.boottime_ns(), 0);
}

TEST_F(GuestRun, SignalCarriesItsNumber) {
  const RunResult run = Run(Python("import os\nos.abort()"));
  EXPECT_EQ(OutcomeOf(run), Outcome::kSignal);
  EXPECT_EQ(run.result.signal(), 6);
  EXPECT_EQ(run.result.exit_code(), 134);
  const RunResult term = Run(Bash("kill -TERM $$; sleep 60"));
  EXPECT_EQ(OutcomeOf(term), Outcome::kSignal);
  EXPECT_EQ(term.result.exit_code(), 143);
}

TEST_F(GuestRun, TimeoutKeepsTheOutputAndKillsWhatLeftItsSession) {
  auto start = Bash("echo before; setsid setsid sleep 600 & exec sleep 600");
  start.set_timeout_ms(700);
  const auto began = steady_clock::now();
  const RunResult run = Run(start);
  EXPECT_EQ(OutcomeOf(run), Outcome::kTimeout);
  EXPECT_EQ(run.result.exit_code(), 124);
  EXPECT_EQ(run.out, "before\n");
  EXPECT_GE(run.result.run_ms(), 700);
  EXPECT_LT(steady_clock::now() - began, seconds(10));
}

TEST_F(GuestRun, BackgroundChildThatHoldsStdoutIsKilledSoonAfterTheProgram) {
  const auto began = steady_clock::now();
  const RunResult run = Run(Bash("sleep 600 & echo done"));
  EXPECT_EQ(OutcomeOf(run), Outcome::kSuccess);
  EXPECT_EQ(run.out, "done\n");
  EXPECT_LT(steady_clock::now() - began, seconds(10));
}

TEST_F(GuestRun, PastTheLimitOutputIsCountedExactlyAndTheProgramGoesOn) {
  auto start = Bash("head -c 1000000 /dev/zero; head -c 10 /dev/zero >&2; exit 3");
  start.set_max_output_bytes(1000);
  const RunResult run = Run(start);
  EXPECT_EQ(OutcomeOf(run), Outcome::kOutputLimit);
  EXPECT_EQ(run.out.size(), 1000U);
  EXPECT_EQ(run.err.size(), 10U);
  EXPECT_EQ(run.result.stdout_discarded(), 999'000U);
  EXPECT_EQ(run.result.stderr_discarded(), 0U);
  EXPECT_EQ(run.result.exit_code(), 3);
}

TEST_F(GuestRun, OutputOfExactlyTheLimitIsSuccess) {
  auto start = Bash("head -c 1000 /dev/zero");
  start.set_max_output_bytes(1000);
  EXPECT_EQ(OutcomeOf(Run(start)), Outcome::kSuccess);
}

TEST_F(GuestRun, StdinReachesTheProgramToItsEnd) {
  std::string input(3'000'000, 'x');
  const RunResult run = Run(Bash("wc -c"), &input);
  EXPECT_EQ(run.out, "3000000\n");
}

TEST_F(GuestRun, StdinThatNobodyReadsBlocksNothing) {
  std::string input(3'000'000, 'x');
  EXPECT_EQ(OutcomeOf(Run(Bash("exit 0"), &input)), Outcome::kSuccess);
  EXPECT_EQ(OutcomeOf(Run(Bash("exec <&-; sleep 0.2; echo ok"), &input)), Outcome::kSuccess);
}

TEST_F(GuestRun, WithoutStdinTheProgramReadsEndOfFile) { EXPECT_EQ(Run(Bash("wc -c")).out, "0\n"); }

TEST_F(GuestRun, ProgramThatClosesItsOutputsStillRunsToItsEnd) {
  const RunResult run = Run(Bash("exec >&- 2>&-; sleep 0.3; exit 5"));
  EXPECT_EQ(run.result.exit_code(), 5);
}

TEST_F(GuestRun, CodeIsBytes) {
  EXPECT_EQ(Run(Bash("printf '\xff\xfe' | od -An -tx1")).out, " ff fe\n");
  const std::string counts_nul = "tr -cd '\\0' < main.sh | wc -c; exit\n#" + std::string(2, '\0');
  EXPECT_EQ(Run(Bash(counts_nul)).out, "2\n");
}

TEST_F(GuestRun, TwoHundredMegabytesPassThroughBoundedMemory) {
  const auto peak_kib = [] {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmHWM:")) return std::stol(line.substr(6));
    }
    return 0L;
  };
  const long before = peak_kib();
  grpc::ClientContext context;
  const auto stream = guest_->Run(&context);
  v1::RunRequest request;
  *request.mutable_start() = Bash("head -c 200000000 /dev/zero");
  ASSERT_TRUE(stream->Write(request));
  stream->WritesDone();
  v1::RunResponse response;
  std::size_t bytes = 0;
  while (stream->Read(&response)) {
    EXPECT_LE(response.stdout().size(), 64U * 1024);
    bytes += response.stdout().size();
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(bytes, 200'000'000U);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they keep freed memory
  EXPECT_LT(peak_kib() - before, 30 * 1024);                         // client and guest together
#endif
}

TEST_F(GuestRun, CancelledCallEndsTheWholeTree) {
  grpc::ClientContext context;
  const auto stream = guest_->Run(&context);
  v1::RunRequest request;
  *request.mutable_start() = Bash("echo up; setsid sleep 600 & exec sleep 600");
  ASSERT_TRUE(stream->Write(request));
  v1::RunResponse response;
  ASSERT_TRUE(stream->Read(&response));
  context.TryCancel();
  while (stream->Read(&response)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  server_->Shutdown(std::chrono::system_clock::now() + seconds(5));
  const auto began = steady_clock::now();
  engine_.reset();  // joins the run: it hangs here if something survived
  EXPECT_LT(steady_clock::now() - began, seconds(5));
}

TEST_F(GuestRun, BadRequestsAreRefusedByName) {
  const auto refused = [this](const v1::Start& start) {
    const RunResult run = Run(start);
    EXPECT_FALSE(run.has_result);
    EXPECT_EQ(run.status, grpc::StatusCode::INVALID_ARGUMENT);
    return run.message;
  };
  auto start = Bash("true");
  start.set_language("cobol");
  EXPECT_NE(refused(start).find("python|python3"), std::string::npos);
  EXPECT_EQ(refused(Bash("")), "code: empty");
  start = Bash("true");
  (*start.mutable_env())["A=B"] = "c";
  EXPECT_NE(refused(start).find("A=B"), std::string::npos);
  start = Bash("true");
  (*start.mutable_env())[""] = "c";
  EXPECT_NE(refused(start).find("empty"), std::string::npos);
  start = Bash("true");
  (*start.mutable_env())["A"] = std::string("x\0y", 3);
  EXPECT_NE(refused(start).find("NUL"), std::string::npos);
  start = Bash("true");
  start.add_args(std::string("x\0y", 3));
  EXPECT_NE(refused(start).find("NUL"), std::string::npos);
  start = Bash("true");
  for (int i = 0; i < 257; ++i) start.add_args("x");
  EXPECT_NE(refused(start).find("256"), std::string::npos);
  start = Bash("true");
  start.set_timeout_ms(86'400'001);
  EXPECT_NE(refused(start).find("86400"), std::string::npos);
  EXPECT_NE(refused(Bash(std::string(4 * 1024 * 1024 + 1, '#'))).find("4194304"),
            std::string::npos);
}

TEST_F(GuestRun, MissingToolchainNamesTheImageThatHasIt) {
  auto start = Bash("fn main() {}");
  start.set_language("rust");
  const RunResult run = Run(start);
  if (run.has_result) GTEST_SKIP() << "this host has a Rust toolchain";
  EXPECT_EQ(run.status, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(run.message, "rust: toolchain missing in this image; image 'base' has it");
}

TEST_F(GuestRun, TwoClientsRunAtTheSameTime) {
  const auto other_channel = Connect();
  const auto other = v1::Guest::NewStub(other_channel);
  grpc::ClientContext context;
  const auto waiting = other->Run(&context);
  v1::RunRequest request;
  *request.mutable_start() = Bash("read line; echo got $line");
  request.mutable_start()->set_stdin_follows(true);
  ASSERT_TRUE(waiting->Write(request));
  EXPECT_EQ(Run(Bash("echo first")).out, "first\n");
  request.set_stdin("second\n");
  ASSERT_TRUE(waiting->Write(request));
  v1::RunResponse response;
  ASSERT_TRUE(waiting->Read(&response));
  EXPECT_EQ(response.stdout(), "got second\n");
  waiting->WritesDone();
  ASSERT_TRUE(waiting->Read(&response));
  EXPECT_TRUE(response.has_result());
  EXPECT_TRUE(waiting->Finish().ok());
}

TEST_F(GuestRun, FirstMessageMustBeStart) {
  grpc::ClientContext context;
  const auto stream = guest_->Run(&context);
  v1::RunRequest request;
  request.set_stdin("x");
  stream->Write(request);
  v1::RunResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace nv::guest::executor
