#include "host/engine/commands/image_output.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace nv::host::engine {
namespace {

using storage::ImageEntry;
using storage::Manifest;
using Json = nlohmann::json;

constexpr std::size_t kMaxShown = 1000;  // characters of one text from a file

std::string Safe(const std::string& text) { return base::EscapeForTerminal(text, kMaxShown); }

std::string Languages(const Manifest& manifest) {
  std::string text;
  for (const Manifest::Language& language : manifest.languages) {
    if (!text.empty()) text += ", ";
    text += language.name + " " + language.version;
  }
  return Safe(text);
}

Json ToJsonObject(const ImageEntry& entry) {
  Json json = {{"name", entry.name}, {"digest", entry.digest}, {"bytes", entry.bytes}};
  if (!entry.problem.empty()) json["problem"] = entry.problem;
  if (!entry.manifest.files.empty()) json["manifest"] = Json::parse(ToJson(entry.manifest));
  return json;
}

std::string Dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string Mebibytes(std::uint64_t bytes) {
  constexpr double kMebibyte = 1024.0 * 1024.0;
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / kMebibyte);
}

std::string ListTable(const std::vector<ImageEntry>& entries) {
  std::string text = fmt::format("{:<12} {:>10}  {:<8} {:<27} {:<20}  {}\n", "NAME", "SIZE",
                                 "KERNEL", "VERSION", "CREATED", "LANGUAGES");
  for (const ImageEntry& entry : entries) {
    const Manifest& manifest = entry.manifest;
    text += fmt::format("{:<12} {:>10}  {:<8} {:<27} {:<20}  {}\n", entry.name,
                        Mebibytes(entry.bytes), Safe(manifest.kernel.flavour),
                        Safe(manifest.kernel.version), Safe(manifest.created), Languages(manifest));
    if (!entry.problem.empty()) text += fmt::format("    unusable: {}\n", Safe(entry.problem));
  }
  return text;
}

std::string ListJson(const std::vector<ImageEntry>& entries) {
  Json list = Json::array();
  for (const ImageEntry& entry : entries) list.push_back(ToJsonObject(entry));
  return Dump({{"images", std::move(list)}});
}

std::string InspectText(const ImageEntry& entry) {
  const Manifest& manifest = entry.manifest;
  std::string text;
  const auto row = [&text](std::string_view label, const std::string& value) {
    text += fmt::format("{:<10} {}\n", label, value);
  };
  row("image", entry.name);
  row("digest", entry.digest);
  row("recipe", Safe(manifest.name));
  row("created", Safe(manifest.created));
  row("inputs", Safe(manifest.inputs));
  row("release", Safe(fmt::format("{} {} ({})", manifest.release.id, manifest.release.version,
                                  manifest.release.codename)));
  row("kernel", Safe(fmt::format("{} {} ({})", manifest.kernel.flavour, manifest.kernel.version,
                                 manifest.kernel.package)));
  row("agent", Safe(fmt::format("{} protocol {} sha256 {}", manifest.agent.version,
                                manifest.agent.protocol, manifest.agent.sha256)));
  row("languages", Languages(manifest));
  text += "files\n";
  for (const storage::FileEntry& file : manifest.files) {
    text += fmt::format("  {:<14} {:>10}  sha256 {}\n", file.name, Mebibytes(file.size_bytes),
                        file.sha256);
  }
  text += fmt::format("packages   {}\n", manifest.packages.size());
  for (const Manifest::Package& package : manifest.packages) {
    text += fmt::format("  {} {}\n", Safe(package.name), Safe(package.version));
  }
  return text;
}

std::string InspectJson(const ImageEntry& entry) { return Dump(ToJsonObject(entry)); }

std::string BuildJson(const ImageEntry& entry, const storage::BuildResult& result, double seconds) {
  return Dump({{"name", entry.name},
               {"digest", result.digest},
               {"unchanged", result.unchanged},
               {"bytes", entry.bytes},
               {"seconds", seconds}});
}

std::string ErrorText(const base::Error& error) {
  std::string text = fmt::format("neurovisor image: {}\n", error.message());
  if (!error.details().empty()) text += error.details() + "\n";
  if (!error.remedy().empty()) text += fmt::format("remedy: {}\n", error.remedy());
  return text;
}

}  // namespace nv::host::engine
