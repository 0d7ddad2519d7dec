#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "sched/place/fabric_order.h"
#include "sched/place/free_index.h"
#include "sched/place/placer.h"
#include "sched/random_stream.h"

namespace busbar::sched::place {
namespace {

using testing::Dice;

constexpr std::uint32_t kMostTasks = 12;

/// Random nodes of two chips below a fabric of random depth, and a map of them
/// with its index.
struct Ground {
  explicit Ground(std::uint64_t seed, std::uint64_t most_nodes) : dice(seed) {
    const std::uint64_t depth = dice.roll(4);
    const std::uint64_t count = 1 + dice.roll(most_nodes);
    for (std::uint64_t id = 1; id <= count; ++id) {
      nodes.push_back(make_node(id, depth));
    }
    build();
  }

  model::Node make_node(std::uint64_t id, std::uint64_t depth) {
    model::Node node = {.id = {id * 7 % 1009}};
    node.name = "n" + std::to_string(id);
    // Some name a shorter path: their topmost domain counts for the levels
    // above.
    std::uint64_t part = dice.roll(8);
    for (std::uint64_t level = dice.chance(15) ? 1 : 0; level < depth; ++level, part /= 2) {
      node.fabric.push_back("d" + std::to_string(part));
    }
    const std::uint64_t cards = dice.chance(10) ? 0 : 1 + dice.roll(8);
    for (std::uint16_t i = 0; i < cards; ++i) {
      node.cards.push_back({.index = i,
                            .chip = dice.chance(80) ? "a" : "b",
                            .numa_node = static_cast<std::int16_t>(i / 2),
                            .link_group = static_cast<std::uint16_t>(i / 4),
                            .health = dice.chance(5) ? model::CardHealth::kUnhealthy : model::CardHealth::kHealthy});
    }
    node.cpus = {dice.chance(30) ? 0 : static_cast<std::int64_t>(1 + dice.roll(16)) * 1000};
    node.memory = {dice.chance(50) ? 0 : static_cast<std::int64_t>(1 + dice.roll(64))};
    if (dice.chance(40)) node.labels = {{"pool", dice.chance(50) ? "fast" : "slow"}};
    if (dice.chance(5)) node.state = model::NodeState::kDrained;
    return node;
  }

  void build() {
    std::vector<const model::Node*> pointers;
    for (const model::Node& node : nodes) {
      map.put_node(node);
      pointers.push_back(&node);
    }
    fabric = std::make_shared<const FabricOrder>(pointers, map);
    map.attach(fabric);
  }

  GangNeed make_need() {
    GangNeed need;
    need.task.chip = map.find_chip(dice.chance(80) ? "a" : "b");
    if (need.task.chip != kNoChip) {
      if (dice.chance(15)) {
        need.task.fraction = 100 * static_cast<std::int64_t>(1 + dice.roll(9));
      } else {
        need.task.cards = static_cast<std::uint32_t>(1 + dice.roll(4));
      }
    }
    need.task.cpus = static_cast<std::int64_t>(dice.roll(4)) * 500;
    need.task.memory = static_cast<std::int64_t>(dice.roll(8));
    need.min_tasks = static_cast<std::uint32_t>(1 + dice.roll(kMostTasks));
    need.max_tasks = need.min_tasks + static_cast<std::uint32_t>(dice.chance(30) ? dice.roll(4) : 0);
    if (dice.chance(25)) need.required_level = dice.roll(4);
    if (dice.chance(25)) need.preferred_level = dice.roll(4);
    if (dice.chance(20)) need.pool = dice.chance(50) ? "fast" : "slow";
    if (dice.chance(15)) {
      auto allowed = std::make_shared<NodeFilter>();
      for (std::uint32_t i = 0; i < map.node_count(); ++i) allowed->push_back(dice.chance(70));
      need.allowed = std::move(allowed);
    }
    return need;
  }

  /// Places one gang or ends one, now and then drains a node or brings it back.
  void step() {
    if (dice.chance(5)) {
      model::Node& node = nodes[dice.roll(nodes.size())];
      node.state = node.state == model::NodeState::kReady ? model::NodeState::kDrained : model::NodeState::kReady;
      map.put_node(node);
    } else if (!placed.empty() && dice.chance(45)) {
      const std::size_t at = dice.roll(placed.size());
      map.release(placed[at]);
      placed.erase(placed.begin() + static_cast<std::ptrdiff_t>(at));
    } else if (auto found = Placer(map, *fabric).place(make_need())) {
      RC_ASSERT(map.can_claim(found->placement));
      map.claim(found->placement);
      placed.push_back(std::move(found->placement));
    }
  }

  Dice dice;
  std::vector<model::Node> nodes;
  FreeMap map;
  std::shared_ptr<const FabricOrder> fabric;
  std::vector<model::Placement> placed;
};

void check_counts(const OrderCounts& kept, const OrderCounts& fresh) {
  RC_ASSERT(kept.classes == fresh.classes);
  RC_ASSERT(kept.groups_in_class == fresh.groups_in_class);
  RC_ASSERT(kept.in_leaf == fresh.in_leaf);
  RC_ASSERT(kept.room == fresh.room);
}

RC_GTEST_PROP(FreeIndexProperty, IsWhatAScanWouldCount, (std::uint64_t seed)) {
  Ground ground(seed, 40);
  for (int i = 0; i < 60; ++i) {
    ground.step();
    FreeMap fresh = ground.map;
    fresh.detach();
    fresh.attach(ground.fabric);
    for (std::uint32_t order = 0; order < ground.fabric->order_count(); ++order) {
      const OrderCounts* kept = ground.map.counts(order);
      RC_ASSERT((kept == nullptr) == (fresh.counts(order) == nullptr));
      if (kept != nullptr) check_counts(*kept, *fresh.counts(order));
    }
  }
}

// The nodes of a domain, as the bound and as a filter, for the counts and for the measure.
RC_GTEST_PROP(PlacerProperty, StaysInTheDomainThatItIsBoundTo, (std::uint64_t seed)) {
  Ground ground(seed, 40);
  for (int i = 0; i < 60; ++i) {
    ground.step();
    GangNeed bound = ground.make_need();
    const Vicinity around = {.node = static_cast<std::uint32_t>(ground.dice.roll(ground.map.node_count())),
                             .level = 1 + ground.dice.roll(5)};
    NodeFilter inside(ground.map.node_count(), false);
    for (const std::uint32_t node : ground.fabric->nodes_around(around.node, around.level)) {
      inside[node] = bound.allowed == nullptr || (*bound.allowed)[node];
    }
    GangNeed filtered = bound;
    filtered.allowed = std::make_shared<const NodeFilter>(inside);
    bound.within = around;
    FreeMap uncounted = ground.map;
    uncounted.detach();
    const auto expected = Placer(uncounted, *ground.fabric).place(filtered);
    const auto measured = Placer(uncounted, *ground.fabric).place(bound);
    RC_ASSERT(measured.has_value() == expected.has_value());
    if (expected.has_value()) RC_ASSERT(measured->placement == expected->placement);
    const auto counted = Placer(ground.map, *ground.fabric).place(bound);
    RC_ASSERT(counted.has_value() == expected.has_value());
    if (counted.has_value()) {
      RC_ASSERT(counted->placement.tasks.size() == expected->placement.tasks.size());
      for (const model::TaskPlacement& task : counted->placement.tasks) {
        RC_ASSERT(inside[ground.map.find_node(task.node)->index]);
      }
    }
  }
}

// A domain is the nodes whose paths say so; the smallest that has two nodes is where their paths meet.
RC_GTEST_PROP(FabricOrderProperty, FindsTheSmallestDomainAroundNodes, (std::uint64_t seed)) {
  Ground ground(seed, 30);
  const FabricOrder& fabric = *ground.fabric;
  const auto node = static_cast<std::uint32_t>(ground.dice.roll(ground.map.node_count()));
  for (std::size_t level = 1; level <= fabric.level_count() + 1; ++level) {
    const std::vector<std::uint32_t> around = fabric.nodes_around(node, level);
    for (std::uint32_t other = 0; other < ground.map.node_count(); ++other) {
      const bool is_near = std::find(around.begin(), around.end(), other) != around.end();
      const std::vector<std::uint32_t> both = {node, other};
      RC_ASSERT(is_near == (fabric.common_level(both) <= level));
    }
  }
}

RC_GTEST_PROP(FreeMapProperty, ComesBackToItsStartWhenAllIsReleased, (std::uint64_t seed)) {
  Ground ground(seed, 20);
  for (int i = 0; i < 40; ++i) ground.step();
  const FreeMap copy = ground.map;
  for (const model::Placement& placement : ground.placed) ground.map.release(placement);
  const FreeMap idle = ground.map.idle();
  for (std::uint32_t i = 0; i < idle.node_count(); ++i) {
    const auto expected = idle.groups_of(idle.node(i));
    const auto actual = ground.map.groups_of(ground.map.node(i));
    for (std::size_t g = 0; g < expected.size(); ++g) {
      RC_ASSERT(actual[g].free_whole == expected[g].free_whole);
      RC_ASSERT(actual[g].free_mask == expected[g].free_mask);
      RC_ASSERT(actual[g].partial == 0);
    }
    RC_ASSERT(ground.map.node(i).cpus_free == idle.node(i).cpus_total);
  }
  // The copy did not follow: whole cards are taken there.
  for (const model::Placement& placement : ground.placed) {
    const model::TaskPlacement& task = placement.tasks.front();
    RC_ASSERT(task.cards.empty() || task.per_card.value < kWholeCard || !copy.can_claim(placement));
  }
}

RC_GTEST_PROP(FreeMapProperty, TellsOthersWhichNodesChanged, (std::uint64_t seed)) {
  Ground ground(seed, 20);
  std::uint64_t seen = ground.map.change_count();
  std::map<std::uint32_t, std::int64_t> mirror;
  for (std::uint32_t i = 0; i < ground.map.node_count(); ++i) mirror[i] = ground.map.node(i).cpus_free;
  for (int i = 0; i < 40; ++i) {
    ground.step();
    const auto changed = ground.map.changes_since(seen);
    RC_ASSERT(changed.has_value());
    for (const std::uint32_t node : *changed) mirror[node] = ground.map.node(node).cpus_free;
    seen = ground.map.change_count();
    for (const auto& [node, cpus] : mirror) RC_ASSERT(cpus == ground.map.node(node).cpus_free);
  }
}

std::uint32_t tasks_on(const Ground& ground, const GangNeed& need, const model::Node& node) {
  const NodeSlot& slot = *ground.map.find_node(node.id);
  const bool is_allowed = (need.allowed == nullptr || (*need.allowed)[slot.index]) &&
                          (need.pool.empty() || (!node.labels.empty() && node.labels.front().second == need.pool));
  for (const GroupSlot& group : ground.map.groups_of(slot)) {
    if (group.chip == need.task.chip && is_allowed) {
      return capacity_of(ground.map, group, need.task, need.max_tasks);
    }
  }
  return 0;
}

/// Room in each domain of a level, by the rule as the README words it.
std::vector<std::uint64_t> rooms(const Ground& ground, const GangNeed& need, std::size_t level) {
  const std::size_t levels = ground.fabric->level_count();
  std::map<std::vector<std::string>, std::uint64_t> by_domain;
  for (const model::Node& node : ground.nodes) {
    std::vector<std::string> name;
    if (level > levels) {
      name = {};
    } else if (level == 0 || node.fabric.empty()) {
      name = {"node", node.name};
    } else {
      const std::size_t from = std::min(level - 1, node.fabric.size() - 1);
      name.assign(node.fabric.begin() + static_cast<std::ptrdiff_t>(from), node.fabric.end());
    }
    by_domain[name] += tasks_on(ground, need, node);
  }
  std::vector<std::uint64_t> all;
  for (const auto& [name, room] : by_domain) all.push_back(room);
  return all;
}

std::uint64_t best_room(const Ground& ground, const GangNeed& need, std::size_t level) {
  const auto all = rooms(ground, need, level);
  return all.empty() ? 0 : *std::max_element(all.begin(), all.end());
}

std::size_t level_of(const Ground& ground, std::optional<std::size_t> level) {
  return level.has_value() ? std::min(*level, ground.fabric->level_count()) : ground.fabric->level_count() + 1;
}

/// Tasks that must start: as many as fit where the preferred level holds the
/// least number, else where required.
std::uint64_t expected_tasks(const Ground& ground, const GangNeed& need, std::size_t& top) {
  std::vector<std::size_t> tops;
  if (need.preferred_level.has_value()) tops.push_back(level_of(ground, need.preferred_level));
  tops.push_back(level_of(ground, need.required_level));
  for (const std::size_t level : tops) {
    const std::uint64_t fitting = std::min<std::uint64_t>(need.max_tasks, best_room(ground, need, level));
    if (fitting >= need.min_tasks) {
      top = level;
      return fitting;
    }
  }
  return 0;
}

RC_GTEST_PROP(PlacerProperty, AgreesWithBruteForceOnWhatFitsAndOnTheSmallestDomain, (std::uint64_t seed)) {
  Ground ground(seed, 24);
  for (int i = 0; i < 40; ++i) {
    ground.step();
    const GangNeed need = ground.make_need();
    const Placer placer(ground.map, *ground.fabric);
    std::size_t top = 0;
    const std::uint64_t expected = expected_tasks(ground, need, top);
    RC_ASSERT(placer.count_fitting(need) == expected);
    const auto found = placer.place(need);
    RC_ASSERT(found.has_value() == (expected > 0));
    if (!found.has_value()) continue;
    RC_ASSERT(found->placement.tasks.size() == expected);
    std::size_t level = 0;
    while (best_room(ground, need, level) < expected) ++level;
    RC_ASSERT(level <= top);
    const std::string where = level_name(level, ground.fabric->level_count());
    RC_ASSERT(found->where.find(": " + where) != std::string::npos);
  }
}

RC_GTEST_PROP(PlacerProperty, GivesTheSamePlacementWithAndWithoutTheIndex, (std::uint64_t seed)) {
  Ground ground(seed, 40);
  for (int i = 0; i < 40; ++i) {
    ground.step();
    GangNeed need = ground.make_need();
    need.task.cpus = need.task.memory = 0;
    need.allowed = nullptr;
    FreeMap scanned = ground.map;
    scanned.detach();
    const auto by_index = Placer(ground.map, *ground.fabric).place(need);
    const auto by_scan = Placer(scanned, *ground.fabric).place(need);
    RC_ASSERT(by_index.has_value() == by_scan.has_value());
    if (by_index.has_value()) RC_ASSERT(by_index->placement == by_scan->placement);
  }
}

RC_GTEST_PROP(PlacerProperty, OrdersRanksAlongTheFabricAndKeepsGroupsTogether, (std::uint64_t seed)) {
  Ground ground(seed, 30);
  for (int i = 0; i < 30; ++i) {
    ground.step();
    const GangNeed need = ground.make_need();
    const auto found = Placer(ground.map, *ground.fabric).place(need);
    if (!found.has_value()) continue;
    // Each domain's ranks are one run: the ring over the ranks leaves it once.
    std::map<std::uint64_t, const model::Node*> by_id;
    for (const model::Node& node : ground.nodes) by_id[node.id.value] = &node;
    std::set<std::vector<std::string>> left;
    std::vector<std::string> current;
    for (const model::TaskPlacement& task : found->placement.tasks) {
      const std::vector<std::string>& fabric = by_id[task.node.value]->fabric;
      if (fabric != current) {
        RC_ASSERT(fabric.empty() || left.insert(fabric).second);
        current = fabric;
      }
      RC_ASSERT(std::is_sorted(task.cards.begin(), task.cards.end()));
    }
  }
}

TEST(LinkLayout, TakesWholeLinkGroupsThenNumaNodesThenTheTightest) {
  std::vector<CardPosition> cards;
  for (std::uint16_t i = 0; i < 8; ++i) {
    cards.push_back(
        {.card = i, .link_group = static_cast<std::uint16_t>(i / 4), .numa_node = static_cast<std::int16_t>(i / 2)});
  }
  const LinkLayout layout(cards);
  EXPECT_EQ(layout.pick(0xff, 4), 0x0fU);
  EXPECT_EQ(layout.pick(0xfe, 4), 0xf0U) << "the group that is whole";
  EXPECT_EQ(layout.pick(0xff, 2), 0x03U);
  EXPECT_EQ(layout.pick(0xfe, 2), 0x0cU) << "one NUMA node of the group with the least left";
  EXPECT_EQ(layout.pick(0xfe, 1), 0x02U) << "the card whose neighbour is taken";
  EXPECT_EQ(layout.pick(0x77, 4), 0x33U) << "two groups anyway: few NUMA nodes";
  EXPECT_EQ(layout.largest_group(0x73), 3U);
}

TEST(LinkLayout, FillsGreedilyWhereTheTableWouldBeTooLarge) {
  std::vector<CardPosition> cards;
  for (std::uint16_t i = 0; i < 16; ++i) {
    cards.push_back(
        {.card = i, .link_group = static_cast<std::uint16_t>(i / 8), .numa_node = static_cast<std::int16_t>(i / 4)});
  }
  const LinkLayout layout(cards);
  EXPECT_EQ(layout.pick(0xffff, 8), 0x00ffU);
  EXPECT_EQ(layout.pick(0xfff0, 8), 0xff00U);
  EXPECT_EQ(layout.pick(0xfff0, 4), 0x00f0U);
  EXPECT_EQ(layout.pick(0xff0f, 10), 0xff03U) << "a whole group, then the rest";
}

TEST(Placer, PlacesGangsOnAHundredThousandCards) {
  FreeMap map;
  std::vector<model::Node> nodes;
  for (std::uint64_t id = 1; id <= 12'500; ++id) {
    model::Node node = {.id = {id}};
    node.fabric = {"leaf-" + std::to_string(id / 16), "spine-" + std::to_string(id / 256)};
    for (std::uint16_t i = 0; i < 8; ++i) node.cards.push_back({.index = i, .chip = "a"});
    nodes.push_back(std::move(node));
  }
  std::vector<const model::Node*> pointers;
  for (const model::Node& node : nodes) {
    map.put_node(node);
    pointers.push_back(&node);
  }
  const auto fabric = std::make_shared<const FabricOrder>(pointers, map);
  map.attach(fabric);
  std::uint64_t placed = 0;
  for (const std::uint32_t tasks : {128U, 1'000U, 1U, 7'000U}) {
    const GangNeed need = {.task = {.chip = map.find_chip("a"), .cards = 8}, .min_tasks = tasks, .max_tasks = tasks};
    const auto found = Placer(map, *fabric).place(need);
    ASSERT_TRUE(found.has_value());
    map.claim(found->placement);
    placed += found->placement.tasks.size();
  }
  EXPECT_EQ(placed, 8'129U);
  const GangNeed rest = {.task = {.chip = map.find_chip("a"), .cards = 8}, .min_tasks = 1, .max_tasks = 100'000};
  EXPECT_EQ(Placer(map, *fabric).count_fitting(rest), 12'500U - 8'129U);
}

}  // namespace
}  // namespace busbar::sched::place
