#include "host/engine/bench/statistics.h"

#include <algorithm>

namespace nv::host::engine {
namespace {

// `values` sorted and not empty; percent 1..100.
double NearestRank(const std::vector<double>& values, std::size_t percent) {
  const std::size_t rank = (values.size() * percent + 99) / 100;
  return values[rank - 1];
}

}  // namespace

Summary Summarize(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  return {.count = values.size(),
          .p50 = NearestRank(values, 50),
          .p95 = NearestRank(values, 95),
          .min = values.front(),
          .max = values.back()};
}

}  // namespace nv::host::engine
