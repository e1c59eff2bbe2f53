#include "host/storage/manifest.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace nv::host::storage {
namespace {

using base::Code;
using base::Fail;
using base::Result;
using base::Status;
using Json = nlohmann::json;  // objects sorted by key: the canonical order

constexpr std::size_t kMaxFiles = 16;

// Reads fields of one JSON object; the first wrong one is kept as the error and the rest are empty.
class Fields {
 public:
  Fields(const Json& object, std::string path, Status& status)
      : object_(object), path_(std::move(path)), status_(status) {
    if (!object_.is_object()) Wrong("", "is not an object");
  }

  std::string Text(const char* key) {
    const Json* value = Get(key);
    if (value == nullptr) return {};
    if (!value->is_string()) return Wrong(key, "is not a string"), std::string();
    return value->get<std::string>();
  }
  std::uint64_t Number(const char* key) {
    const Json* value = Get(key);
    if (value == nullptr) return 0;
    if (!value->is_number_unsigned()) return Wrong(key, "is not a whole number"), 0;
    return value->get<std::uint64_t>();
  }
  bool Bool(const char* key) {
    const Json* value = Get(key);
    if (value == nullptr) return false;
    if (!value->is_boolean()) return Wrong(key, "is not true or false"), false;
    return value->get<bool>();
  }
  Fields Object(const char* key) {
    const Json* value = Get(key);
    return {value == nullptr ? kNothing : *value, path_ + key + ".", status_};
  }
  // Calls add(Fields) for each element.
  template <typename Add>
  void Each(const char* key, Add add) {
    const Json* value = Get(key);
    if (value == nullptr) return;
    if (!value->is_array()) return Wrong(key, "is not a list");
    for (std::size_t i = 0; i < value->size() && status_; ++i) {
      add(Fields((*value)[i], fmt::format("{}{}[{}].", path_, key, i), status_));
    }
  }
  void Wrong(std::string_view key, std::string_view why) {
    if (!status_) return;
    std::string field = path_ + std::string(key);
    if (field.ends_with('.')) field.pop_back();
    status_ = Fail(Code::kDataLoss, fmt::format("manifest field '{}' {}", field, why));
  }

 private:
  static inline const Json kNothing = Json::object();

  const Json* Get(const char* key) {
    if (!status_) return nullptr;
    const auto found = object_.find(key);
    if (found == object_.end()) return Wrong(key, "is missing"), nullptr;
    return &*found;
  }

  const Json& object_;
  std::string path_;
  Status& status_;
};

bool IsSha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

// TRUST: names become paths inside the object's directory.
bool IsFileName(std::string_view name) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  return !name.empty() && name.size() <= 64 && name[0] != '.' &&
         name.find_first_not_of(kAllowed) == name.npos;
}

void ReadFiles(Fields& top, Manifest& manifest) {
  top.Each("files", [&](Fields fields) {
    FileEntry file{.name = fields.Text("name"),
                   .size_bytes = fields.Number("size_bytes"),
                   .sha256 = fields.Text("sha256")};
    if (!IsFileName(file.name) || file.name == "manifest.json") {
      fields.Wrong("name", "is no file name");
    } else if (!IsSha256(file.sha256)) {
      fields.Wrong("sha256", "is no SHA-256");
    } else if (manifest.Find(file.name) != nullptr || manifest.files.size() == kMaxFiles) {
      fields.Wrong("name", "is there twice, or there are too many files");
    }
    manifest.files.push_back(std::move(file));
  });
  for (const char* needed : {"vmlinux", "rootfs.erofs"}) {
    if (manifest.Find(needed) == nullptr) {
      top.Wrong("files", fmt::format("does not name '{}'", needed));
    }
  }
}

}  // namespace

const FileEntry* Manifest::Find(std::string_view file) const {
  const auto found =
      std::ranges::find_if(files, [&](const FileEntry& entry) { return entry.name == file; });
  return found == files.end() ? nullptr : &*found;
}

std::string ToJson(const Manifest& manifest) {
  Json json = {
      {"schema", Manifest::kSchema},
      {"name", manifest.name},
      {"created", manifest.created},
      {"inputs", manifest.inputs},
      {"agent",
       {{"version", manifest.agent.version},
        {"protocol", manifest.agent.protocol},
        {"sha256", manifest.agent.sha256}}},
      {"kernel",
       {{"flavour", manifest.kernel.flavour},
        {"version", manifest.kernel.version},
        {"package", manifest.kernel.package},
        {"needs_acpi", manifest.kernel.needs_acpi},
        {"arguments", manifest.kernel.arguments}}},
      {"release",
       {{"id", manifest.release.id},
        {"codename", manifest.release.codename},
        {"version", manifest.release.version}}},
      {"languages", Json::array()},
      {"packages", Json::array()},
      {"files", Json::array()},
  };
  for (const Manifest::Language& language : manifest.languages) {
    json["languages"].push_back({{"name", language.name}, {"version", language.version}});
  }
  for (const Manifest::Package& package : manifest.packages) {
    json["packages"].push_back({{"name", package.name}, {"version", package.version}});
  }
  for (const FileEntry& file : manifest.files) {
    json["files"].push_back(
        {{"name", file.name}, {"size_bytes", file.size_bytes}, {"sha256", file.sha256}});
  }
  // `replace`: a tool's output with stray bytes must not throw here.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Manifest> ParseManifest(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return Fail(Code::kDataLoss, "the manifest is not JSON (cut off or overwritten)");
  }
  Status status;
  Manifest manifest;
  Fields top(json, "", status);
  const std::uint64_t schema = top.Number("schema");
  if (status && schema != Manifest::kSchema) {
    return Fail(Code::kDataLoss, fmt::format("manifest schema {} is not {}, the one that this "
                                             "program reads",
                                             schema, Manifest::kSchema));
  }
  manifest.name = top.Text("name");
  manifest.created = top.Text("created");
  manifest.inputs = top.Text("inputs");
  Fields agent = top.Object("agent");
  manifest.agent.version = agent.Text("version");
  const std::uint64_t protocol = agent.Number("protocol");
  if (protocol > std::numeric_limits<std::uint32_t>::max()) agent.Wrong("protocol", "is too large");
  manifest.agent.protocol = static_cast<std::uint32_t>(protocol);
  manifest.agent.sha256 = agent.Text("sha256");
  Fields kernel = top.Object("kernel");
  manifest.kernel.flavour = kernel.Text("flavour");
  manifest.kernel.version = kernel.Text("version");
  manifest.kernel.package = kernel.Text("package");
  manifest.kernel.needs_acpi = kernel.Bool("needs_acpi");
  manifest.kernel.arguments = kernel.Text("arguments");
  Fields release = top.Object("release");
  manifest.release.id = release.Text("id");
  manifest.release.codename = release.Text("codename");
  manifest.release.version = release.Text("version");
  top.Each("languages", [&](Fields fields) {
    manifest.languages.push_back({fields.Text("name"), fields.Text("version")});
  });
  top.Each("packages", [&](Fields fields) {
    manifest.packages.push_back({fields.Text("name"), fields.Text("version")});
  });
  ReadFiles(top, manifest);
  if (!status) return Fail(std::move(status.error()));
  return manifest;
}

}  // namespace nv::host::storage
