#include "host/engine/commands/bench.h"

#include <unistd.h>

#include <cstdio>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/io.h"
#include "host/config/config.h"
#include "host/engine/bench/boot_bench.h"
#include "host/engine/bench/statistics.h"
#include "host/engine/graph.h"
#include "host/pool/boot_on_demand.h"

namespace nv::host::engine {
namespace {

constexpr std::chrono::seconds kBootTimeout{120};  // a bench of a slow machine is a bench too

struct Flags {
  int boots = 10;
  std::vector<std::string> images;
  std::string size = "small";
  std::string accelerator;
  bool json = false;
};

struct Series {
  storage::ImageEntry image;
  std::vector<BootSample> samples;
};

// The figures' surroundings, without which they say nothing.
struct Machine {
  std::string accelerator, qemu, cpu, load_before, load_after;
  long cores = 0;
};

int Failed(const base::Error& error) {
  std::fprintf(stderr, "neurovisor bench: %s\n", error.message().c_str());
  if (!error.details().empty()) std::fprintf(stderr, "%s\n", error.details().c_str());
  if (!error.remedy().empty()) std::fprintf(stderr, "  try: %s\n", error.remedy().c_str());
  return error.code() == base::Code::kInvalidArgument ? 2 : 1;
}

std::string CpuModel() {
  const std::string text = base::ReadFile("/proc/cpuinfo", 1 << 20).value_or("");
  const std::size_t line = text.find("model name");
  if (line == std::string::npos) return "unknown";
  const std::size_t start = text.find(": ", line);
  return text.substr(start + 2, text.find('\n', start) - start - 2);
}

std::string LoadAverage() {
  const std::string text = base::ReadFile("/proc/loadavg", 256).value_or("?");
  return text.substr(0, text.find(' '));
}

std::vector<double> Column(const Series& series, std::size_t event) {
  std::vector<double> values;
  for (const BootSample& sample : series.samples) values.push_back(sample.ms[event]);
  return values;
}

// Between the guest's ready-made answer and the program's end, less what the guest says the program
// took: channel, relays and the guest's own work around the program.
std::vector<double> AroundTheRun(const Series& series) {
  std::vector<double> values;
  for (const BootSample& sample : series.samples) {
    values.push_back(sample.ms[static_cast<std::size_t>(BootEvent::kExit)] -
                     sample.ms[static_cast<std::size_t>(BootEvent::kLeased)] - sample.guest_run_ms);
  }
  return values;
}

void PrintRow(std::string_view title, const Summary& summary) {
  fmt::print("  {:<22}{:>9.1f}{:>9.1f}{:>9.1f}{:>9.1f}\n", title, summary.p50, summary.p95,
             summary.min, summary.max);
}

void PrintText(const std::vector<Series>& all, const Machine& machine, const Flags& flags) {
  fmt::print(
      "accelerator  {}\nQEMU         {}\nCPU          {}, {} cores\n"
      "load         {} before, {} after\n"
      "boots        {} an image, in turn; size {}; milliseconds since the request\n",
      machine.accelerator, machine.qemu, machine.cpu, machine.cores, machine.load_before,
      machine.load_after, flags.boots, flags.size);
  for (const Series& series : all) {
    const auto& kernel = series.image.manifest.kernel;
    fmt::print("\n{}: {} kernel {}, N = {}\n  {:<22}{:>9}{:>9}{:>9}{:>9}\n", series.image.name,
               kernel.flavour, kernel.version, series.samples.size(), "", "p50", "p95", "min",
               "max");
    for (std::size_t event = 0; event < kBootEvents; ++event) {
      PrintRow(EventTitle(static_cast<BootEvent>(event)), Summarize(Column(series, event)));
    }
    PrintRow("around the program", Summarize(AroundTheRun(series)));
  }
  fmt::print(
      "\nThe host's own share is \"VMM started\" (image, jail, start); the client adds its "
      "start to it.\n");
}

nlohmann::json ToJson(const Summary& summary) {
  return {{"n", summary.count},
          {"p50", summary.p50},
          {"p95", summary.p95},
          {"min", summary.min},
          {"max", summary.max}};
}

void PrintJson(const std::vector<Series>& all, const Machine& machine, const Flags& flags) {
  nlohmann::json out = {{"accelerator", machine.accelerator},
                        {"qemu", machine.qemu},
                        {"cpu", machine.cpu},
                        {"cores", machine.cores},
                        {"load_before", machine.load_before},
                        {"load_after", machine.load_after},
                        {"size", flags.size},
                        {"images", nlohmann::json::array()}};
  for (const Series& series : all) {
    nlohmann::json row = {{"image", series.image.name},
                          {"digest", series.image.digest},
                          {"kernel", series.image.manifest.kernel.version},
                          {"kernel_flavour", series.image.manifest.kernel.flavour}};
    for (std::size_t event = 0; event < kBootEvents; ++event) {
      row["ms"][std::string(EventKey(static_cast<BootEvent>(event)))] =
          ToJson(Summarize(Column(series, event)));
    }
    row["ms"]["around_the_program"] = ToJson(Summarize(AroundTheRun(series)));
    out["images"].push_back(std::move(row));
  }
  fmt::print("{}\n", out.dump(2));
}

// No image named: the default one, and its twin with the tuned kernel when that is built.
std::vector<std::string> ImagesToBoot(const Flags& flags, const storage::ImageStore& store) {
  if (!flags.images.empty()) return flags.images;
  const std::string usual = store.Find("base") ? "base" : "mini";
  std::vector<std::string> names{usual};
  if (store.Find(usual + "-tuned")) names.push_back(usual + "-tuned");
  return names;
}

int BenchBoot(const Flags& flags) {
  const auto size = config::ParseSize(flags.size);
  if (!size) return Failed(base::Error(size.error()).WithContext("--size"));
  auto graph = BuildGraph(flags.accelerator, "");
  if (!graph) return Failed(graph.error());
  backend::Backend& backend = *(*graph)->backend;
  std::vector<Series> all;
  for (const std::string& name : ImagesToBoot(flags, *(*graph)->images)) {
    auto entry = (*graph)->images->Find(name);
    if (!entry) return Failed(entry.error());
    all.push_back({.image = *std::move(entry), .samples = {}});
  }

  Machine machine{.accelerator = fmt::format(
                      "{} ({})", backend::AcceleratorName(backend.accelerator()), backend.reason()),
                  .qemu = backend.version(),
                  .cpu = CpuModel(),
                  .load_before = LoadAverage(),
                  .load_after = {},
                  .cores = ::sysconf(_SC_NPROCESSORS_ONLN)};
  pool::BootOnDemand source(*(*graph)->images, backend, (*graph)->clock, kBootTimeout);
  for (int round = 0; round < flags.boots; ++round) {
    for (Series& series : all) {
      if (::isatty(STDERR_FILENO) != 0) {
        fmt::print(stderr, "\rboot {} of {}: {}   ", round + 1, flags.boots, series.image.name);
      }
      auto sample = MeasureBoot(source, (*graph)->clock, series.image.name, *size);
      if (!sample) return Failed(base::Error(sample.error()).WithContext(series.image.name));
      series.samples.push_back(*sample);
    }
  }
  if (::isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r{:60}\r", "");
  machine.load_after = LoadAverage();
  if (flags.json) {
    PrintJson(all, machine, flags);
  } else {
    PrintText(all, machine, flags);
  }
  return 0;
}

}  // namespace

int BenchCommand(std::span<const std::string> args) {
  Flags flags;
  CLI::App app("Measures this machine. Prints figures, judges nothing.", "neurovisor bench");
  app.require_subcommand(1);
  app.footer(
      "Examples:\n  neurovisor bench boot\n"
      "  neurovisor bench boot --n 20 --image mini --image mini-tuned --json");
  CLI::App* boot = app.add_subcommand("boot", "boot microVMs and run print(1) in each");
  boot->add_option("--n,-n", flags.boots, "boots of each image (10)")->check(CLI::Range(1, 1000));
  boot->add_option("--image", flags.images, "an image; repeat for several (all kernels built)");
  boot->add_option("--size", flags.size, "small, medium, large (small)");
  boot->add_option("--accel", flags.accelerator, "auto, kvm, tcg (auto)");
  boot->add_flag("--json", flags.json, "one object");
  boot->footer(
      "Examples:\n  neurovisor bench boot --n 10 --size small\n"
      "  neurovisor bench boot --image mini --image mini-tuned --json");
  try {
    app.parse(std::vector<std::string>(args.rbegin(), args.rend()));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return BenchBoot(flags);
}

}  // namespace nv::host::engine
