#include "host/config/config.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nv::host::config {
namespace {

using testing::HasSubstr;

Machine MachineWith(std::map<std::string, std::string> variables) {
  Machine machine;
  machine.environment = [variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  machine.executable = "/usr/bin/neurovisor";
  machine.working_directory = "/home/ada/project";
  return machine;
}

TEST(Sizes, NamesAndAliasesGiveWhatTheContractSays) {
  for (const char* name : {"small", "s"}) {
    ASSERT_TRUE(ParseSize(name)) << name;
    EXPECT_EQ(ParseSize(name)->vcpus, 1U);
    EXPECT_EQ(ParseSize(name)->memory_bytes, 256U << 20);
  }
  for (const char* name : {"medium", "m", "med"}) {
    ASSERT_TRUE(ParseSize(name)) << name;
    EXPECT_EQ(ParseSize(name)->vcpus, 2U);
    EXPECT_EQ(ParseSize(name)->memory_bytes, 512U << 20);
  }
  for (const char* name : {"large", "l", "lg"}) {
    ASSERT_TRUE(ParseSize(name)) << name;
    EXPECT_EQ(ParseSize(name)->name, "large");
    EXPECT_EQ(ParseSize(name)->vcpus, 4U);
    EXPECT_EQ(ParseSize(name)->memory_bytes, 1024U << 20);
  }
}

TEST(Sizes, AnythingElseIsRefusedWithTheAcceptedValues) {
  for (const char* name : {"", "huge", "Small", "sm", " small"}) {
    const auto size = ParseSize(name);
    ASSERT_FALSE(size) << name;
    EXPECT_EQ(size.error().code(), base::Code::kInvalidArgument);
    EXPECT_THAT(size.error().message(), HasSubstr("small (s), medium (m, med), large (l, lg)"));
  }
}

TEST(Paths, UserGetsHomeAndTheInstalledPrefix) {
  const auto paths = FindPathsOn(MachineWith({{"HOME", "/home/ada"}}));
  ASSERT_TRUE(paths);
  EXPECT_EQ(paths->data, "/home/ada/.local/share/neurovisor");
  EXPECT_EQ(paths->runtime, "/home/ada/.local/share/neurovisor/run");
  EXPECT_EQ(paths->libexec, "/usr/libexec/neurovisor");
  EXPECT_EQ(paths->recipes, "/usr/share/neurovisor/image");
}

TEST(Paths, XdgDirectoriesWinOverHomeUnlessRelative) {
  auto paths = FindPathsOn(MachineWith({{"HOME", "/home/ada"},
                                        {"XDG_DATA_HOME", "/data/ada"},
                                        {"XDG_RUNTIME_DIR", "/run/user/1000"}}));
  ASSERT_TRUE(paths);
  EXPECT_EQ(paths->data, "/data/ada/neurovisor");
  EXPECT_EQ(paths->runtime, "/run/user/1000/neurovisor");

  paths = FindPathsOn(
      MachineWith({{"HOME", "/home/ada"}, {"XDG_DATA_HOME", "data"}, {"XDG_RUNTIME_DIR", "."}}));
  ASSERT_TRUE(paths);
  EXPECT_EQ(paths->data, "/home/ada/.local/share/neurovisor");
  EXPECT_EQ(paths->runtime, "/home/ada/.local/share/neurovisor/run");
}

TEST(Paths, RootUsesTheSystemDirectoriesWhateverItsHome) {
  Machine machine = MachineWith({{"HOME", "/root"}, {"XDG_DATA_HOME", "/elsewhere"}});
  machine.is_root = true;
  const auto paths = FindPathsOn(machine);
  ASSERT_TRUE(paths);
  EXPECT_EQ(paths->data, "/var/lib/neurovisor");
  EXPECT_EQ(paths->runtime, "/run/neurovisor");
}

TEST(Paths, OwnVariablesWinForRootAndUserAndBecomeAbsolute) {
  for (bool is_root : {false, true}) {
    Machine machine = MachineWith({{"NEUROVISOR_DATA_DIR", "images/../state/"},
                                   {"NEUROVISOR_RUNTIME_DIR", "/tmp/run"},
                                   {"NEUROVISOR_LIBEXEC_DIR", "./bin"}});
    machine.is_root = is_root;
    const auto paths = FindPathsOn(machine);
    ASSERT_TRUE(paths);
    EXPECT_EQ(paths->data, "/home/ada/project/state");
    EXPECT_EQ(paths->runtime, "/tmp/run");
    EXPECT_EQ(paths->libexec, "/home/ada/project/bin");
  }
}

TEST(Paths, UserWithoutHomeIsToldWhatToSet) {
  for (const auto& variables : {std::map<std::string, std::string>{}, {{"HOME", ""}}}) {
    const auto paths = FindPathsOn(MachineWith(variables));
    ASSERT_FALSE(paths);
    EXPECT_EQ(paths.error().code(), base::Code::kFailedPrecondition);
    EXPECT_THAT(paths.error().remedy(), HasSubstr("NEUROVISOR_DATA_DIR"));
  }
}

TEST(Paths, EngineInLibexecFindsItsNeighboursAndThePrefix) {
  Machine machine = MachineWith({{"HOME", "/home/ada"}});
  machine.executable = "/opt/nv/libexec/neurovisor/neurovisor-engine";
  const auto paths = FindPathsOn(machine);
  ASSERT_TRUE(paths);
  EXPECT_EQ(paths->libexec, "/opt/nv/libexec/neurovisor");
  EXPECT_EQ(paths->recipes, "/opt/nv/share/neurovisor/image");
}

TEST(Paths, BuildTreeUsesItsOwnProgramsAndTheSourceItCameFrom) {
  namespace fs = std::filesystem;
  std::string pattern = (fs::temp_directory_path() / "nv-config-XXXXXX").string();
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  const fs::path build(pattern);
  std::ofstream(build / "CMakeCache.txt")
      << "# comment\nCMAKE_HOME_DIRECTORY:INTERNAL=/src/neurovisor\nOTHER:STRING=x\n";

  for (const char* program : {"bin/neurovisor", "bin/neurovisor-engine", "tests/config_test"}) {
    Machine machine = MachineWith({{"HOME", "/home/ada"}});
    machine.executable = (build / program).string();
    const auto paths = FindPathsOn(machine);
    ASSERT_TRUE(paths) << program;
    EXPECT_EQ(paths->libexec, (build / "bin").string());
    EXPECT_EQ(paths->recipes, "/src/neurovisor/image");
  }
  fs::remove_all(build);
}

TEST(Paths, OfThisTestAreThoseOfItsBuildTree) {
  const auto paths = FindPaths();
  ASSERT_TRUE(paths);
  EXPECT_TRUE(paths->libexec.ends_with("/bin")) << paths->libexec;
  EXPECT_TRUE(paths->recipes.ends_with("/image")) << paths->recipes;
}

TEST(Environment, VariableOfAFlagIsItsNameInCapitals) {
  EXPECT_EQ(VariableForFlag("--queue-timeout"), "NEUROVISOR_QUEUE_TIMEOUT");
  EXPECT_EQ(VariableForFlag("socket"), "NEUROVISOR_SOCKET");
}

TEST(Environment, EmptyVariableCountsAsUnset) {
  ASSERT_EQ(setenv("NEUROVISOR_TEST_FLAG", "", 1), 0);
  EXPECT_EQ(FlagFromEnvironment("--test-flag"), std::nullopt);
  ASSERT_EQ(setenv("NEUROVISOR_TEST_FLAG", "7", 1), 0);
  EXPECT_EQ(FlagFromEnvironment("--test-flag"), "7");
  ASSERT_EQ(unsetenv("NEUROVISOR_TEST_FLAG"), 0);
  EXPECT_EQ(FlagFromEnvironment("--test-flag"), std::nullopt);
}

}  // namespace
}  // namespace nv::host::config
