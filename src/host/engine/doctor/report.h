// The doctor's rows as a table for people or JSON for programs, and the verdict.
//
// Called by `neurovisor doctor`. Pure: rows in, text out.

#pragma once

#include <span>
#include <string>

#include "host/backend/backend.h"

namespace nv::host::engine {

// "ok", "missing", "degraded": the words of the contract.
[[nodiscard]] std::string_view StateName(backend::ProbeRow::State state);

// Whether `neurovisor run` can work: the rows `qemu` and `image` are there and none of them is
// missing. Everything else costs speed or strength, not function.
[[nodiscard]] bool CanRun(std::span<const backend::ProbeRow> rows);

enum class Colours { kOff, kOn };
// One line a row, columns aligned; a remedy on a line of its own below. Ends with the verdict.
[[nodiscard]] std::string RenderTable(std::span<const backend::ProbeRow> rows, Colours colours);

// {"ok": bool, "rows": [{"name", "state", "reason", "remedy"}]} and a newline.
[[nodiscard]] std::string RenderJson(std::span<const backend::ProbeRow> rows);

}  // namespace nv::host::engine
