#include "sched/place/free_map.h"

#include <algorithm>

#include "base/check.h"

namespace busbar::sched::place {
namespace {

// Counts one card into its group (or, with sign -1, out of it).
void count_card(GroupSlot& group, const CardSlot& card, int sign) {
  if (!card.is_healthy) {
    return;
  }
  if (card.used == 0) {
    group.free_whole = static_cast<std::uint16_t>(group.free_whole + sign);
  } else if (card.used < kWholeCard) {
    group.partial = static_cast<std::uint16_t>(group.partial + sign);
  }
}

std::vector<ChipIndex> chips_of(std::span<const CardSlot> cards) {
  std::vector<ChipIndex> chips = {kNoChip};
  for (const CardSlot& card : cards) {
    if (std::find(chips.begin(), chips.end(), card.chip) == chips.end()) {
      chips.push_back(card.chip);
    }
  }
  std::sort(chips.begin(), chips.end());
  return chips;
}

}  // namespace

FreeMap::FreeMap() : chips_(std::make_shared<const std::vector<std::string>>(1)) {}

ChipIndex FreeMap::find_chip(std::string_view name) const {
  const auto at = std::find(chips_->begin() + 1, chips_->end(), name);
  return at == chips_->end() ? kNoChip : static_cast<ChipIndex>(at - chips_->begin());
}

ChipIndex FreeMap::intern(std::string_view name) {
  if (const ChipIndex known = find_chip(name); known != kNoChip) {
    return known;
  }
  auto longer = std::make_shared<std::vector<std::string>>(*chips_);
  longer->emplace_back(name);
  chips_ = std::move(longer);
  return static_cast<ChipIndex>(chips_->size() - 1);
}

std::vector<ChipIndex> FreeMap::chips_by_name() const {
  std::vector<ChipIndex> chips;
  for (std::size_t i = 1; i < chips_->size(); ++i) {
    chips.push_back(static_cast<ChipIndex>(i));
  }
  std::sort(chips.begin(), chips.end(), [this](ChipIndex a, ChipIndex b) { return chip_name(a) < chip_name(b); });
  return chips;
}

const NodeSlot* FreeMap::find_node(model::NodeId id) const {
  const std::uint32_t* index = slots_.find(id);
  return index == nullptr ? nullptr : &nodes_[*index];
}

void FreeMap::put_node(const model::Node& node) {
  std::uint32_t index = static_cast<std::uint32_t>(nodes_.size());
  if (const std::uint32_t* known = slots_.find(node.id)) {
    index = *known;
  } else {
    nodes_.push_back({.id = node.id});
    slots_.put(node.id, index);
  }
  NodeSlot& slot = nodes_[index];
  fill_cards(slot, node);
  fill_groups(index);
  slot.is_usable = node.state == model::NodeState::kReady;
  // CPU cards that an operator offers beyond the cores bring their CPU with them: two CPU cards on one core can run.
  const std::int64_t cpu_cards = slot.card_count - slot.accelerators;
  const std::int64_t cpus = node.cpus.value > 0 ? std::max(node.cpus.value, cpu_cards * 1000) : 0;
  slot.limits_cpus = cpus > 0;
  slot.cpus_free += cpus - slot.cpus_total;
  slot.cpus_total = cpus;
  slot.limits_memory = node.memory.value > 0;
  slot.memory_free += node.memory.value - slot.memory_total;
  slot.memory_total = node.memory.value;
}

void FreeMap::fill_cards(NodeSlot& slot, const model::Node& node) {
  const auto count = static_cast<std::uint16_t>(node.cards.size());
  if (count != slot.card_count) {
    // A new range; the old one is lost until the next snapshot. Declarations hardly ever change size.
    const auto first = static_cast<std::uint32_t>(cards_.size());
    cards_.resize(cards_.size() + count);
    for (std::uint16_t i = 0; i < std::min(count, slot.card_count); ++i) {
      cards_[first + i].used = cards_[slot.first_card + i].used;
    }
    slot.first_card = first;
    slot.card_count = count;
  }
  slot.accelerators = 0;
  for (std::uint16_t i = 0; i < count; ++i) {
    const model::Card& card = node.cards[i];
    const ChipIndex chip = intern(card.chip);
    CardSlot& out = cards_[slot.first_card + i];
    out.chip = chip;
    out.link_group = card.link_group;
    out.is_healthy = card.health == model::CardHealth::kHealthy;
    slot.accelerators = static_cast<std::uint16_t>(slot.accelerators + (card.chip == "cpu" ? 0 : 1));
  }
}

void FreeMap::fill_groups(std::uint32_t index) {
  NodeSlot& slot = nodes_[index];
  const std::vector<ChipIndex> chips = chips_of(cards_of(slot));
  if (chips.size() != slot.group_count) {
    slot.first_group = static_cast<std::uint32_t>(groups_.size());
    slot.group_count = static_cast<std::uint16_t>(chips.size());
    groups_.resize(groups_.size() + chips.size());
  }
  for (std::size_t i = 0; i < chips.size(); ++i) {
    groups_[slot.first_group + i] = {.node = index, .chip = chips[i]};
  }
  recount(slot);
}

void FreeMap::recount(const NodeSlot& slot) {
  for (std::uint16_t g = 0; g < slot.group_count; ++g) {
    GroupSlot& group = groups_[slot.first_group + g];
    group.total = group.free_whole = group.partial = 0;
    for (const CardSlot& card : cards_of(slot)) {
      if (card.chip == group.chip) {
        ++group.total;
        count_card(group, card, 1);
      }
    }
  }
}

bool FreeMap::can_claim(const model::Placement& placement) const {
  FreeMap trial = *this;
  for (const model::TaskPlacement& task : placement.tasks) {
    const NodeSlot* slot = trial.find_node(task.node);
    if (slot == nullptr || task.per_card.value <= 0 || task.per_card.value > kWholeCard) {
      return false;
    }
    for (const std::uint16_t index : task.cards) {
      if (index >= slot->card_count || trial.cards_[slot->first_card + index].used + task.per_card.value > kWholeCard) {
        return false;
      }
      trial.cards_[slot->first_card + index].used =
          static_cast<std::uint16_t>(trial.cards_[slot->first_card + index].used + task.per_card.value);
    }
  }
  return true;
}

void FreeMap::change(const model::Placement& placement, int sign) {
  for (const model::TaskPlacement& task : placement.tasks) {
    const std::uint32_t* index = slots_.find(task.node);
    CHECK(index != nullptr, "placement on an unknown node");
    NodeSlot& slot = nodes_[*index];
    slot.cpus_free -= sign * task.cpus.value;
    slot.memory_free -= sign * task.memory.value;
    for (const std::uint16_t card_index : task.cards) {
      CardSlot& card = cards_[slot.first_card + card_index];
      GroupSlot* group = &groups_[slot.first_group];
      while (group->chip != card.chip) {
        ++group;
      }
      count_card(*group, card, -1);
      card.used = static_cast<std::uint16_t>(card.used + sign * task.per_card.value);
      CHECK(card.used <= kWholeCard, "card over-allocated");
      count_card(*group, card, 1);
    }
  }
}

FreeMap FreeMap::idle() const {
  FreeMap copy = *this;
  for (CardSlot& card : copy.cards_) {
    card.used = 0;
  }
  for (NodeSlot& slot : copy.nodes_) {
    slot.cpus_free = slot.cpus_total;
    slot.memory_free = slot.memory_total;
    copy.recount(slot);
  }
  return copy;
}

FreeMap FreeMap::declared() const {
  FreeMap copy = *this;
  for (CardSlot& card : copy.cards_) {
    card.is_healthy = true;
  }
  for (NodeSlot& slot : copy.nodes_) {
    slot.is_usable = true;
  }
  return copy.idle();
}

}  // namespace busbar::sched::place
