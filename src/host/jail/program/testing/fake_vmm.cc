// fake_vmm: stands where QEMU stands in tests of the jail and of the QEMU backend.
//
// What it does comes from its first argument or, when that is a flag of QEMU, from its own name
// (tests start it through symbolic links):
//   facts    prints what it sees of itself to descriptor 1 and ends
//   pause    waits for ever               exit N     ends with status N
//   abort    kills itself with SIGABRT    complain   two lines on stderr, status 1
//   qmp-*    speaks on descriptor kQmpNumber as the name says (see the QEMU backend's tests)

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

extern char** environ;

namespace {

constexpr int kQmpNumber = 7;  // kQmpFd of the QEMU backend

void PrintDescriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  std::vector<int> fds;
  while (const dirent* entry = ::readdir(directory)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd != ::dirfd(directory)) fds.push_back(fd);
  }
  ::closedir(directory);
  std::ranges::sort(fds);
  std::printf("fds");
  for (const int fd : fds) std::printf(" %d", fd);
  std::printf("\n");
}

// The kernel's own words on credentials: Uid, Gid, Groups, Cap*, NoNewPrivs, SigBlk, SigIgn.
void PrintStatus() {
  std::FILE* file = std::fopen("/proc/self/status", "r");
  char line[512];
  while (file != nullptr && std::fgets(line, sizeof line, file) != nullptr)
    std::fputs(line, stdout);
  if (file != nullptr) std::fclose(file);
}

void PrintLimit(const char* name, __rlimit_resource_t resource) {
  rlimit limit{};
  ::getrlimit(resource, &limit);
  std::printf("limit_%s %llu %llu\n", name, static_cast<unsigned long long>(limit.rlim_cur),
              static_cast<unsigned long long>(limit.rlim_max));
}

int Facts(int argc, char** argv) {
  PrintDescriptors();
  int count = 0;
  while (environ[count] != nullptr) ++count;
  std::printf("environment %d\n", count);
  int signal = 0;
  ::prctl(PR_GET_PDEATHSIG, &signal);
  const mode_t mask = ::umask(0);
  char directory[256] = "";
  if (::getcwd(directory, sizeof directory) == nullptr) return 1;
  std::printf("pdeathsig %d\numask %o\ncwd %s\nsession_leader %d\ndumpable %d\n", signal, mask,
              directory, ::getsid(0) == ::getpid(), ::prctl(PR_GET_DUMPABLE));
  PrintLimit("core", RLIMIT_CORE);
  PrintLimit("nofile", RLIMIT_NOFILE);
  PrintLimit("fsize", RLIMIT_FSIZE);
  PrintLimit("as", RLIMIT_AS);
  PrintLimit("nproc", RLIMIT_NPROC);
  for (int i = 2; i < argc; ++i) std::printf("argument %s\n", argv[i]);
  PrintStatus();
  std::fflush(stdout);
  return 0;
}

[[noreturn]] void Pause() {
  for (;;) ::pause();
}

// False once the reader has gone.
bool Say(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(kQmpNumber, text.data(), text.size());
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

constexpr std::string_view kGreeting =
    R"({"QMP":{"version":{"qemu":{"major":7,"minor":2,"micro":0}},"capabilities":[]}})"
    "\r\n";

[[noreturn]] void Qmp(std::string_view how) {
  ::signal(SIGPIPE, SIG_IGN);  // only a kill ends those that speak without end
  const std::string block(64 * 1024, 'x');
  if (how == "qmp-garbage") {
    Say("\x01\x02 this is not JSON {{{\r\n");
  } else if (how == "qmp-endless-line") {
    while (Say(block)) {
    }
  } else if (how == "qmp-flood") {
    Say(kGreeting);
    std::string events;
    while (events.size() < 60'000) events += "{\"event\":\"RTC_CHANGE\",\"data\":{}}\r\n";
    while (Say(events)) {
    }
  } else if (how == "qmp-greets") {
    Say(kGreeting);
  }
  Pause();  // qmp-silence, and what comes after the others
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view name = argv[0];
  name.remove_prefix(std::min(name.size(), name.rfind('/') + 1));
  std::string_view how = argc > 1 && argv[1][0] != '-' ? argv[1] : name;
  if (how == "facts") return Facts(argc, argv);
  if (how == "exit") return argc > 2 ? std::atoi(argv[2]) : 0;
  if (how == "abort") ::raise(SIGABRT);
  if (how == "complain") {
    std::fputs("first complaint\nsecond \x1b[31mcomplaint\n", stderr);
    return 1;
  }
  if (how.starts_with("qmp-")) Qmp(how);
  Pause();
}
