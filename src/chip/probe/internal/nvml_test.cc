#include "chip/probe/internal/nvml.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "chip/builtin_catalogue.h"
#include "chip/probe/fake_host.h"
#include "chip/probe/host_probe.h"
#include "os/files.h"
#include "os/test_dir.h"

namespace busbar::chip::probe {
namespace {

constexpr std::string_view kHost = R"(
pci:
  "0000:1b:00.0": {id: "10de:2330", class: "0x030200", driver: nvidia, numa: 0, under: pci0000:15/0000:15:01.0}
  "0000:9b:00.0": {id: "10de:2330", class: "0x030200", driver: nvidia, numa: 1, under: pci0000:95/0000:95:01.0}
dev: nvidia0=195:0 nvidia1=195:1 nvidiactl=195:255 nvidia-uvm=510:0 nvidia-caps/nvidia-cap21=234:21 nvidia-caps/nvidia-cap22=234:22
files:
  /proc/driver/nvidia/capabilities/gpu0/mig/gi9/access: "DeviceFileMinor: 21\nDeviceFileMode: 292\n"
  /proc/driver/nvidia/capabilities/gpu0/mig/gi9/ci0/access: "DeviceFileMinor: 22\nDeviceFileMode: 292\n"
)";
constexpr std::string_view kGpus =
    "gpu 00000000:9B:00.0 GPU-b 1 81559 40000 71 652000 58\n"
    "gpu 00000000:1B:00.0 GPU-a 0 81559 512 0 70000 31\n";

/// A host with two GPUs and the library that knows more of them.
class NvmlTest : public ::testing::Test {
 protected:
  NvmlTest() : host_(FakeHost::build(dir_.file("host"), kHost).value()) {
    ::setenv("BUSBAR_FAKE_NVML_STATE", dir_.file("nvml").c_str(), 1);
    tell(std::string(kGpus));
    probe_ = make_host_probe({.root = host_.root(), .offers_cpus = false, .nvml_library = BUSBAR_FAKE_NVML},
                             {&builtin_catalogue(), [](const Catalogue*) {}});
  }
  ~NvmlTest() override { ::unsetenv("BUSBAR_FAKE_NVML_STATE"); }

  void tell(const std::string& state) {
    ASSERT_TRUE(os::write_file_atomic(dir_.file("nvml"), state, 0644, os::Durability::kCached).has_value());
  }
  engine::Inventory scan() { return probe_->scan().value(); }

  os::TestDir dir_;
  FakeHost host_;
  std::unique_ptr<engine::DeviceProbe> probe_;
};

TEST_F(NvmlTest, AddsMemoryUuidMinorAndUse) {
  const engine::Inventory found = scan();
  EXPECT_TRUE(found.problems.empty());
  ASSERT_EQ(found.cards.size(), 2U);
  const engine::ProbedCard& card = found.cards[0];
  EXPECT_EQ(card.card.device, "pci:0000:1b:00.0");
  EXPECT_EQ(card.card.memory.value, std::int64_t{81559} << 20);
  EXPECT_EQ(card.facts.uuid, "GPU-a");
  EXPECT_EQ(card.facts.values.at("minor"), "0");
  EXPECT_EQ(card.facts.values.at("index"), "1") << "NVML's own order";
  EXPECT_EQ(found.cards[1].reading.utilisation_percent, 71);
  EXPECT_EQ(found.cards[1].reading.power_mw, 652'000);
  EXPECT_EQ(found.cards[1].reading.temperature_c, 58);
  EXPECT_EQ(found.cards[1].reading.memory_used_bytes, std::int64_t{40000} << 20);
}

TEST_F(NvmlTest, NvLinksMakeAGroupAlsoThroughASwitch) {
  EXPECT_NE(scan().cards[0].card.link_group, scan().cards[1].card.link_group);
  tell(std::string(kGpus) + "peer 0 00000000:DA:00.0\npeer 0 -\npeer 1 -\npeer 1 00000000:DA:00.0\n");
  EXPECT_EQ(scan().cards[0].card.link_group, scan().cards[1].card.link_group);
}

TEST_F(NvmlTest, ASeriousXidMakesACardUnhealthyAndAProgramsDoesNot) {
  tell(std::string(kGpus) + "xid 1 31\n");
  EXPECT_EQ(scan().cards[0].card.health, model::CardHealth::kHealthy);
  tell(std::string(kGpus) + "xid 1 31\nxid 1 79\n");
  const engine::Inventory found = scan();
  EXPECT_EQ(found.cards[0].card.health, model::CardHealth::kUnhealthy);
  EXPECT_EQ(found.cards[0].health_detail, "Xid 79 was reported by the driver");
  EXPECT_EQ(found.cards[1].card.health, model::CardHealth::kHealthy);
}

TEST_F(NvmlTest, MigInstancesAreTheCards) {
  tell(std::string(kGpus) + "mig 1 MIG-1 9 0 1 9984\nmigmode 0\n");
  const engine::Inventory found = scan();
  ASSERT_EQ(found.cards.size(), 2U);
  const engine::ProbedCard& slice = found.cards[0];
  EXPECT_EQ(slice.card.device, "mig:MIG-1");
  EXPECT_EQ(slice.card.chip, "nvidia-h100-sxm5/1g.10gb");
  EXPECT_EQ(slice.card.memory.value, std::int64_t{9984} << 20);
  EXPECT_EQ(slice.facts.partition, "1g.10gb");
  EXPECT_EQ(slice.facts.values.at("gi_cap"), "21");
  EXPECT_EQ(slice.facts.values.at("ci_cap"), "22");
  EXPECT_EQ(slice.card.health, model::CardHealth::kHealthy) << slice.health_detail;
  EXPECT_TRUE(slice.card.peak_gflops.empty());
  EXPECT_NE(found.cards[1].health_detail.find("MIG mode"), std::string::npos) << "no instance was made on it";
}

TEST_F(NvmlTest, AnInstanceWithoutItsCapabilityCannotBeUsed) {
  tell(std::string(kGpus) + "mig 1 MIG-1 3 0 1 9984\n");
  const engine::Inventory found = scan();
  EXPECT_NE(found.cards[0].health_detail.find("capability"), std::string::npos);
  EXPECT_FALSE(found.problems.empty());
}

TEST_F(NvmlTest, AGpuThatTheLibraryHasLostIsAProblemAndTheOthersAreRead) {
  tell(std::string(kGpus) + "refuse handle 0 15\n");
  const engine::Inventory found = scan();
  ASSERT_EQ(found.problems.size(), 1U);
  EXPECT_NE(found.problems[0].message.find("GPU is lost"), std::string::npos);
  EXPECT_EQ(found.cards[0].facts.uuid, "GPU-a");
}

TEST_F(NvmlTest, ALibraryThatDoesNotStartIsSaidAndSysfsHasToDo) {
  tell("refuse init 9\n");
  const engine::Inventory found = scan();
  ASSERT_EQ(found.problems.size(), 1U);
  EXPECT_NE(found.problems[0].message.find("does not start"), std::string::npos);
  EXPECT_EQ(found.cards.size(), 2U);
  EXPECT_EQ(found.cards[0].card.memory.value, std::int64_t{80} << 30) << "as the catalogue says";
}

TEST(Nvml, AMissingLibraryIsUnsupported) {
  const auto opened = Nvml::open("/nonexistent/libnvidia-ml.so.1");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
}

TEST(Nvml, BusIdsAreWrittenAsSysfsDoes) {
  EXPECT_EQ(sysfs_address("00000000:1B:00.0"), "0000:1b:00.0");
  EXPECT_EQ(sysfs_address("00010000:E1:00.0"), "10000:e1:00.0");
  EXPECT_EQ(sysfs_address("0000:3b:00.0"), "0000:3b:00.0");
  EXPECT_EQ(sysfs_address(""), "");
}

}  // namespace
}  // namespace busbar::chip::probe
