#include "host/backend/qemu/qmp.h"

#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nv::host::backend::qemu {
namespace {

using base::Code;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

constexpr char kGreeting[] = "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\r\n";

base::Deadline In(milliseconds time) { return steady_clock::now() + time; }

// A peer that plays a script against one Qmp.
class QmpTest : public testing::Test {
 protected:
  void SetUp() override {
    ::signal(SIGPIPE, SIG_IGN);  // as every program of ours does
    auto pair = base::MakeSocketPair(SOCK_STREAM);
    ASSERT_TRUE(pair);
    qmp_ = std::make_unique<Qmp>(std::move(pair->first));
    peer_ = std::move(pair->second);
  }
  void TearDown() override {
    qmp_.reset();  // ends a script that still writes
    peer_.Reset();
  }

  bool Say(std::string_view text) const {
    return base::WriteAll(peer_.get(), text, In(seconds(10))).has_value();
  }
  // The next line that Qmp sent.
  std::string Hear() const {
    std::string line;
    char byte;
    while (::read(peer_.get(), &byte, 1) == 1 && byte != '\n') line += byte;
    return line;
  }
  void Greet() const {
    Say(kGreeting);
    Hear();
    Say("{\"return\":{}}\r\n");
  }
  // What Execute("stop") gives while `script` plays.
  base::Status Execute(const std::function<void()>& script, milliseconds limit = seconds(10)) {
    std::jthread playing(script);
    base::Status status = qmp_->Execute("stop", In(limit));
    if (!status) qmp_.reset();
    return status;
  }

  std::unique_ptr<Qmp> qmp_;
  base::UniqueFd peer_;
};

TEST_F(QmpTest, NegotiatesOnceAndSkipsEvents) {
  std::vector<std::string> heard;
  std::jthread peer([&] {
    Say(kGreeting);
    heard.push_back(Hear());
    Say("{\"return\":{}}\r\n");
    heard.push_back(Hear());
    Say("{\"event\":\"STOP\",\"data\":{}}\r\n{\"return\":{}}\r\n");
    heard.push_back(Hear());
    Say("{\"timestamp\":{},\"event\":\"RESUME\"}\r\n{\"ret");
    Say("urn\":{\"a\":[1]}}\r\n");
  });
  EXPECT_TRUE(qmp_->Execute("stop", In(seconds(10))));
  EXPECT_TRUE(qmp_->Execute("cont", In(seconds(10))));
  peer.join();
  EXPECT_THAT(heard, testing::ElementsAre(HasSubstr("qmp_capabilities"), HasSubstr("\"stop\""),
                                          HasSubstr("\"cont\"")));
}

TEST_F(QmpTest, RefusalCarriesQemusWordsEscaped) {
  const auto status = Execute([&] {
    Greet();
    Hear();
    Say(R"({"error":{"class":"GenericError","desc":"bad \u001b[31m state"}})"
        "\r\n");
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kUnavailable);
  EXPECT_THAT(status.error().message(), HasSubstr("GenericError"));
  EXPECT_EQ(status.error().message().find('\x1b'), std::string::npos);
}

TEST_F(QmpTest, SilenceEndsAtTheDeadline) {
  const auto start = steady_clock::now();
  const auto status = Execute([] {}, milliseconds(50));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kDeadlineExceeded);
  EXPECT_LT(steady_clock::now() - start, seconds(5));
}

TEST_F(QmpTest, SilenceAfterTheGreetingEndsAtTheDeadline) {
  const auto status = Execute([&] { Say(kGreeting); }, milliseconds(50));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kDeadlineExceeded);
}

TEST_F(QmpTest, ALateReplyIsNotTakenForTheNextCommands) {
  std::jthread peer([&] { Greet(); });
  ASSERT_FALSE(qmp_->Execute("stop", In(milliseconds(100))));
  peer.join();
  Say("{\"return\":{}}\r\n");  // of "stop", too late
  const auto next = qmp_->Execute("cont", In(seconds(1)));
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code(), Code::kUnavailable);
}

TEST_F(QmpTest, GarbageIsDataLoss) {
  const std::vector<std::string> lines = {
      "not json",
      "[]",
      "\"text\"",
      "{",
      "{\"return\":}",
      "7",
      "",
      "\x01\xff\xfe",
      "{\"a\":\"\xff\"}",
      std::string(200'000, '['),
      "{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}"};
  for (const std::string& line : lines) {
    SetUp();
    const auto status = Execute([&] {
      Greet();
      Hear();
      Say(line + "\r\n");
    });
    ASSERT_FALSE(status) << line.substr(0, 40);
    EXPECT_EQ(status.error().code(), Code::kDataLoss) << line.substr(0, 40);
  }
}

TEST_F(QmpTest, EndlessLineIsCutAtOneMebibyte) {
  std::size_t sent = 0;
  const auto status = Execute([&] {
    const std::string block(64 * 1024, 'x');
    while (Say(block)) sent += block.size();
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kDataLoss);
  EXPECT_LT(sent, 4u << 20);  // the rest is what the socket holds
}

TEST_F(QmpTest, EventsWithoutEndAreCut) {
  const auto status = Execute([&] {
    Greet();
    while (Say("{\"event\":\"RTC_CHANGE\"}\r\n")) {
    }
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kDataLoss);
}

TEST_F(QmpTest, SlowDripDoesNotStretchTheDeadline) {
  const auto start = steady_clock::now();
  const auto status = Execute(
      [&] {
        while (Say("x")) std::this_thread::sleep_for(milliseconds(2));
      },
      milliseconds(100));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kDeadlineExceeded);
  EXPECT_LT(steady_clock::now() - start, seconds(5));
}

TEST_F(QmpTest, ClosedPeerIsUnavailable) {
  peer_.Reset();
  const auto status = qmp_->Execute("quit", In(seconds(10)));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace nv::host::backend::qemu
