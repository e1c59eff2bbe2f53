#include "host/engine/commands/doctor.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "host/backend/probe.h"
#include "host/config/config.h"
#include "host/engine/doctor/image_facts.h"
#include "host/engine/doctor/kernel_facts.h"
#include "host/engine/doctor/report.h"
#include "host/engine/doctor/room_facts.h"
#include "host/storage/image_store.h"

namespace nv::host::engine {
namespace {

constexpr std::uint16_t kGrpcPort = 50051;
constexpr std::uint16_t kHttpPort = 9090;

struct Flags {
  bool json = false;
  std::string image;
};

// What `--accel auto` takes here, and why.
backend::ProbeRow ProbeAccelerator(const backend::KvmFacts& kvm) {
  backend::ProbeRow row;
  row.name = "accelerator";
  const auto choice = backend::ChooseAccelerator(backend::AcceleratorRequest::kAuto, kvm);
  if (!choice) {
    row.reason = choice.error().message();
    row.remedy = choice.error().remedy();
    return row;
  }
  row.reason = fmt::format("{}: {}", backend::AcceleratorName(choice->accelerator), choice->reason);
  if (choice->accelerator == backend::Accelerator::kKvm) {
    row.state = backend::ProbeRow::State::kOk;
    return row;
  }
  row.state = backend::ProbeRow::State::kDegraded;
  row.reason +=
      "; computing code runs 11 to 22 times slower, and QEMU's makers do not call TCG a "
      "security boundary";
  row.remedy = "a machine with usable KVM";
  return row;
}

std::vector<backend::ProbeRow> Examine(const Flags& flags) {
  const backend::KvmFacts kvm = backend::FindKvm();
  std::vector<backend::ProbeRow> rows;
  rows.push_back(backend::ProbeQemu());
  rows.push_back(backend::ProbeKvm(kvm));
  rows.push_back(ProbeAccelerator(kvm));
  rows.push_back(backend::ProbeVhostVsock());
  rows.push_back(ProbeVsockDevice(""));
  const auto paths = config::FindPaths();
  if (paths) {
    rows.push_back(ProbeImage(storage::ImageStore(paths->data + "/images"), flags.image));
    rows.push_back(ProbeDisk(paths->data));
  } else {
    rows.push_back({"image", backend::ProbeRow::State::kMissing, paths.error().message(),
                    paths.error().remedy()});
  }
  rows.push_back(ProbeMemory(""));
  rows.push_back(ProbeCgroups(""));
  rows.push_back(ProbeSecurityModules(""));
  rows.push_back(ProbeLandlock(LandlockAbi()));
  rows.push_back(ProbeUserNamespaces("", ::geteuid()));
  rows.push_back(ProbePrivileges(::geteuid()));
  rows.push_back(ProbePort("port-grpc", kGrpcPort, "--grpc"));
  rows.push_back(ProbePort("port-http", kHttpPort, "--http"));
  return rows;
}

Colours ColoursFor(int fd) {
  const char* terminal = std::getenv("TERM");
  const bool plain = std::getenv("NO_COLOR") != nullptr || terminal == nullptr ||
                     std::string_view(terminal) == "dumb";
  return ::isatty(fd) == 1 && !plain ? Colours::kOn : Colours::kOff;
}

}  // namespace

int DoctorCommand(std::span<const std::string> args) {
  Flags flags;
  CLI::App app("What this machine can do for NeuroVisor: each row ok, degraded or missing.",
               "neurovisor doctor");
  app.add_flag("--json", flags.json,
               "one JSON object: {ok, rows: [{name, state, reason, remedy}]}");
  app.add_option("--image", flags.image, "image to check (default: base when built, else mini)")
      ->type_name("NAME");
  app.footer(
      "\nExit status: 0 when `neurovisor run` can work, 1 when not.\n\nexamples:\n"
      "  neurovisor doctor\n  neurovisor doctor --json");
  std::vector<std::string> reversed(args.rbegin(), args.rend());  // what CLI11 wants
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "neurovisor doctor: %s; accepted: --json, --image NAME\n", error.what());
    return 2;
  }

  const std::vector<backend::ProbeRow> rows = Examine(flags);
  const std::string report =
      flags.json ? RenderJson(rows) : RenderTable(rows, ColoursFor(STDOUT_FILENO));
  std::fwrite(report.data(), 1, report.size(), stdout);
  return CanRun(rows) ? 0 : 1;
}

}  // namespace nv::host::engine
