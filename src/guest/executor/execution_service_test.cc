// ExecutionService over a real gRPC connection: the older shape of the same engine.

#include <grpcpp/grpcpp.h>

#include "base/text.h"
#include "guest/executor/guest_fixture.h"

namespace nv::guest::executor {
namespace {

namespace pb = ::neurovisor::execution;

class Execution : public GuestFixture {
 protected:
  static pb::ExecuteRequest Request(const std::string& language, const std::string& code) {
    pb::ExecuteRequest request;
    request.set_language(language);
    request.set_code(code);
    return request;
  }
  grpc::Status Execute(const pb::ExecuteRequest& request, pb::ExecuteResponse& response) {
    grpc::ClientContext context;
    return execution_->Execute(&context, request, &response);
  }
};

TEST_F(Execution, ExecuteFillsEveryFieldOfASuccess) {
  auto request = Request("python3", "import sys\nprint(sys.argv[1], sys.stdin.read())");
  request.add_args("arg");
  request.set_stdin("input");
  pb::ExecuteResponse response;
  ASSERT_TRUE(Execute(request, response).ok());
  EXPECT_EQ(response.stdout(), "arg input\n");
  EXPECT_EQ(response.stdout_bytes(), "");
  EXPECT_EQ(response.exit_code(), 0);
  EXPECT_EQ(response.outcome(), "success");
  EXPECT_FALSE(response.timed_out());
  EXPECT_GT(response.duration_ms(), 0);
  EXPECT_GT(response.usage().max_rss_bytes(), 0U);
  EXPECT_GT(response.timings().run(), 0);
}

TEST_F(Execution, InvalidUtf8IsReplacedInTheStringAndWholeInTheBytes) {
  pb::ExecuteResponse response;
  ASSERT_TRUE(Execute(Request("sh", "printf 'a\\xffb'; printf 'ok' >&2"), response).ok());
  EXPECT_EQ(response.stdout(),
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(response.stdout_bytes(),
            "a\xff"
            "b");
  EXPECT_EQ(response.stderr(), "ok");
  EXPECT_EQ(response.stderr_bytes(), "");
}

TEST_F(Execution, OutputThatDoesNotFitAMessageIsCountedAndStillAnswered) {
  pb::ExecuteResponse response;
  const auto code = "head -c 20000000 /dev/urandom | tee /dev/stderr";
  const grpc::Status status = Execute(Request("bash", code), response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.outcome(), "output_limit");
  EXPECT_EQ(response.stdout_bytes().size() + response.truncated().stdout_bytes(), 20'000'000U);
  EXPECT_EQ(response.stderr_bytes().size() + response.truncated().stderr_bytes(), 20'000'000U);
  EXPECT_TRUE(base::IsUtf8(response.stdout()));
  EXPECT_LE(response.ByteSizeLong(), 8U * 1024 * 1024);
}

TEST_F(Execution, StreamCutsNoCharacterAndEndsWithMetadata) {
  grpc::ClientContext context;
  const auto stream = execution_->ExecuteStream(
      &context, Request("bash", "printf '\\xe2\\x82'; sleep 0.1; printf '\\xac\\xff'; exit 4"));
  pb::ExecuteChunk chunk;
  std::string joined;
  pb::ExecuteMetadata metadata;
  while (stream->Read(&chunk)) {
    EXPECT_FALSE(metadata.has_timings()) << "a chunk after the last one";
    joined += chunk.stdout_chunk() + chunk.stdout_bytes();
    if (chunk.is_final()) metadata = chunk.metadata();
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(joined, "\xe2\x82\xac\xff");
  EXPECT_EQ(metadata.exit_code(), 4);
  EXPECT_EQ(metadata.outcome(), "error");
}

TEST_F(Execution, TimeoutIsAnAnswer) {
  auto request = Request("bash", "echo so far; sleep 60");
  request.set_timeout_secs(1);
  pb::ExecuteResponse response;
  ASSERT_TRUE(Execute(request, response).ok());
  EXPECT_TRUE(response.timed_out());
  EXPECT_EQ(response.exit_code(), 124);
  EXPECT_EQ(response.stdout(), "so far\n");
}

TEST_F(Execution, BadRequestsAreRefused) {
  pb::ExecuteResponse response;
  EXPECT_EQ(Execute(Request("cobol", "x"), response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Execute(Request("bash", ""), response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  auto request = Request("bash", "true");
  request.set_timeout_secs(86'401);
  EXPECT_EQ(Execute(request, response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace nv::guest::executor
