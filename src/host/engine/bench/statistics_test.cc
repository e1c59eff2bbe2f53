#include "host/engine/bench/statistics.h"

#include <gtest/gtest.h>

namespace nv::host::engine {
namespace {

TEST(Summarize, NothingIsAllZero) { EXPECT_EQ(Summarize({}).count, 0u); }

TEST(Summarize, OneValueIsEveryFigure) {
  const Summary summary = Summarize({7});
  EXPECT_EQ(summary.count, 1u);
  EXPECT_EQ(summary.p50, 7);
  EXPECT_EQ(summary.p95, 7);
  EXPECT_EQ(summary.min, 7);
  EXPECT_EQ(summary.max, 7);
}

TEST(Summarize, PercentilesAreMeasuredValues) {
  std::vector<double> values;
  for (int i = 20; i >= 1; --i) values.push_back(i);
  const Summary summary = Summarize(values);
  EXPECT_EQ(summary.p50, 10);
  EXPECT_EQ(summary.p95, 19);
  EXPECT_EQ(summary.min, 1);
  EXPECT_EQ(summary.max, 20);
}

TEST(Summarize, TenValuesHaveTheirLargestAsP95) {
  EXPECT_EQ(Summarize({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}).p95, 10);
}

}  // namespace
}  // namespace nv::host::engine
