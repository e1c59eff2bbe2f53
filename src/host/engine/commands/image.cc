#include "host/engine/commands/image.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/io.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "host/config/config.h"
#include "host/engine/commands/image_output.h"
#include "host/storage/image_builder.h"
#include "host/storage/image_store.h"

namespace nv::host::engine {
namespace {

using base::Code;
using base::Result;
using storage::BuildOptions;
using storage::BuildProgress;
using storage::ImageEntry;
using storage::ImageStore;
using storage::KernelFlavour;

constexpr int kFailure = 1;
constexpr int kUsage = 2;
constexpr int kInterrupted = 130;

struct Flags {
  std::string data_directory;
  std::string name;  // inspect, rm
  bool json = false;
  BuildOptions build;
};

void Print(const std::string& text) { static_cast<void>(base::WriteAll(STDOUT_FILENO, text)); }
void PrintError(const std::string& text) { static_cast<void>(base::WriteAll(STDERR_FILENO, text)); }

int ShowFailure(const base::Error& error) {
  PrintError(ErrorText(error));
  if (error.code() == Code::kCancelled) return kInterrupted;
  return error.code() == Code::kInvalidArgument ? kUsage : kFailure;
}

// Shows steps, each with the time it took: one line a step; on a terminal, below it, the tool's
// last line.
class Progress {
 public:
  explicit Progress(bool quiet) : quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1) {}

  void Show(const BuildProgress& progress) {
    if (quiet_) return;
    switch (progress.kind) {
      case BuildProgress::Kind::kStep:
        End();
        step_began_ = std::chrono::steady_clock::now();
        running_ = true;
        Say(fmt::format("[{}/{}] {}{}", progress.step, progress.steps, progress.text,
                        terminal_ ? "\n" : " ... "));
        break;
      case BuildProgress::Kind::kLine:
        if (terminal_) {
          Say("\r\033[K  " + base::EscapeForTerminal(progress.text, kLineCharacters));
        }
        break;
      case BuildProgress::Kind::kDone:
        End();
        break;
    }
  }
  // After a failure: the cursor goes to a line of its own.
  void Stop() {
    if (!quiet_ && running_) Say(terminal_ ? "\r\033[K" : "\n");
    running_ = false;
  }

 private:
  static constexpr std::size_t kLineCharacters = 74;

  void End() {
    if (!running_) return;
    running_ = false;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - step_began_;
    Say(fmt::format("{}{:.1f} s\n", terminal_ ? "\r\033[K      " : "", took.count()));
  }
  static void Say(const std::string& text) { PrintError(text); }

  bool quiet_;
  bool terminal_;
  bool running_ = false;
  std::chrono::steady_clock::time_point step_began_;
};

int Build(ImageStore& store, Flags& flags) {
  // Ctrl-C and SIGTERM become readable, so that the build stops its tools and cleans up. Children
  // start with an empty mask (ChildProcess).
  sigset_t stop;
  sigemptyset(&stop);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&stop, number);
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  const base::UniqueFd signals(::signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK));
  flags.build.cancel_fd = signals.get();

  const auto began = std::chrono::steady_clock::now();
  Progress progress(flags.json);
  const Result<storage::BuildResult> built = storage::BuildImage(
      store, flags.build, [&](const BuildProgress& event) { progress.Show(event); });
  progress.Stop();
  if (!built) return ShowFailure(built.error());
  const std::string& name = flags.build.name.empty() ? flags.build.recipe : flags.build.name;
  const Result<ImageEntry> entry = store.Find(name);
  if (!entry) return ShowFailure(entry.error());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  if (flags.json) {
    Print(BuildJson(*entry, *built, took.count()));
  } else {
    Print(fmt::format("image {} {} ({}, kernel {}) in {:.1f} s\n", name,
                      built->unchanged ? "is up to date" : "is ready", Mebibytes(entry->bytes),
                      entry->manifest.kernel.version, took.count()));
  }
  return 0;
}

int List(const ImageStore& store, const Flags& flags) {
  const Result<std::vector<ImageEntry>> entries = store.List();
  if (!entries) return ShowFailure(entries.error());
  if (flags.json) {
    Print(ListJson(*entries));
  } else if (entries->empty()) {
    Print("no images yet; 'neurovisor image build' makes one\n");
  } else {
    Print(ListTable(*entries));
  }
  return 0;
}

int Inspect(const ImageStore& store, const Flags& flags) {
  const Result<ImageEntry> entry = store.Find(flags.name);
  if (!entry) return ShowFailure(entry.error());
  Print(flags.json ? InspectJson(*entry) : InspectText(*entry));
  return 0;
}

int Remove(ImageStore& store, const Flags& flags) {
  if (const base::Status done = store.Remove(flags.name); !done) return ShowFailure(done.error());
  if (!flags.json) Print(fmt::format("removed {}\n", flags.name));
  return 0;
}

}  // namespace

int ImageCommand(std::span<const std::string> args) {
  Flags flags;
  CLI::App app("Builds, lists, inspects and removes the images that microVMs boot from.",
               "neurovisor image");
  app.require_subcommand(1);
  app.footer("Examples:\n  neurovisor image build\n  neurovisor image inspect mini --json");
  const auto common = [&](CLI::App* command, const char* examples) {
    command->add_option("--data-dir", flags.data_directory,
                        "where images are kept (NEUROVISOR_DATA_DIR)");
    command->add_flag("--json", flags.json, "print JSON");
    command->footer(examples);
  };
  CLI::App* build = app.add_subcommand("build", "make an image from Debian packages");
  build->add_option("recipe", flags.build.recipe, "mini")->capture_default_str();
  std::string flavour = "debian";
  build
      ->add_option("--kernel", flavour,
                   "debian: Debian's own (default); tuned: boots faster, compiled here in about "
                   "10 minutes")
      ->type_name("debian|tuned")
      ->check([](const std::string& value) {
        return value == "debian" || value == "tuned" ? std::string()
                                                     : "'" + value + "'; accepted: debian, tuned";
      });
  build->add_option("--name", flags.build.name, "name in the store (default: the recipe's)");
  build->add_flag("--force", flags.build.force, "build anew, with the newest packages");
  common(build,
         "Examples:\n  neurovisor image build mini\n"
         "  neurovisor image build mini --kernel tuned --name mini-tuned");
  CLI::App* list = app.add_subcommand("list", "show what is built");
  common(list, "Examples:\n  neurovisor image list\n  neurovisor image list --json");
  CLI::App* inspect = app.add_subcommand("inspect", "show packages, versions, sizes and digests");
  inspect->add_option("name", flags.name, "name or digest")->required();
  common(inspect,
         "Examples:\n  neurovisor image inspect mini\n  neurovisor image inspect mini --json");
  CLI::App* remove = app.add_subcommand("rm", "remove an image (running VMs keep it)");
  remove->add_option("name", flags.name, "name")->required();
  common(remove, "Examples:\n  neurovisor image rm mini\n  neurovisor image rm mini-tuned");

  try {
    app.parse(std::vector<std::string>(args.rbegin(), args.rend()));  // CLI11 wants them reversed
  } catch (const CLI::CallForHelp&) {
    Print(app.help());
    return 0;
  } catch (const CLI::ParseError& error) {
    PrintError(fmt::format("neurovisor image: {}\n", error.what()));
    return kUsage;
  }

  if (flavour == "tuned") flags.build.kernel = KernelFlavour::kTuned;
  Result<config::Paths> paths = config::FindPaths();
  if (!paths) return ShowFailure(paths.error());
  if (!flags.data_directory.empty()) paths->data = flags.data_directory;
  paths->data =
      std::filesystem::absolute(paths->data).string();  // recipes run in another directory
  flags.build.recipes_directory = paths->recipes;
  flags.build.agent_path = paths->libexec + "/guest_agent";
  flags.build.preinit_path = paths->libexec + "/guest_preinit";
  ImageStore store(paths->data + "/images");
  if (build->parsed()) return Build(store, flags);
  if (list->parsed()) return List(store, flags);
  if (inspect->parsed()) return Inspect(store, flags);
  return Remove(store, flags);
}

}  // namespace nv::host::engine
