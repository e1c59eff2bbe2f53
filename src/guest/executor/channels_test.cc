#include "guest/executor/channels.h"

#include <stdlib.h>

#include <filesystem>

#include <gtest/gtest.h>

#include "base/io.h"

namespace nv::guest::executor {
namespace {

TEST(FindSerialPort, TakesThePortOfThatNameOnly) {
  std::string root = testing::TempDir() + "/ports-XXXXXX";
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  EXPECT_EQ(FindSerialPort(root, "neurovisor.channel"), "");
  for (const auto& [port, name] :
       {std::pair{"vport0p1", "org.other"}, std::pair{"vport0p2", "neurovisor.channel\n"}}) {
    std::filesystem::create_directories(root + "/" + port);
    ASSERT_TRUE(base::WriteFileAtomically(root + "/" + port + "/name", name));
  }
  EXPECT_EQ(FindSerialPort(root, "neurovisor.channel"), "/dev/vport0p2");
  EXPECT_EQ(FindSerialPort(root + "/absent", "neurovisor.channel"), "");
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace nv::guest::executor
