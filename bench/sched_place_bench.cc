#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "sched/place/fabric_order.h"
#include "sched/place/placer.h"

// The placer alone, on nodes of 8 cards in leaves of 16 and spines of 256, 90 %
// in use: what src/sched/place claims.
namespace {

using busbar::sched::place::FabricOrder;
using busbar::sched::place::FreeMap;
using busbar::sched::place::GangNeed;
using busbar::sched::place::Placer;

struct Ground {
  FreeMap map;
  std::shared_ptr<const FabricOrder> fabric;

  GangNeed need(std::uint32_t tasks, std::uint32_t cards) const {
    return {.task = {.chip = map.find_chip("h100"), .cards = cards, .cpus = 1000, .memory = 1},
            .min_tasks = tasks,
            .max_tasks = tasks};
  }
};

Ground make_ground(std::int64_t cards) {
  Ground ground;
  std::vector<busbar::model::Node> nodes;
  for (std::uint64_t id = 1; id <= static_cast<std::uint64_t>(cards / 8); ++id) {
    busbar::model::Node node = {.id = {id}};
    node.cpus = {128'000};
    node.memory = {std::int64_t{1} << 40};
    node.fabric = {"leaf-" + std::to_string(id / 16), "spine-" + std::to_string(id / 256)};
    for (std::uint16_t i = 0; i < 8; ++i) {
      node.cards.push_back({.index = i, .chip = "h100", .link_group = static_cast<std::uint16_t>(i / 4)});
    }
    nodes.push_back(std::move(node));
  }
  std::vector<const busbar::model::Node*> pointers;
  for (const auto& node : nodes) {
    ground.map.put_node(node);
    pointers.push_back(&node);
  }
  ground.fabric = std::make_shared<const FabricOrder>(pointers, ground.map);
  ground.map.attach(ground.fabric);
  // Seven of eight nodes full, some of the others in part.
  for (const auto& node : nodes) {
    const std::uint64_t roll = busbar::mix64(node.id.value) % 64;
    const auto used = static_cast<std::uint16_t>(roll < 56 ? 8 : roll < 60 ? roll % 8 : 0);
    busbar::model::Placement placement = {.tasks = {{.node = node.id}}, .chip = "h100"};
    for (std::uint16_t i = 0; i < used; ++i) placement.tasks[0].cards.push_back(i);
    ground.map.claim(placement);
  }
  return ground;
}

// Choose cards, take them, give them back.
void place_claim_release(benchmark::State& state) {
  Ground ground = make_ground(state.range(0));
  const GangNeed need =
      ground.need(static_cast<std::uint32_t>(state.range(1)), static_cast<std::uint32_t>(state.range(2)));
  const Placer placer(ground.map, *ground.fabric);
  for (auto _ : state) {
    const auto found = placer.place(need);
    CHECK(found.has_value(), "no room");
    ground.map.claim(found->placement);
    ground.map.release(found->placement);
  }
}
BENCHMARK(place_claim_release)
    ->ArgsProduct({{10'000, 100'000}, {1}, {1, 4, 8}})
    ->Args({10'000, 8, 8})
    ->Args({10'000, 64, 8})
    ->Args({100'000, 8, 8})
    ->Args({100'000, 128, 8});

// The choice alone, and the same by measuring every node.
void count_fitting(benchmark::State& state) {
  Ground ground = make_ground(state.range(0));
  const GangNeed need = ground.need(8, 8);
  FreeMap map = ground.map;
  if (state.range(1) == 0) map.detach();
  const Placer placer(map, *ground.fabric);
  for (auto _ : state) {
    benchmark::DoNotOptimize(placer.count_fitting(need));
  }
  state.SetLabel(state.range(1) == 0 ? "by scan" : "by index");
}
BENCHMARK(count_fitting)->ArgsProduct({{10'000, 100'000}, {0, 1}});

void copy_map(benchmark::State& state) {
  const Ground ground = make_ground(state.range(0));
  for (auto _ : state) {
    FreeMap copy = ground.map;
    benchmark::DoNotOptimize(copy.node_count());
  }
  state.counters["bytes_per_card"] =
      static_cast<double>(ground.map.memory_bytes()) / static_cast<double>(state.range(0));
}
BENCHMARK(copy_map)->Arg(10'000)->Arg(100'000);

}  // namespace
