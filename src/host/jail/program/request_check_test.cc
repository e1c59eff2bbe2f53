#include "host/jail/program/request_check.h"

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace nv::host::jail {
namespace {

class RequestCheckTest : public testing::Test {
 protected:
  RequestCheckTest() : request_(std::make_unique<Request>()) {
    request_->version = kVersion;
    request_->type = RequestType::kStart;
    request_->id = 7;
    request_->program = ProgramKind::kQemu;
    request_->limits = {.open_files = 64, .address_space = 0, .file_size = 0, .processes = 16};
    SetArguments({"-nodefaults", "", "x"});
    request_->fd_count = 2;
    request_->fd_numbers[0] = 0;
    request_->fd_numbers[1] = kMaxFdNumber;
  }

  void SetArguments(const std::vector<std::string>& arguments) {
    std::string bytes;
    for (const std::string& argument : arguments) bytes += argument + '\0';
    std::memcpy(request_->arguments, bytes.data(), bytes.size());
    request_->argument_count = static_cast<std::uint32_t>(arguments.size());
    request_->argument_bytes = static_cast<std::uint32_t>(bytes.size());
  }
  // The refusal, or "" when accepted.
  std::string Check(std::size_t fds = 2) const {
    const char* wrong = CheckRequest(*request_, fds);
    return wrong == nullptr ? "" : wrong;
  }

  std::unique_ptr<Request> request_;
};

TEST_F(RequestCheckTest, AcceptsAGoodStartAndSplitsItsArguments) {
  EXPECT_EQ(Check(), "");
  Argv argv;
  FillArgv(*request_, "/vmm", argv);
  EXPECT_STREQ(argv[0], "/vmm");
  EXPECT_STREQ(argv[1], "-nodefaults");
  EXPECT_STREQ(argv[2], "");
  EXPECT_STREQ(argv[3], "x");
  EXPECT_EQ(argv[4], nullptr);
}

TEST_F(RequestCheckTest, RefusesAnotherVersionForEveryType) {
  for (std::uint32_t version : {0u, kVersion + 1, ~0u}) {
    request_->version = version;
    EXPECT_EQ(Check(), "another protocol version");
  }
}

TEST_F(RequestCheckTest, RefusesUnknownTypesKindsAndFlags) {
  request_->flags = 2;
  EXPECT_EQ(Check(), "unknown flag");
  request_->flags = ~0u;
  EXPECT_EQ(Check(), "unknown flag");
  request_->flags = kNeedsKvm;
  EXPECT_EQ(Check(), "");
  for (std::uint32_t kind : {0u, 2u, ~0u}) {
    request_->program = static_cast<ProgramKind>(kind);
    EXPECT_EQ(Check(), "unknown program kind");
  }
  for (std::uint32_t type : {0u, 5u, ~0u}) {
    request_->type = static_cast<RequestType>(type);
    EXPECT_EQ(Check(), "unknown request type");
  }
}

TEST_F(RequestCheckTest, RefusesLimitsOutsideTheirRanges) {
  for (std::uint64_t files :
       {std::uint64_t{0}, std::uint64_t{7}, std::uint64_t{4097}, ~std::uint64_t{0}}) {
    request_->limits.open_files = files;
    EXPECT_EQ(Check(), "open_files outside 8..4096");
  }
  request_->limits.open_files = 4096;
  for (std::uint64_t processes : {std::uint64_t{0}, std::uint64_t{4097}, ~std::uint64_t{0}}) {
    request_->limits.processes = processes;
    EXPECT_EQ(Check(), "processes outside 1..4096");
  }
  request_->limits.processes = 4096;
  request_->limits.address_space = ~0ull;
  request_->limits.file_size = ~0ull;
  EXPECT_EQ(Check(), "");
}

TEST_F(RequestCheckTest, RefusesArgumentsThatDoNotMatchTheirCounts) {
  request_->argument_count = 2;
  EXPECT_EQ(Check(), "arguments and their NUL bytes do not match");
  request_->argument_count = 4;
  EXPECT_EQ(Check(), "arguments and their NUL bytes do not match");
  request_->argument_count = kMaxArguments + 1;
  EXPECT_EQ(Check(), "more arguments than 128");
  request_->argument_count = ~0u;
  EXPECT_EQ(Check(), "more arguments than 128");
  request_->argument_count = 3;
  request_->argument_bytes = kMaxArgumentBytes + 1;
  EXPECT_EQ(Check(), "more argument bytes than 16384");
  request_->argument_bytes = ~0u;
  EXPECT_EQ(Check(), "more argument bytes than 16384");
  SetArguments({});
  EXPECT_EQ(Check(), "");
  request_->argument_count = 1;
  EXPECT_EQ(Check(), "arguments and their NUL bytes do not match");
}

TEST_F(RequestCheckTest, RefusesAStringThatRunsPastTheEnd) {
  // Two terminators for two arguments, and a third text without one.
  const char bytes[] = {'a', '\0', 'b', '\0', 'c', 'd'};
  std::memcpy(request_->arguments, bytes, sizeof bytes);
  request_->argument_count = 2;
  request_->argument_bytes = sizeof bytes;
  EXPECT_EQ(Check(), "the last argument has no NUL byte");

  // The whole field without a terminator.
  std::memset(request_->arguments, 'x', sizeof request_->arguments);
  request_->argument_count = 0;
  request_->argument_bytes = kMaxArgumentBytes;
  EXPECT_EQ(Check(), "the last argument has no NUL byte");
}

TEST_F(RequestCheckTest, RefusesDescriptorsThatAreNotWhatTheRecordSays) {
  EXPECT_EQ(Check(1), "descriptor count and descriptors do not match");
  EXPECT_EQ(Check(3), "descriptor count and descriptors do not match");
  request_->fd_count = kMaxFds + 1;
  EXPECT_EQ(Check(kMaxFds + 1), "more descriptors than 24");
  request_->fd_count = ~0u;
  EXPECT_EQ(Check(), "more descriptors than 24");
  request_->fd_count = 2;
  for (std::int32_t number : {-1, kMaxFdNumber + 1, 1000, -2147483647 - 1, 2147483647}) {
    request_->fd_numbers[1] = number;
    EXPECT_EQ(Check(), "descriptor number outside 0..63");
  }
  request_->fd_numbers[1] = request_->fd_numbers[0];
  EXPECT_EQ(Check(), "two descriptors with one number");
}

TEST_F(RequestCheckTest, RefusesDescriptorsOnOtherRequests) {
  for (RequestType type : {RequestType::kHello, RequestType::kKill, RequestType::kOpenVsock}) {
    request_->type = type;
    EXPECT_EQ(Check(0), "");
    EXPECT_EQ(Check(1), "descriptors where none belong");
  }
}

// Whatever the bytes: a verdict, and what is accepted splits inside the record (ASan watches).
TEST_F(RequestCheckTest, SurvivesRandomRecords) {
  std::mt19937_64 random(20261124);
  for (int round = 0; round < 20'000; ++round) {
    auto* bytes = reinterpret_cast<unsigned char*>(request_.get());
    const std::size_t flips = 1 + random() % 4;
    for (std::size_t i = 0; i < flips; ++i) {
      // Mostly the header, where the meaning is.
      const std::size_t range = random() % 4 != 0 ? offsetof(Request, arguments) : sizeof(Request);
      bytes[random() % range] = static_cast<unsigned char>(random());
    }
    if (random() % 8 == 0) {
      request_->version = kVersion;
      request_->type = RequestType::kStart;
      request_->program = ProgramKind::kQemu;
      request_->flags = 0;
      request_->limits = {.open_files = 64, .address_space = 0, .file_size = 0, .processes = 16};
      request_->fd_count = 0;
    }
    if (CheckRequest(*request_, 0) != nullptr || request_->type != RequestType::kStart) continue;
    Argv argv;
    FillArgv(*request_, "vmm", argv);
    for (std::uint32_t i = 1; i <= request_->argument_count; ++i) {
      const char* end = argv[i] + std::strlen(argv[i]);
      EXPECT_LT(end, request_->arguments + request_->argument_bytes);
    }
  }
}

}  // namespace
}  // namespace nv::host::jail
