// guest_preinit: /init of the initramfs that goes with Debian's kernel, whose drivers are modules.
//
// Loads the modules of /modules.list (one path a line, in load order), waits for the disk, mounts
// it read-only and becomes the guest agent on it. PID 1, one thread, no C++ library: it is unpacked
// and started on every boot. Whatever fails ends in one line on the console and a reset, which ends
// the VMM (-no-reboot).

#include <errno.h>
#include <fcntl.h>
#include <linux/module.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "guest/boot/kernel_events.h"

namespace {

constexpr char kDisk[] = "/dev/vda";
constexpr char kRoot[] = "/root";
constexpr char kAgent[] = "/usr/lib/neurovisor/guest_agent";
constexpr long kDiskWaitMs = 15'000;
constexpr int kMaxModuleListBytes = 16 * 1024;

void Say(const char* what, const char* object, int error_number) {
  char line[400];
  const int length = error_number == 0
                         ? snprintf(line, sizeof(line), "guest_preinit: %s %s\n", what, object)
                         : snprintf(line, sizeof(line), "guest_preinit: %s %s: %s (errno %d)\n",
                                    what, object, strerror(error_number), error_number);
  if (length > 0 && write(STDERR_FILENO, line, static_cast<size_t>(length)) < 0) return;
}

[[noreturn]] void Die(const char* what, const char* object, int error_number) {
  Say(what, object, error_number);
  reboot(RB_AUTOBOOT);
  _exit(1);  // PID 1 ending is a panic, and panic=-1 a reset
}

long NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

bool EndsWith(const char* text, const char* end) {
  const size_t length = strlen(text);
  const size_t end_length = strlen(end);
  return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

// The boot goes on without a module: what it was needed for fails with its own line.
void LoadModule(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    Say("cannot open module", path, errno);
    return;
  }
  const bool compressed = EndsWith(path, ".xz") || EndsWith(path, ".zst") || EndsWith(path, ".gz");
  const int flags = compressed ? MODULE_INIT_COMPRESSED_FILE : 0;
  if (syscall(SYS_finit_module, fd, "", flags) != 0 && errno != EEXIST) {
    Say("cannot load module", path, errno);
  }
  close(fd);
  unlink(path);  // an initramfs is memory, and nobody loads it twice
}

void LoadModules(const char* list_path) {
  static char list[kMaxModuleListBytes];
  const int fd = open(list_path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    Say("no module list", list_path, errno);
    return;
  }
  size_t used = 0;
  for (;;) {
    const ssize_t got = read(fd, list + used, sizeof(list) - 1 - used);
    if (got <= 0) break;
    used += static_cast<size_t>(got);
  }
  close(fd);
  if (used == sizeof(list) - 1) Die("too long:", list_path, 0);
  char* rest = list;
  while (char* line = strsep(&rest, "\n")) {
    if (line[0] != '\0' && line[0] != '#') LoadModule(line);
  }
}

void WaitForDisk(nv::guest::boot::KernelEvents& events) {
  const long give_up = NowMs() + kDiskWaitMs;
  while (access(kDisk, F_OK) != 0) {
    const long left = give_up - NowMs();
    if (left <= 0) Die("no disk", kDisk, ENODEV);
    events.Wait(left < 50 ? static_cast<int>(left) : 50);
  }
}

void Mount(const char* source, const char* target, const char* type, unsigned long flags) {
  if (mount(source, target, type, flags, nullptr) != 0 && errno != EBUSY) {
    Die("cannot mount", target, errno);
  }
}

void OpenConsole() {
  const int console = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (console < 0) return;
  for (int fd = 0; fd <= 2; ++fd) {
    if (console != fd) dup2(console, fd);
  }
  if (console > 2) close(console);
}

}  // namespace

int main() {
  mkdir("/dev", 0755);
  mkdir(kRoot, 0755);
  Mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID);  // EBUSY: CONFIG_DEVTMPFS_MOUNT was quicker
  OpenConsole();

  nv::guest::boot::KernelEvents events;
  LoadModules("/modules.list");
  WaitForDisk(events);

  Mount(kDisk, kRoot, "erofs", MS_RDONLY | MS_NODEV | MS_NOATIME);
  Mount("/dev", "/root/dev", nullptr, MS_MOVE);
  if (chdir(kRoot) != 0) Die("cannot enter", kRoot, errno);
  Mount(".", "/", nullptr, MS_MOVE);
  if (chroot(".") != 0 || chdir("/") != 0) Die("cannot change root to", kDisk, errno);

  char agent[] = "/usr/lib/neurovisor/guest_agent";
  char* const argv[] = {agent, nullptr};
  char* const envp[] = {nullptr};
  execve(kAgent, argv, envp);
  Die("cannot start", kAgent, errno);
}
