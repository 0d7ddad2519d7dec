#include "sim/fabric_model.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "base/hash.h"

namespace busbar::sim {
namespace {

/// `leaves` x `nodes`, numbered along the fabric.
ModelFabric fabric_of(int leaves, int nodes, double leaf_oversubscription) {
  std::vector<std::vector<std::string>> paths;
  for (int i = 0; i < leaves * nodes; ++i) {
    paths.push_back({"leaf-" + std::to_string(i / nodes), "spine-" + std::to_string(i / nodes / 2)});
  }
  const std::vector<double> oversubscription = {leaf_oversubscription, 4.0};
  return ModelFabric::make(paths, oversubscription);
}

double one(const ModelFabric& fabric, const GangNodes& gang, Collective collective = Collective::kRing) {
  return predict_efficiency(fabric, std::vector<GangNodes>{gang}, collective).front();
}

TEST(FabricModel, CountsAGangOnOneNodeAsPerfect) {
  EXPECT_DOUBLE_EQ(one(fabric_of(2, 4, 1), {3, 3, 3}), 1.0);
  EXPECT_DOUBLE_EQ(one(fabric_of(2, 4, 1), {3, 3, 3}, Collective::kTree), 1.0);
}

TEST(FabricModel, LetsARingAlongTheFabricRunAtFullSpeed) {
  // It leaves each leaf once; a leaf of four at 4:1 carries one node's flow
  // upwards.
  EXPECT_DOUBLE_EQ(one(fabric_of(2, 4, 4), {0, 1, 2, 3, 4, 5, 6, 7}), 1.0);
}

TEST(FabricModel, SlowsARingThatGoesToAndFro) {
  // Every hop crosses: four flows leave each leaf, whose links carry one.
  EXPECT_DOUBLE_EQ(one(fabric_of(2, 4, 4), {0, 4, 1, 5, 2, 6, 3, 7}), 0.25);
}

TEST(FabricModel, SharesLinksAmongGangs) {
  const ModelFabric fabric = fabric_of(2, 4, 4);
  const std::vector<GangNodes> gangs = {{0, 4}, {1, 5}, {2, 3}};
  const auto efficiency = predict_efficiency(fabric, gangs, Collective::kRing);
  EXPECT_DOUBLE_EQ(efficiency[0], 0.5);
  EXPECT_DOUBLE_EQ(efficiency[1], 0.5);
  EXPECT_DOUBLE_EQ(efficiency[2], 1.0) << "it does not leave its leaf";
}

TEST(FabricModel, LoadsANodesLinkWithTwoTreesAsMuchAsWithARing) {
  for (std::uint32_t count = 3; count <= 40; ++count) {
    GangNodes gang(count);
    std::iota(gang.begin(), gang.end(), 0U);
    const double efficiency = one(fabric_of(1, 64, 1), gang, Collective::kTree);
    EXPECT_GE(efficiency, 2.0 / 3) << count;
    EXPECT_LE(efficiency, 1.0) << count;
  }
}

RC_GTEST_PROP(FabricModelProperty, NeverRanksByNameAboveRanksAlongTheFabric, (std::uint64_t seed)) {
  std::uint64_t state = seed;
  const auto roll = [&](std::uint64_t sides) { return mix64(state++) % sides; };
  const int nodes = static_cast<int>(1 + roll(6));
  const int leaves = static_cast<int>(1 + roll(6));
  const ModelFabric fabric = fabric_of(leaves, nodes, static_cast<double>(1 + roll(8)));
  GangNodes along(1 + roll(static_cast<std::uint64_t>(leaves * nodes)));
  for (std::uint32_t& node : along) node = static_cast<std::uint32_t>(roll(static_cast<std::uint64_t>(leaves * nodes)));
  std::sort(along.begin(), along.end());
  // Names have nothing to do with places.
  GangNodes by_name = along;
  std::sort(by_name.begin(), by_name.end(),
            [&](std::uint32_t a, std::uint32_t b) { return mix64(a + seed) < mix64(b + seed); });
  RC_ASSERT(one(fabric, along) >= one(fabric, by_name));
}

}  // namespace
}  // namespace busbar::sim
