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
    const auto chosen = picker.pick(next_random(state), [&](std::size_t index) {
      return EndpointLoad{.outstanding = outstanding[index], .work = outstanding[index]};
    });
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
      return EndpointLoad{.outstanding = 1, .work = index == 4 ? 0U : 3U};
    });
    of_canary += chosen == 4U ? 1 : 0;
  }
  EXPECT_NEAR(of_canary, 1000, 120);
}

TEST(Picker, KeepsASessionWithItsReplicaUntilThatHasTooMuch) {
  const Picker picker(service(5));
  std::vector<std::uint64_t> work(5, 10);
  const auto pick = [&](std::uint64_t session, std::uint64_t random) {
    return *picker.pick(random, [&](std::size_t index) { return EndpointLoad{.work = work[index]}; },
                        {.session = session});
  };
  std::vector<int> sessions(5, 0);
  std::uint64_t state = 11;
  for (std::uint64_t session = 1; session <= 1'000; ++session) {
    const std::size_t home = pick(mix(session, 7), next_random(state));
    for (int round = 0; round < 3; ++round) EXPECT_EQ(pick(mix(session, 7), next_random(state)), home);
    ++sessions[home];
  }
  for (const int count : sessions) EXPECT_NEAR(count, 200, 60);
  const std::size_t home = pick(42, 1);
  work[home] = 13;
  EXPECT_EQ(pick(42, 1), home);
  work[home] = 30;  // beyond 1.25 of the mean
  const std::size_t away = pick(42, 1);
  EXPECT_NE(away, home);
  EXPECT_EQ(pick(42, 99), away);
  work[home] = 10;
  EXPECT_EQ(pick(42, 1), home);
}

TEST(Picker, MovesFewSessionsWhenAReplicaGoes) {
  const Picker five(service(5));
  Service four = service(5);
  four.endpoints[2].is_draining = true;
  const Picker without(four);
  const auto idle = [](std::size_t) { return EndpointLoad{}; };
  for (std::uint64_t session = 1; session <= 300; ++session) {
    const std::size_t before = *five.pick(0, idle, {.session = mix(session, 3)});
    const std::size_t after = *without.pick(0, idle, {.session = mix(session, 3)});
    if (before != 2) {
      EXPECT_EQ(after, before);
    }
  }
}

TEST(Picker, SendsAPromptWhereItsBeginningIsUnlessThatCostsMore) {
  const Service three = service(3);
  const Picker picker(three);
  PrefixMap map;
  std::vector<std::uint64_t> prefix;
  hash_prefix(std::string(4 * kPrefixBlockBytes, 'p'), 1, prefix);
  for (const std::uint64_t hash : prefix) map.note(hash, name_tag(three.endpoints[1].replica));
  map.note(prefix[0], name_tag(three.endpoints[2].replica));
  std::vector<std::uint64_t> work(3, 100);
  const auto pick = [&](std::span<const std::uint64_t> blocks) {
    return *picker.pick(0, [&](std::size_t index) { return EndpointLoad{.work = work[index]}; },
                        {.prefix = blocks, .prefixes = &map});
  };
  EXPECT_EQ(pick(prefix), 1U);
  // All but the first block are another text: both have it, the one with less to do gets it.
  work[1] = 130;
  EXPECT_EQ(pick(std::span(prefix).first(1)), 2U);
  // Four blocks are 256 tokens, the one that the other has 64: the longer match is worth 192 more to do first.
  work[1] = 291;
  EXPECT_EQ(pick(prefix), 1U);
  work[1] = 293;
  EXPECT_EQ(pick(prefix), 2U);
  work[1] = 400;
  work[2] = 200;
  EXPECT_EQ(pick(prefix), 0U);
}

TEST(Picker, GivesARequestTheRevisionThatItWantsWhereThatHasRoom) {
  Service two = service(4);
  two.endpoints[3].revision = 2;
  two.endpoints[3].weight = 1;
  const Picker picker(two);
  std::uint64_t state = 17;
  for (int round = 0; round < 50; ++round) {
    EXPECT_EQ(picker.pick(next_random(state), [](std::size_t) { return EndpointLoad{}; }, {.revision = 2}), 3U);
  }
  const auto full = [](std::size_t index) { return EndpointLoad{.is_usable = index != 3}; };
  EXPECT_NE(picker.pick(1, full, {.revision = 2}), 3U);
  EXPECT_TRUE(picker.pick(1, full, {.revision = 9}));
}

TEST(Picker, GivesARevisionWithoutWeightOnlyWhatWantsIt) {
  Service two = service(4);
  for (const std::size_t index : {2U, 3U}) {
    two.endpoints[index].revision = 2;
    two.endpoints[index].weight = 0;
  }
  const Picker picker(two);
  std::uint64_t state = 19;
  for (int round = 0; round < 50; ++round) {
    EXPECT_LT(picker.pick(next_random(state), [](std::size_t) { return EndpointLoad{}; }), 2U);
    EXPECT_GE(picker.pick(next_random(state), [](std::size_t) { return EndpointLoad{}; }, {.revision = 2}), 2U);
  }
  // Rather wait than try what is new unasked.
  const auto full = [](std::size_t index) { return EndpointLoad{.is_usable = index >= 2}; };
  EXPECT_EQ(picker.pick(1, full), std::nullopt);
}

}  // namespace
}  // namespace busbar::route
