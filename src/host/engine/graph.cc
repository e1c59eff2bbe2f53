#include "host/engine/graph.h"

#include <fmt/format.h>

#include "host/backend/probe.h"
#include "host/engine/privileges.h"

namespace nv::host::engine {

base::Result<std::unique_ptr<Graph>> BuildGraph(const std::string& accelerator,
                                                const std::string& backend_name) {
  auto request = backend::ParseAccelerator(accelerator);
  if (!request) return base::Fail(std::move(request.error()));
  if (!backend_name.empty() && backend_name != "auto" && backend_name != "qemu") {
    return base::Fail(
        base::Code::kInvalidArgument,
        fmt::format("--backend '{}' is not in this version; accepted: auto, qemu", backend_name));
  }
  auto graph = std::make_unique<Graph>();
  auto paths = config::FindPaths();
  if (!paths) return base::Fail(std::move(paths.error()));
  graph->paths = *std::move(paths);
  auto qemu = backend::FindQemu();
  if (!qemu) return base::Fail(std::move(qemu.error()));

  auto launched =
      jail::Launch({.jail_path = graph->paths.libexec + "/neurovisor-jail", .qemu_path = *qemu});
  if (!launched) return base::Fail(std::move(launched.error()).WithContext("starting the jail"));
  graph->launched = std::make_unique<jail::Launched>(*std::move(launched));
  // With root's eyes: the jail, not the engine, hands the device's group to the VMM.
  const backend::KvmFacts kvm = backend::FindKvm();
  if (auto dropped = DropPrivileges(); !dropped) return base::Fail(std::move(dropped.error()));

  auto client = jail::JailClient::Connect(std::move(graph->launched->socket));
  if (!client) return base::Fail(std::move(client.error()).WithContext("talking to the jail"));
  graph->jail = *std::move(client);
  auto made = backend::qemu::QemuBackend::Create(
      *graph->jail, {.accelerator = *request, .qemu_path = *qemu, .kvm = kvm});
  if (!made) return base::Fail(std::move(made.error()));
  graph->backend = *std::move(made);
  graph->images = std::make_unique<storage::ImageStore>(graph->paths.data + "/images");
  return graph;
}

}  // namespace nv::host::engine
