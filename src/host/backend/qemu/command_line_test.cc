#include "host/backend/qemu/command_line.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/backend/qemu/host_tsc.h"
#include "host/jail/protocol/messages.h"

namespace nv::host::backend::qemu {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

CommandLine Debian() {
  return {.accelerator = Accelerator::kTcg,
          .vcpus = 2,
          .memory_bytes = 512ull << 20,
          .acpi = true,
          .initrd = true,
          .kernel_arguments = "",
          .tsc_khz = 2596140,
          .vsock_cid = std::nullopt};
}

// The word after `flag`; "" when the flag is absent.
std::string Value(const CommandLine& line, const std::string& flag) {
  const auto arguments = BuildArguments(line);
  const auto at = std::ranges::find(arguments, flag);
  return at == arguments.end() || at + 1 == arguments.end() ? "" : *(at + 1);
}
std::string Joined(const CommandLine& line) {
  std::string out;
  for (const std::string& argument : BuildArguments(line)) out += argument + "\n";
  return out;
}

TEST(CommandLine, ClosesEveryDoorThatItDoesNotNeed) {
  const auto arguments = BuildArguments(Debian());
  for (const char* flag : {"-nodefaults", "-no-user-config", "-no-reboot"}) {
    EXPECT_THAT(arguments, Contains(flag));
  }
  EXPECT_EQ(Value(Debian(), "-display"), "none");
  EXPECT_EQ(Value(Debian(), "-sandbox"),
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
  EXPECT_THAT(arguments, Not(Contains("-netdev")));
  EXPECT_THAT(arguments, Not(Contains("-nic")));
  EXPECT_THAT(Joined(Debian()), Not(HasSubstr("net")));
}

TEST(CommandLine, NamesNoPathOfTheHost) {
  for (const std::string& argument : BuildArguments(Debian())) {
    const bool path = argument.starts_with('/');
    EXPECT_TRUE(!path || argument.starts_with("/proc/self/fd/")) << argument;
  }
}

TEST(CommandLine, KernelWithoutAcpiNeedsNoInitramfs) {
  CommandLine line = Debian();
  EXPECT_THAT(Value(line, "-M"), HasSubstr("acpi=on"));
  EXPECT_EQ(Value(line, "-initrd"), "/proc/self/fd/4");
  EXPECT_THAT(KernelArguments(line), Not(HasSubstr("root=")));
  line.acpi = false;
  line.initrd = false;
  EXPECT_THAT(Value(line, "-M"), HasSubstr("acpi=off"));
  EXPECT_EQ(Value(line, "-initrd"), "");
  EXPECT_THAT(KernelArguments(line),
              HasSubstr("root=/dev/vda rootfstype=erofs ro init=/usr/lib/neurovisor/guest_agent"));
}

TEST(CommandLine, EmulatedGuestsAreToldTheTscRate) {
  CommandLine line = Debian();
  EXPECT_EQ(Value(line, "-accel"), "tcg");
  EXPECT_EQ(Value(line, "-cpu"), "max");
  EXPECT_THAT(Value(line, "-append"),
              HasSubstr("tsc_early_khz=2596140 tsc=reliable no_timer_check"));
  line.accelerator = Accelerator::kKvm;
  EXPECT_EQ(Value(line, "-accel"), "kvm");
  EXPECT_EQ(Value(line, "-cpu"), "host");
  EXPECT_THAT(Value(line, "-append"), Not(HasSubstr("tsc")));
}

TEST(CommandLine, GuestHasTheSizeThatWasAskedFor) {
  EXPECT_EQ(Value(Debian(), "-m"), "512M");
  EXPECT_EQ(Value(Debian(), "-smp"), "2");
}

TEST(CommandLine, ImageIsReadOnlyAndStaysInThePageCache) {
  const std::string drive = Value(Debian(), "-drive");
  EXPECT_THAT(drive, HasSubstr("readonly=on"));
  EXPECT_THAT(drive, HasSubstr("file.drop-cache=off"));
}

TEST(CommandLine, ChannelIsOneOfTheTwo) {
  CommandLine line = Debian();
  EXPECT_THAT(Joined(line), HasSubstr("virtserialport,chardev=channel,name=neurovisor.channel"));
  EXPECT_THAT(Joined(line), Not(HasSubstr("vsock")));
  line.vsock_cid = 77;
  EXPECT_THAT(Joined(line), HasSubstr("vhost-vsock-device,vhostfd=8,guest-cid=77"));
  EXPECT_THAT(Joined(line), Not(HasSubstr("virtserialport")));
}

TEST(CommandLine, ImageArgumentsComeLast) {
  CommandLine line = Debian();
  line.kernel_arguments = "loglevel=7 noapictimer";
  EXPECT_TRUE(Value(line, "-append").ends_with(" loglevel=7 noapictimer"));
}

TEST(CommandLine, FitsIntoARequestOfTheJail) {
  CommandLine line = Debian();
  line.vcpus = 8;
  line.kernel_arguments = std::string(2048, 'x');
  const auto arguments = BuildArguments(line);
  std::size_t bytes = 0;
  for (const std::string& argument : arguments) bytes += argument.size() + 1;
  EXPECT_LE(arguments.size(), jail::kMaxArguments);
  EXPECT_LE(bytes, jail::kMaxArgumentBytes);
}

TEST(HostTsc, AgreesWithItselfAndIsPlausible) {
  const TscMeter first;
  const TscMeter second;
  const double one = first.Khz();
  const double two = second.Khz();
  EXPECT_GT(one, 500'000);
  EXPECT_LT(one, 10'000'000);
  EXPECT_NEAR(one / two, 1.0, 0.001);
}

}  // namespace
}  // namespace nv::host::backend::qemu
