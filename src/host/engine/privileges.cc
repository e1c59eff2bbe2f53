#include "host/engine/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

namespace nv::host::engine {
namespace {

struct Owner {
  uid_t uid = kUnownedUid;
  gid_t gid = kUnownedUid;
};

Owner EngineOwner() {
  const passwd* entry = ::getpwnam("neurovisor");
  if (entry == nullptr || entry->pw_uid == 0) return {};
  return {.uid = entry->pw_uid, .gid = entry->pw_gid};
}

// setresuid away from 0 clears the permitted and effective sets; the bounding set has to be emptied
// by hand while CAP_SETPCAP is still there. EINVAL: past the kernel's last capability.
base::Status EmptyBoundingSet() {
  for (unsigned long capability = 0; capability < 64; ++capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
      if (errno == EINVAL) break;
      return base::FailErrno(fmt::format("drop capability {} from the bounding set", capability));
    }
  }
  return {};
}

base::Status CheckNoWayBack() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return base::FailErrno("read own capabilities");
  for (const auto& half : data) {
    if (half.effective != 0 || half.permitted != 0 || half.inheritable != 0) {
      return base::Fail(base::Code::kInternal, "capabilities are left after the drop");
    }
  }
  if (::setuid(0) == 0) return base::Fail(base::Code::kInternal, "root could be taken back");
  return {};
}

}  // namespace

base::Status DropPrivileges() {
  if (::geteuid() == 0) {
    const Owner owner = EngineOwner();
    if (auto status = EmptyBoundingSet(); !status) return status;
    if (::setgroups(0, nullptr) != 0) return base::FailErrno("drop supplementary groups");
    if (::setresgid(owner.gid, owner.gid, owner.gid) != 0) {
      return base::FailErrno(fmt::format("become group {}", owner.gid));
    }
    if (::setresuid(owner.uid, owner.uid, owner.uid) != 0) {
      return base::FailErrno(fmt::format("become user {}", owner.uid));
    }
    if (auto status = CheckNoWayBack(); !status) return status;
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return base::FailErrno("set no-new-privs");
  return {};
}

}  // namespace nv::host::engine
