// A VMM that misbehaves, in place of QEMU (test_vmm_faults.py). The jail gives it no environment
// and no file, so what it does is the last word of its own file name:
//
//   fake-qemu-dies      writes to stderr and exits at once
//   fake-qemu-silent    prints console lines with terminal escapes and never answers
//   fake-qemu-garbage   the same, and sends random bytes over the agent's channel for ever
//   fake-qemu-frames    the same with 0xff: types, stream numbers and lengths at their largest
//   fake-qemu-stopped   becomes the real QEMU with its CPUs stopped
//
// It answers QMP's greeting and commands like QEMU, and --version. It drives the door from outside,
// so it shares no code with it.

#include <sys/random.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr char kRealQemu[] = "/usr/bin/qemu-system-x86_64";

std::string Mode() {
  char path[PATH_MAX];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  const std::string_view name(path, size > 0 ? static_cast<std::size_t>(size) : 0);
  return std::string(name.substr(name.rfind('-') + 1));
}

// The descriptor of "-chardev socket,id=NAME,fd=N", or -1.
int ChardevFd(int argc, char** argv, std::string_view name) {
  const std::string wanted = "socket,id=" + std::string(name) + ",fd=";
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with(wanted)) return std::atoi(argv[i] + wanted.size());
  }
  return -1;
}

void Send(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::write(fd, text.data(), text.size());
    if (sent <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

// One answer a request line; a client's id is sent back.
void SpeakQmp(int fd) {
  Send(
      fd,
      R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}})"
      "\r\n");
  FILE* in = ::fdopen(::dup(fd), "r");
  char line[4096];
  while (in != nullptr && std::fgets(line, sizeof line, in) != nullptr) {
    if (std::strstr(line, "\"quit\"") != nullptr) std::_Exit(0);
    std::string id;
    if (const char* at = std::strstr(line, "\"id\":"); at != nullptr) {
      id = ", " + std::string(at, std::strcspn(at, ",}"));
    }
    Send(fd, "{\"return\": {}" + id + "}\r\n");
  }
}

void PrintConsole(int fd) {
  for (int number = 0; number < 40; ++number) {
    Send(fd, "console line " + std::to_string(number) + " \x1b[31mred\x07\r\n");
  }
}

void SendForEver(int fd, const std::string& chunk) {
  while (::write(fd, chunk.data(), chunk.size()) > 0) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "--version") {
    std::puts("QEMU emulator version 7.2.22 (fake)");
    return 0;
  }
  const std::string mode = Mode();
  if (mode == "dies") {
    std::fputs("fake-qemu: cannot set up guest memory\n", stderr);
    return 1;
  }
  if (mode == "stopped") {
    std::vector<char*> arguments(argv, argv + argc);
    char stop[] = "-S";
    arguments.insert(arguments.end(), {stop, nullptr});
    ::execv(kRealQemu, arguments.data());
    return 1;
  }
  std::string chunk(1 << 16, '\xff');
  if (mode == "garbage" && ::getrandom(chunk.data(), chunk.size(), 0) < 0) return 1;

  std::jthread qmp(SpeakQmp, ChardevFd(argc, argv, "qmp"));
  std::jthread console(PrintConsole, ChardevFd(argc, argv, "console"));
  if (mode != "silent") SendForEver(ChardevFd(argc, argv, "channel"), chunk);
  ::pause();
  return 0;
}
