#include "host/storage/build_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/io.h"
#include "base/text.h"

namespace nv::host::storage {

using base::Code;
using base::Error;
using base::Fail;
using base::FailErrno;
using base::Result;

Result<BuildLock> BuildLock::Take(const std::string& images) {
  const std::string path = images + "/lock";
  Result<base::UniqueFd> fd = base::OpenFile(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0644);
  if (!fd) return Fail(std::move(fd.error()));
  if (::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return FailErrno(fmt::format("cannot lock '{}'", path));
    const Result<std::string> text = base::ReadFile(path, 64);
    std::string holder = "?";
    if (text && !text->empty() && text->back() == '\n') {
      const std::string_view digits = std::string_view(*text).substr(0, text->size() - 1);
      if (base::ParseUint(digits)) holder = digits;
    }
    return Fail(Error(Code::kAlreadyExists,
                      fmt::format("another image build holds '{}' (process {})", path, holder))
                    .WithRemedy("wait until it has ended, or end it"));
  }
  // A pid that cannot be written (full disk) costs only the message of the next builder.
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd->get(), 0) == 0) static_cast<void>(base::WriteAll(fd->get(), pid));
  return BuildLock(*std::move(fd));
}

}  // namespace nv::host::storage
