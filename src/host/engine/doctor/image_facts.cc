#include "host/engine/doctor/image_facts.h"

#include <fmt/format.h>

#include "base/result.h"

namespace nv::host::engine {

backend::ProbeRow ProbeImage(const storage::ImageStore& store, const std::string& name) {
  backend::ProbeRow row;
  row.name = "image";
  const base::Result<storage::OpenImage> image = store.Open(name);
  if (!image) {
    row.reason = image.error().message();
    row.remedy = image.error().remedy();
    return row;
  }
  const storage::Manifest& manifest = image->manifest;
  std::string languages;
  for (const storage::Manifest::Language& language : manifest.languages) {
    languages += fmt::format(", {} {}", language.name, language.version);
  }
  row.state = backend::ProbeRow::State::kOk;
  row.reason = fmt::format("{}: verified, agent {}, kernel {}{}", manifest.name,
                           manifest.agent.version, manifest.kernel.version, languages);
  return row;
}

}  // namespace nv::host::engine
