// The jail as a process, driven through JailClient and through raw records, with fake_vmm as its
// program. What needs root is skipped without it.

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/child_process.h"
#include "base/io.h"
#include "base/pidfd.h"
#include "host/jail/protocol/jail_client.h"
#include "host/jail/protocol/records.h"

namespace nv::host::jail {
namespace {

using base::Code;
using base::Deadline;
using base::UniqueFd;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

Deadline In(seconds time) { return steady_clock::now() + time; }

std::size_t OpenDescriptors(const std::string& pid) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/" + pid + "/fd")) {
    ++count;
  }
  return count;
}

// The lock file of a uid; false also when the directory is closed to this user, as it must be.
bool LockExists(const std::string& uid) {
  std::error_code ignored;
  return std::filesystem::exists("/run/neurovisor/uids/" + uid, ignored);
}

class JailTest : public testing::Test {
 protected:
  void SetUp() override { Launch(NV_FAKE_VMM); }

  void Launch(const std::string& program) {
    client_.reset();
    jail_.reset();
    auto launched = jail::Launch({NV_JAIL, program});
    ASSERT_TRUE(launched) << launched.error().message();
    jail_ = std::make_unique<base::ChildProcess>(std::move(launched->process));
    auto client = JailClient::Connect(std::move(launched->socket));
    ASSERT_TRUE(client) << client.error().message();
    client_ = std::move(*client);
  }

  static StartOptions Options(std::vector<std::string> arguments) {
    StartOptions options;
    options.limits = {.open_files = 64, .address_space = 0, .file_size = 0, .processes = 32};
    options.arguments = std::move(arguments);
    return options;
  }

  base::Result<std::unique_ptr<JailedProcess>> Start(std::vector<std::string> arguments) {
    return client_->Start(Options(std::move(arguments)), In(seconds(10)));
  }

  // Runs `facts` and returns its lines, "key" -> "rest".
  std::map<std::string, std::string> Facts(std::vector<std::pair<int, int>> more_fds = {}) {
    auto pipe = base::MakePipe();
    StartOptions options = Options({"facts", "with space", "", "-x"});
    options.fds = std::move(more_fds);
    options.fds.emplace_back(pipe->second.get(), 1);
    auto process = client_->Start(options, In(seconds(10)));
    EXPECT_TRUE(process) << process.error().message();
    if (!process) return {};
    pipe->second.Reset();
    const auto text = base::ReadUntilEof(pipe->first.get(), 1 << 20);
    const auto exit = (*process)->WaitExit(In(seconds(10)));
    EXPECT_TRUE(exit && exit->ok());
    uid_ = (*process)->uid();
    std::map<std::string, std::string> facts;
    std::istringstream lines(*text);
    for (std::string line; std::getline(lines, line);) {
      const std::size_t end = line.find_first_of(" :");
      const std::size_t value = line.find_first_not_of(" :\t", end);
      facts[line.substr(0, end)] += value == std::string::npos ? "|" : line.substr(value) + "|";
    }
    return facts;
  }

  std::unique_ptr<base::ChildProcess> jail_;
  std::unique_ptr<JailClient> client_;
  std::uint32_t uid_ = 0;
};

TEST_F(JailTest, ProgramSeesExactlyWhatItWasGiven) {
  auto pair = base::MakeSocketPair(SOCK_STREAM);
  // Numbers that collide with the jail's own descriptors and with each other's sources.
  auto facts = Facts({{pair->first.get(), 3}, {pair->second.get(), 63}, {pair->first.get(), 4}});
  EXPECT_EQ(facts["fds"], "0 1 2 3 4 63|");
  EXPECT_EQ(facts["environment"], "0|");
  EXPECT_EQ(facts["argument"], "with space||-x|");
  EXPECT_EQ(facts["umask"], "77|");
  EXPECT_EQ(facts["cwd"], "/|");
  EXPECT_EQ(facts["session_leader"], "1|");
  EXPECT_EQ(facts["pdeathsig"], "9|");
  EXPECT_EQ(facts["NoNewPrivs"], "1|");
  EXPECT_EQ(facts["limit_core"], "0 0|");
  EXPECT_EQ(facts["limit_nofile"], "64 64|");
  EXPECT_EQ(facts["limit_fsize"], "0 0|");
  EXPECT_EQ(facts["SigBlk"], "0000000000000000|");
  EXPECT_EQ(facts["SigIgn"], "0000000000000000|");
}

TEST_F(JailTest, ProgramHasNoCapability) {
  auto facts = Facts();
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
    EXPECT_EQ(facts[set], "0000000000000000|") << set;
  }
  if (::geteuid() == 0) {
    EXPECT_EQ(facts["CapBnd"], "0000000000000000|");
  }
}

TEST_F(JailTest, RootGivesEachProgramAUidOfItsOwn) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  EXPECT_TRUE(client_->gives_own_uids());
  auto first = Start({"pause"});
  ASSERT_TRUE(first) << first.error().message();
  auto facts = Facts();
  const std::string uid = std::to_string(uid_);
  EXPECT_GE(uid_, 2000000u);
  EXPECT_LE(uid_, 2000999u);
  EXPECT_NE(uid_, (*first)->uid());
  EXPECT_EQ(facts["Uid"], uid + "\t" + uid + "\t" + uid + "\t" + uid + "|");
  EXPECT_EQ(facts["Gid"], uid + "\t" + uid + "\t" + uid + "\t" + uid + "|");
  EXPECT_THAT(facts["Groups"], testing::AnyOf("|", " |"));
  EXPECT_EQ(facts["limit_nproc"], "32 32|");
  // The claim is a file that only root can reach, and it goes with the program.
  const std::string lock = std::to_string((*first)->uid());
  EXPECT_TRUE(LockExists(lock));
  EXPECT_FALSE(LockExists(uid));
  (*first)->Kill();
  EXPECT_TRUE((*first)->WaitExit(In(seconds(10))));
  EXPECT_FALSE(LockExists(lock));
}

TEST_F(JailTest, WithoutRootTheUidStays) {
  if (::geteuid() == 0) GTEST_SKIP() << "runs as another user than root only";
  EXPECT_FALSE(client_->gives_own_uids());
  Facts();
  EXPECT_EQ(uid_, ::geteuid());
}

TEST_F(JailTest, ReportsEveryWayToEnd) {
  auto exits = Start({"exit", "7"});
  ASSERT_TRUE(exits);
  auto seven = (*exits)->WaitExit(In(seconds(10)));
  ASSERT_TRUE(seven);
  EXPECT_EQ(seven->exit_code, 7);
  EXPECT_EQ(seven->signal, 0);

  auto aborts = Start({"abort"});
  ASSERT_TRUE(aborts);
  auto aborted = (*aborts)->WaitExit(In(seconds(10)));
  ASSERT_TRUE(aborted);
  EXPECT_EQ(aborted->signal, SIGABRT);

  auto pauses = Start({"pause"});
  ASSERT_TRUE(pauses);
  EXPECT_FALSE((*pauses)->WaitExit(Deadline::min()));
  pollfd witness{(*pauses)->pidfd(), POLLIN, 0};
  EXPECT_EQ(::poll(&witness, 1, 0), 0);
  (*pauses)->Kill();
  (*pauses)->Kill();
  auto killed = (*pauses)->WaitExit(In(seconds(10)));
  ASSERT_TRUE(killed);
  EXPECT_EQ(killed->signal, SIGKILL);
  EXPECT_EQ(::poll(&witness, 1, 1000), 1);
}

TEST_F(JailTest, DroppingAHandleKillsItsProgram) {
  auto process = Start({"pause"});
  ASSERT_TRUE(process);
  UniqueFd witness(::fcntl((*process)->pidfd(), F_DUPFD_CLOEXEC, 0));
  process->reset();
  const auto ended = base::PollUntil(witness.get(), POLLIN, In(seconds(10)));
  EXPECT_TRUE(ended && *ended);
}

TEST_F(JailTest, KilledJailTakesItsProgramsWithIt) {
  std::vector<std::unique_ptr<JailedProcess>> running;
  for (int i = 0; i < 5; ++i) running.push_back(std::move(*Start({"pause"})));
  ASSERT_TRUE(jail_->Signal(SIGKILL));
  for (const auto& process : running) {
    const auto ended = base::PollUntil(process->pidfd(), POLLIN, In(seconds(1)));
    EXPECT_TRUE(ended && *ended) << "still running a second after the jail was killed";
    const auto exit = process->WaitExit(In(seconds(10)));
    ASSERT_TRUE(exit);
    EXPECT_EQ(exit->signal, SIGKILL);
  }
  const auto closed = base::PollUntil(client_->closed_fd(), POLLIN, In(seconds(10)));
  EXPECT_TRUE(closed && *closed);
  const auto late = Start({"pause"});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), Code::kUnavailable);
  // What the killed jail could not remove, the next one does.
  Launch(NV_FAKE_VMM);
  for (const auto& process : running) {
    EXPECT_FALSE(LockExists(std::to_string(process->uid())));
  }
}

TEST_F(JailTest, ClosedSocketEndsProgramsAndJail) {
  auto process = Start({"pause"});
  ASSERT_TRUE(process);
  client_.reset();
  const auto ended = base::PollUntil((*process)->pidfd(), POLLIN, In(seconds(1)));
  EXPECT_TRUE(ended && *ended);
  const auto exit = jail_->Wait(In(seconds(10)));
  ASSERT_TRUE(exit && *exit);
  EXPECT_TRUE((*exit)->ok());
  EXPECT_TRUE((*process)->WaitExit(In(seconds(10))));
}

TEST_F(JailTest, TerminatedJailEndsProgramsFirst) {
  auto process = Start({"pause"});
  ASSERT_TRUE(process);
  ASSERT_TRUE(jail_->Signal(SIGTERM));
  const auto exit = jail_->Wait(In(seconds(10)));
  ASSERT_TRUE(exit && *exit);
  EXPECT_TRUE((*exit)->ok());
  const auto ended = base::PollUntil((*process)->pidfd(), POLLIN, Deadline::min());
  EXPECT_TRUE(ended && *ended);
}

TEST_F(JailTest, MissingProgramIsRefusedByName) {
  Launch("/nonexistent/qemu");
  const auto process = Start({});
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().code(), Code::kNotFound);
  EXPECT_THAT(process.error().message(), HasSubstr("cannot open the program"));
  Launch("/etc/passwd");
  const auto text = Start({});
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code(), Code::kPermissionDenied) << text.error().message();
  EXPECT_THAT(text.error().message(), HasSubstr("cannot execute the program"));
}

TEST_F(JailTest, BoundsAreKeptByTheClientToo) {
  EXPECT_EQ(Start(std::vector<std::string>(kMaxArguments + 1, "x")).error().code(),
            Code::kInvalidArgument);
  EXPECT_EQ(Start({std::string(kMaxArgumentBytes, 'x')}).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(Start({std::string("a\0b", 3)}).error().code(), Code::kInvalidArgument);
}

TEST_F(JailTest, MissingVsockDeviceIsNotFound) {
  if (std::filesystem::exists("/dev/vhost-vsock")) GTEST_SKIP() << "this host has vhost-vsock";
  const auto vsock = client_->OpenVsock(In(seconds(10)));
  ASSERT_FALSE(vsock);
  EXPECT_EQ(vsock.error().code(), Code::kNotFound);
}

TEST_F(JailTest, ManyStartsLeakNoDescriptor) {
  (void)*Start({"exit", "0"});
  const std::string jail = std::to_string(jail_->pid());
  const std::size_t ours = OpenDescriptors("self");
  for (int i = 0; i < 200; ++i) {
    auto process = Start({"pause"});
    ASSERT_TRUE(process) << process.error().message();
    (*process)->Kill();
    ASSERT_TRUE((*process)->WaitExit(In(seconds(10))));
  }
  EXPECT_EQ(OpenDescriptors("self"), ours);
  EXPECT_LE(OpenDescriptors(jail), 8u);
}

// Raw records: what a taken-over engine could send.
class HostileEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    auto launched = jail::Launch({NV_JAIL, NV_FAKE_VMM});
    ASSERT_TRUE(launched);
    jail_ = std::make_unique<base::ChildProcess>(std::move(launched->process));
    socket_ = std::move(launched->socket);
    request_->version = kVersion;
    request_->type = RequestType::kStart;
    request_->id = 1;
    request_->program = ProgramKind::kQemu;
    request_->limits = {.open_files = 64, .address_space = 0, .file_size = 0, .processes = 32};
  }
  void TearDown() override { socket_.Reset(); }

  void Send(std::size_t bytes = sizeof(Request), std::span<const int> fds = {}) {
    ASSERT_TRUE(SendRecord(socket_.get(), std::as_bytes(std::span(request_.get(), 1)).first(bytes),
                           fds, In(seconds(10))));
  }
  Reply Receive() {
    Reply reply{};
    EXPECT_TRUE(*base::PollUntil(socket_.get(), POLLIN, In(seconds(10))));
    auto record = ReceiveRecord(socket_.get(), std::as_writable_bytes(std::span(&reply, 1)));
    EXPECT_TRUE(record && record->bytes == sizeof reply);
    return reply;
  }
  void ExpectAlive() {
    request_->type = RequestType::kHello;
    request_->version = kVersion;
    request_->id = 99;
    Send();
    const Reply reply = Receive();
    EXPECT_EQ(reply.type, ReplyType::kHelloReply);
    EXPECT_EQ(reply.id, 99u);
    EXPECT_EQ(reply.uid, ::geteuid());
  }

  std::unique_ptr<base::ChildProcess> jail_;
  UniqueFd socket_;
  std::unique_ptr<Request> request_ = std::make_unique<Request>();
};

TEST_F(HostileEngineTest, RecordsOfOtherSizesAreRefused) {
  for (std::size_t bytes : {std::size_t{1}, std::size_t{24}, sizeof(Request) - 1}) {
    Send(bytes);
    const Reply reply = Receive();
    EXPECT_EQ(reply.type, ReplyType::kRefused);
    EXPECT_STREQ(reply.stage, "record of another size");
  }
  std::vector<std::byte> large(sizeof(Request) + 1);
  ASSERT_TRUE(SendRecord(socket_.get(), large, {}, In(seconds(10))));
  EXPECT_EQ(Receive().type, ReplyType::kRefused);
  ExpectAlive();
}

TEST_F(HostileEngineTest, SurplusDescriptorsAreClosed) {
  const std::vector<int> fds(kMaxPassedFds, socket_.get());
  for (int i = 0; i < 20; ++i) {
    Send(sizeof(Request), fds);
    EXPECT_STREQ(Receive().stage, "descriptor count and descriptors do not match");
  }
  ExpectAlive();
  EXPECT_LE(OpenDescriptors(std::to_string(jail_->pid())), 8u);
}

TEST_F(HostileEngineTest, ASecondChildWithTheSameIdIsRefused) {
  std::strcpy(request_->arguments, "pause");
  request_->argument_count = 1;
  request_->argument_bytes = 6;
  Send();
  EXPECT_EQ(Receive().type, ReplyType::kStarted);
  Send();
  const Reply reply = Receive();
  EXPECT_EQ(reply.type, ReplyType::kRefused);
  EXPECT_STREQ(reply.stage, "a child with this id runs");
  request_->type = RequestType::kKill;
  request_->id = 12345;  // nobody
  Send();
  request_->id = 1;
  Send();
  const Reply exit = Receive();
  EXPECT_EQ(exit.type, ReplyType::kExited);
  EXPECT_EQ(exit.signal, SIGKILL);
  ExpectAlive();
}

TEST_F(HostileEngineTest, AnEngineThatNeverReadsCannotGrowTheJail) {
  request_->type = RequestType::kHello;
  // Until the jail stops reading because its answers are not taken, and our own side is full.
  int sent = 0;
  while (SendRecord(socket_.get(), std::as_bytes(std::span(request_.get(), 1)), {},
                    steady_clock::now() + std::chrono::milliseconds(200))) {
    ASSERT_LT(++sent, 100'000);
  }
  for (int i = 0; i < sent; ++i) EXPECT_EQ(Receive().type, ReplyType::kHelloReply);
  ExpectAlive();
}

TEST_F(HostileEngineTest, AnswersToAnEngineThatLeftDoNotHangTheJail) {
  std::strcpy(request_->arguments, "pause");
  request_->argument_count = 1;
  request_->argument_bytes = 6;
  for (std::uint64_t id = 1; id <= 5; ++id) {
    request_->id = id;
    Send();
  }
  socket_.Reset();
  const auto exit = jail_->Wait(In(seconds(10)));
  ASSERT_TRUE(exit && *exit);
  EXPECT_TRUE((*exit)->ok());
}

TEST(JailProgram, RefusesBadCommandLines) {
  const std::vector<std::vector<std::string>> bad = {
      {},
      {"--socket-fd"},
      {"--socket-fd", "0"},
      {"--socket-fd", "x"},
      {"--socket-fd", "17"},
      {"--socket-fd", "99999999999999999999"},
      {"--qemu", "relative", "--socket-fd", "3"},
      {"--other", "1"},
  };
  for (const auto& arguments : bad) {
    base::SpawnOptions spawn;
    spawn.argv = {NV_JAIL};
    spawn.argv.insert(spawn.argv.end(), arguments.begin(), arguments.end());
    const auto status = base::RunCommand(
        spawn, [](std::string_view) {}, In(seconds(10)));
    ASSERT_TRUE(status);
    EXPECT_EQ(status->exit_code, 2);
  }
}

}  // namespace
}  // namespace nv::host::jail
