// A neurovisor-engine for tests of the client: no VM, a script as "code" (client/fake_sandboxes.h).
//
// NEUROVISOR_FAKE=silent never answers, =garbage writes nonsense, =linger outlives its client,
// =exit ends at once with a word on stderr. Sub-commands other than private-run print their
// arguments.

#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/io.h"
#include "base/unique_fd.h"
#include "host/client/fake_sandboxes.h"

namespace {

constexpr int kClient = 3;
constexpr int kHandOverStatus = 23;
constexpr int kExitStatus = 9;

void WaitForEndOfClient(int fd) {
  pollfd watched{.fd = fd, .events = POLLRDHUP, .revents = 0};
  while (::poll(&watched, 1, -1) < 0) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || std::string_view(argv[1]) != "private-run") {
    for (int i = 1; i < argc; ++i) std::printf("[%s]", argv[i]);
    std::printf("\n");
    return kHandOverStatus;
  }
  const char* mode_text = std::getenv("NEUROVISOR_FAKE");
  const std::string_view mode = mode_text == nullptr ? "" : mode_text;
  nv::base::UniqueFd client(kClient);
  if (mode == "exit") {
    std::fputs("first word\nno such \x1b[31mcolour\n", stderr);
    return kExitStatus;
  }
  if (mode == "garbage" && !nv::base::WriteAll(kClient, std::string(70'000, 'G'))) return 1;
  if (mode == "garbage" || mode == "silent") {
    WaitForEndOfClient(kClient);
    return 0;
  }
  const nv::base::UniqueFd watched(::dup(kClient));
  const auto server = nv::host::client::FakeSandboxes::Start(std::move(client));
  WaitForEndOfClient(watched.get());
  while (mode == "linger") ::pause();
  return 0;
}
