#include "sched/place/packer.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/hash.h"

namespace busbar::sched::place {
namespace {

PackNode node(std::int64_t cpus, std::vector<std::uint16_t> cards, std::uint16_t kind = 0) {
  return {.cpus = cpus, .memory = 1'000'000, .kind = kind, .cards = std::move(cards)};
}
PackShape whole(std::uint16_t cards, std::int64_t cpus) {
  return {.cpus = cpus, .memory = 1, .cards = cards, .milli = 1000};
}
PackShape part(std::uint16_t milli, std::int64_t cpus) {
  return {.cpus = cpus, .memory = 1, .cards = 1, .milli = milli};
}

TEST(StrandedTable, ANodeWithoutFreeCardsStrandsNothing) {
  const StrandedTable table(std::vector<ExpectedShape>{{whole(1, 4000), 1}}, {.max_cpus = 64'000, .max_cards = 8});
  EXPECT_EQ(table.stranded(node(64'000, {0, 0})), 0);
}

TEST(StrandedTable, CardsWithoutTheirCpusAreStrandedWhole) {
  const StrandedTable table(std::vector<ExpectedShape>{{whole(1, 4000), 1}}, {.max_cpus = 64'000, .max_cards = 8});
  EXPECT_EQ(table.stranded(node(3000, {1000, 1000})), 2000 * StrandedTable::kOne);
}

TEST(StrandedTable, OfTheOnlyShapeOnlyTheEndOfTheLoadIsLeft) {
  const StrandedTable table(std::vector<ExpectedShape>{{whole(1, 4000), 1}}, {.max_cpus = 64'000, .max_cards = 8});
  // One card, one task that fits: it stays free only if the load ends first, once in fifty times.
  EXPECT_EQ(table.stranded(node(64'000, {1000})), 1000 * StrandedTable::kOne / 50);
}

TEST(StrandedTable, ARestThatNoExpectedTaskFitsIsStrandedWhole) {
  const StrandedTable table(std::vector<ExpectedShape>{{part(500, 1000), 1}}, {.max_cpus = 64'000, .max_cards = 8});
  EXPECT_EQ(table.stranded(node(64'000, {490})), 490 * StrandedTable::kOne);
  EXPECT_LT(table.stranded(node(64'000, {500})), 500 * StrandedTable::kOne / 10);
}

TEST(StrandedTable, MemoryCountsAsTheCpusThatTheLoadUsesWithIt) {
  PackShape shape = whole(1, 4000);
  shape.memory = 16'000;
  const StrandedTable table(std::vector<ExpectedShape>{{shape, 1}}, {.max_cpus = 64'000, .max_cards = 8});
  PackNode scarce = node(64'000, {1000});
  scarce.memory = 14'000;
  EXPECT_EQ(table.stranded(scarce), 1000 * StrandedTable::kOne);
}

TEST(StrandedTable, WithoutAnExpectationAllThatIsFreeIsStranded) {
  const StrandedTable table({}, {.max_cpus = 64'000, .max_cards = 8});
  EXPECT_EQ(table.stranded(node(64'000, {1000, 300})), 1300 * StrandedTable::kOne);
}

TEST(Packer, AFractionCompletesTheSharedCard) {
  Packer packer({node(64'000, {1000, 400, 600})});
  packer.expect(std::vector<ExpectedShape>{{part(400, 1000), 1}, {part(600, 1000), 1}});
  EXPECT_EQ(packer.choose(packer.add_shape(part(600, 1000))), (Packer::Choice{.node = 0, .card = 2}));
}

TEST(Packer, ATaskWithManyCpusGoesWhereCpusAreToSpare) {
  Packer packer({node(16'000, {1000, 1000}), node(64'000, {1000, 1000})});
  packer.expect(std::vector<ExpectedShape>{{whole(1, 8000), 4}, {whole(1, 14'000), 1}});
  EXPECT_EQ(packer.choose(packer.add_shape(whole(1, 14'000)))->node, 1U);
  EXPECT_EQ(packer.choose(packer.add_shape({.cpus = 14'000}))->node, 1U);
}

TEST(Packer, OneCardLeavesTheWholeNodeToThoseWhoNeedIt) {
  Packer packer({node(64'000, std::vector<std::uint16_t>(8, 1000)), node(64'000, {1000, 0, 0, 0, 0, 0, 0, 0})});
  packer.expect(std::vector<ExpectedShape>{{whole(1, 4000), 1}, {whole(8, 32'000), 1}});
  EXPECT_EQ(packer.choose(packer.add_shape(whole(1, 4000)))->node, 1U);
}

TEST(Packer, OfEqualNodesTheFirstOneIsTaken) {
  Packer packer({node(8000, {1000}), node(8000, {1000})});
  packer.expect(std::vector<ExpectedShape>{{whole(1, 4000), 1}});
  const auto shape = packer.add_shape(whole(1, 4000));
  EXPECT_EQ(packer.choose(shape)->node, 0U);
  packer.place(shape, {.node = 0});
  EXPECT_EQ(packer.choose(shape)->node, 1U);
  packer.place(shape, {.node = 1});
  EXPECT_EQ(packer.choose(shape), std::nullopt);
}

TEST(Packer, AKindThatIsNotAcceptedIsNeverChosen) {
  Packer packer({node(64'000, {1000}, 3), node(64'000, {1000}, 5)});
  PackShape picky = whole(1, 4000);
  picky.kinds = std::uint64_t{1} << 5U;
  EXPECT_EQ(packer.choose(packer.add_shape(picky))->node, 1U);
}

TEST(Packer, AnUnusableCardIsNeverChosen) {
  Packer packer({node(64'000, {0, 0}), node(64'000, {0, 1000})});
  const auto shape = packer.add_shape(part(200, 1000));
  EXPECT_EQ(packer.choose(shape), (Packer::Choice{.node = 1, .card = 1}));
  packer.put_node(1, node(64'000, {0, 0}));
  EXPECT_EQ(packer.choose(shape), std::nullopt);
}

/// Numbers that follow from a seed.
struct Draw {
  std::uint64_t state;
  std::int64_t below(std::int64_t end) {
    state = mix64(state);
    return static_cast<std::int64_t>(state % static_cast<std::uint64_t>(end));
  }
};

PackShape random_shape(Draw& draw) {
  PackShape shape = {.cpus = draw.below(20) * 700, .memory = draw.below(40)};
  if (const auto sort = draw.below(4); sort == 1) {
    shape.cards = static_cast<std::uint16_t>(1 + draw.below(4));
    shape.milli = 1000;
  } else if (sort > 1) {
    shape.cards = 1;
    shape.milli = static_cast<std::uint16_t>(1 + draw.below(1000));
  }
  if (draw.below(3) == 0) {
    shape.kinds = static_cast<std::uint64_t>(1 + draw.below(7));
  }
  return shape;
}

PackNode random_node(Draw& draw) {
  PackNode made = {
      .cpus = draw.below(64'000), .memory = draw.below(400), .kind = static_cast<std::uint16_t>(draw.below(3))};
  for (std::int64_t cards = draw.below(9); cards > 0; --cards) {
    made.cards.push_back(static_cast<std::uint16_t>(draw.below(2) == 0 ? 1000 : draw.below(1000)));
  }
  return made;
}

/// Looks at every node with nothing kept: the least growth, then the lowest index.
std::optional<std::size_t> best_by_looking_at_all(const Packer& packer, Packer::ShapeIndex shape) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < packer.node_count(); ++i) {
    if (fits(packer.node(i), packer.shape(shape)) &&
        (!best.has_value() || packer.score(shape, i) < packer.score(shape, *best))) {
      best = i;
    }
  }
  return best;
}

RC_GTEST_PROP(PackerProperty, KeptScoresChooseAsAFreshLookAtEveryNodeDoes, (std::uint64_t seed)) {
  Draw draw{seed};
  // The largest node is there from the start: growing limits would build tables again and again.
  std::vector<PackNode> nodes = {node(64'000, std::vector<std::uint16_t>(8, 1000))};
  for (std::int64_t count = draw.below(12); count > 0; --count) {
    nodes.push_back(random_node(draw));
  }
  Packer packer(nodes);
  std::vector<ExpectedShape> expected;
  std::vector<Packer::ShapeIndex> shapes;
  for (std::int64_t count = 1 + draw.below(8); count > 0; --count) {
    expected.push_back({random_shape(draw), draw.below(100)});
    shapes.push_back(packer.add_shape(expected.back().shape));
  }
  packer.expect(expected);
  for (int step = 0; step < 80; ++step) {
    const auto shape = shapes[static_cast<std::size_t>(draw.below(static_cast<std::int64_t>(shapes.size())))];
    const auto choice = packer.choose(shape);
    RC_ASSERT((choice.has_value() ? std::optional(choice->node) : std::nullopt) ==
              best_by_looking_at_all(packer, shape));
    if (choice.has_value()) {
      packer.place(shape, *choice);
    }
    if (draw.below(4) == 0) {
      const auto changed = static_cast<std::size_t>(draw.below(static_cast<std::int64_t>(packer.node_count())));
      packer.put_node(changed, random_node(draw));
    }
    if (draw.below(160) == 0) {
      expected.push_back({random_shape(draw), draw.below(100)});
      packer.expect(expected);
    }
  }
}

RC_GTEST_PROP(PackerProperty, ATaskNeverTakesMoreThanIsFree, (std::uint64_t seed)) {
  Draw draw{seed};
  Packer packer({random_node(draw), random_node(draw), random_node(draw)});
  for (int step = 0; step < 40; ++step) {
    const auto shape = packer.add_shape(random_shape(draw));
    const auto choice = packer.choose(shape);
    if (!choice.has_value()) {
      continue;
    }
    const PackNode before = packer.node(choice->node);
    packer.place(shape, *choice);
    const PackNode& after = packer.node(choice->node);
    RC_ASSERT(after.cpus >= 0);
    RC_ASSERT(after.memory >= 0);
    std::int64_t taken = 0;
    for (std::size_t i = 0; i < after.cards.size(); ++i) {
      RC_ASSERT(after.cards[i] <= before.cards[i]);
      taken += before.cards[i] - after.cards[i];
    }
    RC_ASSERT(taken == packer.shape(shape).card_milli());
  }
}

}  // namespace
}  // namespace busbar::sched::place
