#include "guest/boot/bring_up.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <thread>

#include <net/if.h>

#include "base/io.h"

namespace nv::guest::boot {
namespace {

constexpr char kStaging[] = "/tmp";  // a mount point of the image; hidden only until the pivot
constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV;
constexpr unsigned long kInert = MS_NOSUID | MS_NODEV | MS_NOEXEC;

struct KernelMount {
  const char* type;
  const char* target;
  unsigned long flags;
  const char* options;
  bool required;
};
// Programs get their own /proc, /tmp and /dev/shm over these (runner/cell_view).
constexpr KernelMount kMounts[] = {
    {"proc", "/proc", kInert, nullptr, true},
    {"sysfs", "/sys", kInert, nullptr, true},
    {"devtmpfs", "/dev", MS_NOSUID, "mode=0755", true},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666", false},
    {"tmpfs", "/dev/shm", kPlain, "mode=1777,size=50%", false},
    {"tmpfs", "/run", kPlain, "mode=0755,size=10%", true},
    {"tmpfs", "/tmp", kPlain, "mode=1777,size=50%", true},
    {"cgroup2", "/sys/fs/cgroup", kInert, nullptr, false},
};

void Warn(const base::Error& error) {
  std::fprintf(stderr, "guest_agent: %s\n", error.message().c_str());
}

void WriteFile(const char* path, std::string_view text) {
  const auto file = base::OpenFile(path, O_WRONLY);
  if (!file) return Warn(file.error());
  if (const auto ok = base::WriteAll(file->get(), text); !ok) Warn(ok.error());
}

void OpenStandardDescriptors() {
  const auto null = base::OpenFile("/dev/null", O_RDWR);
  const auto console = base::OpenFile("/dev/console", O_WRONLY | O_NOCTTY);
  if (null) dup2(null->get(), STDIN_FILENO);
  const int output = console ? console->get() : (null ? null->get() : -1);
  if (output < 0) return;
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) dup2(output, fd);
}

void SetLimits() {
  const rlimit descriptors{.rlim_cur = 65'536, .rlim_max = 65'536};
  setrlimit(RLIMIT_NOFILE, &descriptors);
  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &none);
  // Nothing that a program does may make the kernel choose the agent.
  WriteFile("/proc/self/oom_score_adj", "-1000");
}

}  // namespace

base::Status EnterWritableRoot() {
  const auto failed = [](const char* what) {
    return base::FailErrno(std::string("root: ") + what);
  };
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return failed("private");
  if (mount("tmpfs", kStaging, "tmpfs", MS_NOSUID, "mode=0755,size=50%") != 0) {
    return failed("tmpfs");
  }
  for (const char* directory : {"/tmp/upper", "/tmp/work", "/tmp/root"}) {
    if (mkdir(directory, 0755) != 0) return failed(directory);
  }
  // volatile: no syncs; nothing here outlives the machine (Linux 5.10).
  constexpr char kLayers[] = "lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work";
  const std::string with_volatile = std::string(kLayers) + ",volatile";
  if (mount("overlay", "/tmp/root", "overlay", MS_NOATIME, with_volatile.c_str()) != 0 &&
      mount("overlay", "/tmp/root", "overlay", MS_NOATIME, kLayers) != 0) {
    return failed("overlay");
  }
  // The old root ends up on top of the new one and is then let go (pivot_root(2), "." ".").
  if (chdir("/tmp/root") != 0 || syscall(SYS_pivot_root, ".", ".") != 0)
    return failed("pivot_root");
  if (umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) return failed("detach the disk");
  return {};
}

base::Status MountKernelFileSystems() {
  for (const KernelMount& entry : kMounts) {
    // /dev/pts and /dev/shm are inside a devtmpfs that starts without them.
    mkdir(entry.target, 0755);
    if (mount(entry.type, entry.target, entry.type, entry.flags, entry.options) == 0) continue;
    auto failure = base::FailErrno(std::string("mount ") + entry.target);
    if (entry.required) return failure;
    Warn(failure.error());
  }
  constexpr const char* kLinks[][2] = {{"/proc/self/fd", "/dev/fd"},
                                       {"/proc/self/fd/0", "/dev/stdin"},
                                       {"/proc/self/fd/1", "/dev/stdout"},
                                       {"/proc/self/fd/2", "/dev/stderr"}};
  for (const auto& link : kLinks) {
    if (symlink(link[0], link[1]) != 0 && errno != EEXIST)
      Warn(base::Error::FromErrno(errno, link[1]));
  }
  return {};
}

base::Status RaiseLoopback() {
  const base::UniqueFd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket_fd.valid()) return base::FailErrno("loopback");
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(socket_fd.get(), SIOCSIFFLAGS, &request) != 0) return base::FailErrno("loopback up");
  return {};
}

base::Status BringUp() {
  umask(022);
  if (auto ok = EnterWritableRoot(); !ok) return ok;
  if (auto ok = MountKernelFileSystems(); !ok) return ok;
  OpenStandardDescriptors();
  SetLimits();
  if (const auto ok = RaiseLoopback(); !ok) Warn(ok.error());
  constexpr std::string_view kHostname = "sandbox";
  if (sethostname(kHostname.data(), kHostname.size()) != 0) {
    Warn(base::Error::FromErrno(errno, "sethostname"));
  }
  return {};
}

void ResetMachine() {
  reboot(RB_AUTOBOOT);
  _exit(1);  // a container has no power switch; for a real PID 1 this is a panic, and a reset
}

void ReapChildrenForEver(int vital_pid, void (*on_vital_end)()) {
  std::thread([vital_pid, on_vital_end] {
    for (;;) {
      int status = 0;
      const pid_t pid = waitpid(-1, &status, 0);
      if (pid == vital_pid || (pid < 0 && errno == ECHILD)) return on_vital_end();
    }
  }).detach();
}

}  // namespace nv::guest::boot
