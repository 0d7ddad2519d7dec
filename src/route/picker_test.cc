#include "route/picker.h"

#include <gtest/gtest.h>

#include <map>

namespace busbar::route {
namespace {

std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15U;
  std::uint64_t mixed = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9U;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebU;
  return mixed ^ (mixed >> 31);
}

Service service(std::size_t replicas, std::uint32_t concurrency = 0) {
  Service result{.name = "s", .limits = {.concurrency = concurrency}};
  for (std::size_t index = 0; index < replicas; ++index) {
    result.endpoints.push_back({.replica = "s-" + std::to_string(index), .address = "::1", .port = 1});
  }
  return result;
}

TEST(Picker, NeverLetsOneReplicaBecomeMuchBusierThanTheRest) {
  const Picker picker(service(16));
  std::vector<std::uint32_t> outstanding(16, 0);
  std::uint64_t state = 1;
  for (int request = 0; request < 1600; ++request) {
    const auto chosen = picker.pick(next_random(state),
                                    [&](std::size_t index) { return EndpointLoad{.outstanding = outstanding[index]}; });
    ASSERT_TRUE(chosen);
    ++outstanding[*chosen];
  }
  // Two choices: the gap is about log log n. One choice would give about 30 here.
  for (const std::uint32_t count : outstanding) {
    EXPECT_GE(count, 95U);
    EXPECT_LE(count, 104U);
  }
}

TEST(Picker, FindsTheOneReplicaThatCanTakeMore) {
  const Picker picker(service(64, 2));
  std::uint64_t state = 7;
  for (int round = 0; round < 100; ++round) {
    const std::size_t free = next_random(state) % 64;
    const auto chosen = picker.pick(
        next_random(state), [free](std::size_t index) { return EndpointLoad{.outstanding = index == free ? 1U : 2U}; });
    EXPECT_EQ(chosen, free);
  }
  EXPECT_EQ(picker.pick(1, [](std::size_t) { return EndpointLoad{.outstanding = 2}; }), std::nullopt);
}

TEST(Picker, LeavesOutWhatDrainsOrHasNoWeightOrIsNotUsable) {
  Service three = service(3);
  three.endpoints[0].is_draining = true;
  three.endpoints[1].weight = 0;
  const Picker picker(three);
  std::uint64_t state = 3;
  for (int round = 0; round < 50; ++round) {
    EXPECT_EQ(picker.pick(next_random(state), [](std::size_t) { return EndpointLoad{}; }), 2U);
  }
  EXPECT_EQ(picker.pick(1, [](std::size_t) { return EndpointLoad{.is_usable = false}; }), std::nullopt);
  EXPECT_EQ(Picker(service(0)).pick(1, [](std::size_t) { return EndpointLoad{}; }), std::nullopt);
}

TEST(Picker, GivesACanaryItsShareHoweverManyReplicasThereAre) {
  Service canary = service(5);
  for (Endpoint& endpoint : canary.endpoints) endpoint.weight = 90;
  canary.endpoints[4].revision = 2;
  canary.endpoints[4].weight = 10;
  const Picker picker(canary);
  std::uint64_t state = 5;
  int of_canary = 0;
  for (int request = 0; request < 10'000; ++request) {
    const auto chosen = picker.pick(next_random(state), [](std::size_t index) {
      // Faster, so never busy: it must not get more for that.
      return EndpointLoad{.outstanding = index == 4 ? 0U : 3U};
    });
    of_canary += chosen == 4U ? 1 : 0;
  }
  EXPECT_NEAR(of_canary, 1000, 120);
}

}  // namespace
}  // namespace busbar::route
