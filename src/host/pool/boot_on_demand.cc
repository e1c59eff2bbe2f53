#include "host/pool/boot_on_demand.h"

#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace nv::host::pool {
namespace {

// An image from before languages were listed, or with an empty list, is asked when it runs.
base::Status HasLanguage(const storage::Manifest& manifest, const std::string& language) {
  if (language.empty() || manifest.languages.empty()) return {};
  std::vector<std::string> names;
  for (const auto& entry : manifest.languages) {
    if (entry.name == language) return {};
    names.push_back(entry.name);
  }
  return base::Fail(base::Error(base::Code::kFailedPrecondition,
                                fmt::format("image '{}' has no {}; it has {}", manifest.name,
                                            language, fmt::join(names, ", ")))
                        .WithRemedy("build the image that has all languages: "
                                    "neurovisor image build base"));
}

}  // namespace

base::Result<Lease> BootOnDemand::Acquire(const LeaseRequest& request, const StageHandler& on_stage,
                                          std::stop_token stop) {
  on_stage("open the image");
  auto image = images_.Open(request.image);
  if (!image) return base::Fail(std::move(image).error());
  const storage::Manifest& manifest = image->manifest;
  if (auto status = HasLanguage(manifest, request.language); !status) {
    return base::Fail(std::move(status).error());
  }
  if (stop.stop_requested()) return base::Fail(base::Code::kCancelled, "boot: cancelled");

  on_stage(fmt::format("boot a microVM ({}, {}, {} kernel)", backend(), accelerator(),
                       manifest.kernel.flavour));
  std::string kernel_arguments = manifest.kernel.arguments;
  // Calibrating the APIC timer costs an emulated guest 0.2 s; without it an idle guest costs five
  // times the CPU, which only a guest that is never kept may do.
  // Our own kernel only: Debian's does not come up without it.
  if (request.cold && manifest.kernel.flavour == "tuned" &&
      backend_.accelerator() == backend::Accelerator::kTcg) {
    kernel_arguments += " noapictimer";
  }
  const backend::GuestSpec spec{
      .id = base::NewVmId(clock_),
      .assets = {.kernel = image->kernel.get(),
                 .initrd = image->initrd.valid() ? image->initrd.get() : -1,
                 .rootfs = image->rootfs.get(),
                 .kernel_needs_acpi = manifest.kernel.needs_acpi,
                 .kernel_arguments = std::move(kernel_arguments)},
      .vcpus = request.vcpus,
      .memory_bytes = request.memory_bytes,
  };
  return VmMaker(backend_, clock_).Boot(spec, request.trace, boot_timeout_, std::move(stop));
}

}  // namespace nv::host::pool
