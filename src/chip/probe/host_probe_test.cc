#include "chip/probe/host_probe.h"

#include <gtest/gtest.h>

#include "chip/builtin_catalogue.h"
#include "chip/match.h"
#include "chip/probe/fake_host.h"
#include "chip/probe/measured.h"
#include "os/test_dir.h"

namespace busbar::chip::probe {
namespace {

constexpr std::string_view kTwoGaudi = R"(
pci:
  "0000:33:00.0": {id: "1da3:1020", driver: habanalabs, nodes: accel/accel0=accel/accel0 accel/accel_controlD0=accel/accel_controlD0, files: {aer_dev_fatal: "TOTAL_ERR_FATAL 2", aer_dev_nonfatal: "TOTAL_ERR_NONFATAL 0"}}
  "0000:b4:00.0": {id: "1da3:1020", driver: habanalabs, nodes: accel/accel1=accel/accel1 accel/accel_controlD1=accel/accel_controlD1}
files:
  /proc/cpuinfo: "processor : 0\ncpu MHz : 2000\nflags : fma avx2\nprocessor : 1\n"
)";
constexpr std::string_view kThirdGaudi = R"(
pci:
  "0000:11:00.0": {id: "1da3:1020", driver: habanalabs, nodes: accel/accel2=accel/accel2 accel/accel_controlD2=accel/accel_controlD2}
)";
constexpr std::string_view kFirst = "0000:33:00.0";

class HostProbeTest : public ::testing::Test {
 protected:
  HostProbeTest() : host_(FakeHost::build(dir_.file("host"), kTwoGaudi).value()) { reopen(); }

  void reopen() {
    probe_.reset();
    probe_ = make_host_probe(options(), {&builtin_catalogue(), [](const Catalogue*) {}});
  }
  HostProbeOptions options() const {
    return {.root = host_.root(),
            .cpu_cards = cpu_cards_,
            .state_file = dir_.file("cards.json"),
            .measured_file = dir_.file("measured.json")};
  }
  std::vector<engine::ProbedCard> cards() { return probe_->scan().value().cards; }
  void set_fatal_errors(int count) {
    const std::string file = "/sys/bus/pci/devices/" + std::string(kFirst) + "/aer_dev_fatal";
    ASSERT_TRUE(host_.write(file, "Undefined 0\nTOTAL_ERR_FATAL " + std::to_string(count) + "\n").has_value());
  }
  static bool is_healthy(const engine::ProbedCard& card) { return card.card.health == model::CardHealth::kHealthy; }

  os::TestDir dir_;
  std::uint32_t cpu_cards_ = 0;
  FakeHost host_;
  std::unique_ptr<engine::DeviceProbe> probe_;
};

TEST_F(HostProbeTest, CardsOfTheBusComeFirstThenCpus) {
  const auto found = cards();
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[0].card.chip, "habana-gaudi2");
  EXPECT_EQ(found[2].card.device, "cpu:0");
  EXPECT_EQ(found[3].card.device, "cpu:1");
  EXPECT_NE(found[2].card.link_group, found[0].card.link_group);
  EXPECT_EQ(found[2].card.peak_gflops.at(0), (std::pair<std::string, std::int64_t>{"fp32", 64}));
  EXPECT_EQ(probe_->scan().value().cpus.value, 2000);
}

TEST_F(HostProbeTest, ACardThatVanishesKeepsItsIndexAndIsUnhealthyUntilItReturns) {
  ASSERT_TRUE(is_healthy(cards()[0]));
  ASSERT_TRUE(host_.unplug(std::string(kFirst)).has_value());
  auto found = cards();
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[0].card.device, "pci:0000:33:00.0");
  EXPECT_FALSE(is_healthy(found[0]));
  EXPECT_NE(found[0].health_detail.find("gone"), std::string::npos);
  EXPECT_TRUE(is_healthy(found[1]));
  ASSERT_TRUE(FakeHost::build(host_.root(), kTwoGaudi.substr(0, kTwoGaudi.find("  \"0000:b4"))).has_value());
  EXPECT_TRUE(is_healthy(cards()[0]));
}

TEST_F(HostProbeTest, ACardWhoseNodeVanishesIsUnhealthy) {
  ASSERT_TRUE(is_healthy(cards()[1]));
  ASSERT_TRUE(host_.remove("/dev/accel/accel1").has_value());
  const auto found = cards();
  EXPECT_FALSE(is_healthy(found[1]));
  EXPECT_EQ(found[1].health_detail, "/dev/accel/accel1 is missing");
  EXPECT_TRUE(is_healthy(found[0]));
}

TEST_F(HostProbeTest, ACardThatAppearsTakesTheNextIndexAndKeepsItOverRestarts) {
  ASSERT_EQ(cards().size(), 4U);
  ASSERT_TRUE(FakeHost::build(host_.root(), kThirdGaudi).has_value());
  auto found = cards();
  ASSERT_EQ(found.size(), 5U);
  EXPECT_EQ(found[4].card.device, "pci:0000:11:00.0");
  EXPECT_EQ(found[4].card.index, 4);
  reopen();
  found = cards();
  ASSERT_EQ(found.size(), 5U);
  EXPECT_EQ(found[0].card.device, "pci:0000:33:00.0");
  EXPECT_EQ(found[4].card.device, "pci:0000:11:00.0");
}

TEST_F(HostProbeTest, ACardThatVanishedWhileNobodyLookedIsStillKnown) {
  ASSERT_EQ(cards().size(), 4U);
  probe_.reset();
  ASSERT_TRUE(host_.unplug(std::string(kFirst)).has_value());
  reopen();
  const auto found = cards();
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[0].card.chip, "habana-gaudi2");
  EXPECT_FALSE(is_healthy(found[0]));
}

TEST_F(HostProbeTest, NewPcieErrorsMakeACardUnhealthyUntilARestart) {
  EXPECT_TRUE(is_healthy(cards()[0])) << "errors from before the start do not count";
  set_fatal_errors(3);
  EXPECT_FALSE(is_healthy(cards()[0]));
  const auto found = cards();
  EXPECT_FALSE(is_healthy(found[0])) << "and it stays so";
  EXPECT_EQ(found[0].health_detail, "1 uncorrectable PCIe errors since busbar started (AER)");
  reopen();
  EXPECT_TRUE(is_healthy(cards()[0]));
}

TEST_F(HostProbeTest, FewerCpuCardsLeaveNoGhosts) {
  cpu_cards_ = 3;
  reopen();
  auto found = cards();
  ASSERT_EQ(found.size(), 5U);
  EXPECT_EQ(found[4].card.device, "cpu:0") << "the third shares a CPU";
  cpu_cards_ = 1;
  reopen();
  EXPECT_EQ(cards().size(), 3U);
}

TEST_F(HostProbeTest, ADamagedStateFileCostsTheIndicesOnly) {
  ASSERT_TRUE(os::write_file_atomic(dir_.file("cards.json"), "{").has_value());
  reopen();
  const auto inventory = probe_->scan().value();
  EXPECT_EQ(inventory.cards.size(), 4U);
  ASSERT_EQ(inventory.problems.size(), 1U);
  EXPECT_EQ(inventory.problems[0].path, dir_.file("cards.json"));
  EXPECT_TRUE(probe_->scan().value().problems.empty()) << "it was written anew";
}

TEST_F(HostProbeTest, MeasuredPeaksBelongToTheChipThatWasMeasured) {
  const MeasuredCard::Value value{.gflops = 400'000, .library = "test", .time_ms = 1};
  ASSERT_TRUE(write_measured(dir_.file("measured.json"),
                             {{"pci:0000:33:00.0", {.chip = "habana-gaudi2", .by_precision = {{"bf16", value}}}},
                              {"pci:0000:b4:00.0", {.chip = "habana-gaudi3", .by_precision = {{"bf16", value}}}}})
                  .has_value());
  const auto found = cards();
  ASSERT_EQ(found[0].measured.size(), 1U);
  EXPECT_EQ(found[0].measured[0].gflops, 400'000);
  EXPECT_EQ(found[0].card.peak_gflops.back(), (std::pair<std::string, std::int64_t>{measured_key("bf16"), 400'000}));
  EXPECT_TRUE(found[1].measured.empty());
}

TEST(HostProbe, FindsTheCpusOfThisMachine) {
  const auto probe = make_host_probe({}, {&builtin_catalogue(), [](const Catalogue*) {}});
  const auto inventory = probe->scan().value();
  EXPECT_GT(inventory.cpus.value, 0);
  EXPECT_TRUE(std::any_of(inventory.cards.begin(), inventory.cards.end(), [](const engine::ProbedCard& card) {
    return card.card.chip == "cpu" && card.card.health == model::CardHealth::kHealthy;
  }));
}

}  // namespace
}  // namespace busbar::chip::probe
