// What bench says about a series of times.

#pragma once

#include <cstddef>
#include <vector>

namespace nv::host::engine {

struct Summary {
  std::size_t count = 0;
  double p50 = 0;
  double p95 = 0;
  double min = 0;
  double max = 0;
};

// Percentiles by nearest rank: every figure is one that was measured. All zero for no values.
[[nodiscard]] Summary Summarize(std::vector<double> values);

}  // namespace nv::host::engine
