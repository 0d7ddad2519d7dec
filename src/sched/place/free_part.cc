#include "sched/place/free_part.h"

#include <algorithm>
#include <functional>

namespace busbar::sched::place {

namespace {

// Claims of some cards the part that the task wants, or what there is.
void claim_cards(FreeMap& map, const model::TaskPlacement& task, FreePart& part) {
  model::TaskPlacement whole = task;
  whole.cards.clear();
  std::vector<model::TaskPlacement> pieces;
  for (const std::uint16_t index : task.cards) {
    const NodeSlot& node = *map.find_node(task.node);
    const std::int64_t free = index < node.card_count ? kWholeCard - map.cards_of(node)[index].used : 0;
    if (free >= task.per_card.value) {
      whole.cards.push_back(index);
    } else if (free > 0) {
      pieces.push_back({.rank = task.rank, .node = task.node, .cards = {index}, .per_card = {free}});
    }
  }
  part.is_whole = part.is_whole && whole.cards == task.cards;
  pieces.push_back(std::move(whole));
  for (model::TaskPlacement& piece : pieces) {
    map.claim({.tasks = {piece}});
    part.placement.tasks.push_back(std::move(piece));
  }
}

}  // namespace

FreePart claim_free_part(FreeMap& map, const model::Placement& wanted) {
  FreePart part = {.placement = {.chip = wanted.chip}, .is_whole = true};
  for (const model::TaskPlacement& task : wanted.tasks) {
    const NodeSlot& node = *map.find_node(task.node);
    model::TaskPlacement free = task;
    if (node.limits_cpus) {
      free.cpus.value = std::clamp<std::int64_t>(node.cpus_free, 0, task.cpus.value);
    }
    if (node.limits_memory) {
      free.memory.value = std::clamp<std::int64_t>(node.memory_free, 0, task.memory.value);
    }
    part.is_whole = part.is_whole && free.cpus == task.cpus && free.memory == task.memory;
    claim_cards(map, free, part);
  }
  return part;
}

bool exists_on(const FreeMap& map, const model::Placement& placement) {
  return std::all_of(placement.tasks.begin(), placement.tasks.end(), [&](const model::TaskPlacement& task) {
    const NodeSlot* node = map.find_node(task.node);
    return node != nullptr && task.per_card.value > 0 && task.per_card.value <= kWholeCard && task.cpus.value >= 0 &&
           task.memory.value >= 0 &&
           std::adjacent_find(task.cards.begin(), task.cards.end(), std::greater_equal<>()) == task.cards.end() &&
           (task.cards.empty() || task.cards.back() < node->card_count);
  });
}

}  // namespace busbar::sched::place
