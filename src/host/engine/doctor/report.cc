#include "host/engine/doctor/report.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace nv::host::engine {
namespace {

using backend::ProbeRow;
using State = backend::ProbeRow::State;

std::string_view ColourOf(State state) {
  switch (state) {
    case State::kOk:
      return "\x1b[32m";
    case State::kMissing:
      return "\x1b[31m";
    case State::kDegraded:
      return "\x1b[33m";
  }
  return "";
}

constexpr std::size_t kStateWidth = 8;  // "degraded"

}  // namespace

std::string_view StateName(State state) {
  switch (state) {
    case State::kOk:
      return "ok";
    case State::kMissing:
      return "missing";
    case State::kDegraded:
      return "degraded";
  }
  return "missing";
}

bool CanRun(std::span<const ProbeRow> rows) {
  const auto works = [&rows](std::string_view name) {
    const auto row = std::ranges::find(rows, name, &ProbeRow::name);
    return row != rows.end() && row->state != State::kMissing;
  };
  return works("qemu") && works("image");
}

std::string RenderTable(std::span<const ProbeRow> rows, Colours colours) {
  std::size_t width = 0;
  for (const ProbeRow& row : rows) width = std::max(width, row.name.size());

  std::string text;
  for (const ProbeRow& row : rows) {
    const std::string padded = fmt::format("{:<{}}", StateName(row.state), kStateWidth);
    const std::string state =
        colours == Colours::kOn ? fmt::format("{}{}\x1b[0m", ColourOf(row.state), padded) : padded;
    text += fmt::format("{:<{}}  {}  {}\n", row.name, width, state, row.reason);
    if (row.state != State::kOk && !row.remedy.empty()) {
      text += fmt::format("{:<{}}  {:<{}}  remedy: {}\n", "", width, "", kStateWidth, row.remedy);
    }
  }
  text += CanRun(rows) ? "\n`neurovisor run` can work on this machine.\n"
                       : "\n`neurovisor run` cannot work yet: see the rows that are missing.\n";
  return text;
}

std::string RenderJson(std::span<const ProbeRow> rows) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ProbeRow& row : rows) {
    list.push_back({{"name", row.name},
                    {"state", StateName(row.state)},
                    {"reason", row.reason},
                    {"remedy", row.remedy}});
  }
  const nlohmann::ordered_json report{{"ok", CanRun(rows)}, {"rows", std::move(list)}};
  // A path or a kernel's text may hold any bytes; a report with U+FFFD beats an exception.
  return report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace nv::host::engine
