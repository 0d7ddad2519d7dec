#include "sched/place/free_map.h"

#include <algorithm>

#include "base/check.h"
#include "sched/place/fabric_order.h"
#include "sched/place/free_index.h"

namespace busbar::sched::place {
namespace {

constexpr std::size_t kMaxChanges = 2048;

// Counts one card into its group (or, with sign -1, out of it).
void count_card(GroupSlot& group, const CardSlot& card, int sign) {
  if (!card.is_healthy) {
    return;
  }
  if (card.used == 0) {
    group.free_whole = static_cast<std::uint16_t>(group.free_whole + sign);
    if (group.total <= kMaskCards) {
      group.free_mask ^= CardMask{1} << card.ordinal;
    }
  } else if (card.used < kWholeCard) {
    group.partial = static_cast<std::uint16_t>(group.partial + sign);
  }
}

// What most claims are made of: cards of one chip that nobody uses are taken whole, or such are given back. Counts them
// into the group in one go; how many of the first cards it was, what follows is of another kind.
std::size_t take_whole(GroupSlot& group, CardSlot* slots, std::span<const std::uint16_t> cards, bool is_taken) {
  const auto before = static_cast<std::uint16_t>(is_taken ? 0 : kWholeCard);
  const auto after = static_cast<std::uint16_t>(is_taken ? kWholeCard : 0);
  CardMask mask = 0;
  int healthy = 0;
  std::size_t count = 0;
  for (; count < cards.size(); ++count) {
    CardSlot& card = slots[cards[count]];
    if (card.chip != group.chip || card.used != before) {
      break;
    }
    card.used = after;
    healthy += card.is_healthy ? 1 : 0;
    mask |= CardMask{card.is_healthy ? 1U : 0U} << (card.ordinal % kMaskCards);
  }
  group.free_whole = static_cast<std::uint16_t>(group.free_whole + (is_taken ? -healthy : healthy));
  group.free_mask ^= group.total <= kMaskCards ? mask : 0;
  return count;
}

// The first group is that of no chip: it has no cards to count.
void count_groups(FreeIndex::Update& update, const NodeSlot& slot, std::span<const GroupSlot> groups) {
  for (std::uint16_t g = 1; g < groups.size(); ++g) {
    update.put({.node = slot.index, .index = g},
               slot.is_usable ? free_class(groups[g].free_whole, groups[g].together) : FreeClass{0});
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

// Ids up to this are looked up in a flat table: dense ones, and small clusters whatever their numbering.
std::uint64_t dense_limit(std::uint32_t nodes) {
  return 4096 + std::uint64_t{8} * nodes;
}

}  // namespace

FreeMap::FreeMap() {
  chips_.write().emplace_back();
}
FreeMap::~FreeMap() = default;
FreeMap::FreeMap(FreeMap&&) noexcept = default;
FreeMap& FreeMap::operator=(FreeMap&&) noexcept = default;

FreeMap::FreeMap(const FreeMap& other)
    : blocks_(other.blocks_),
      node_count_(other.node_count_),
      dense_slots_(other.dense_slots_),
      slots_(other.slots_),
      chips_(other.chips_),
      layouts_(other.layouts_),
      fabric_(other.fabric_),
      index_(other.index_ == nullptr ? nullptr : std::make_unique<FreeIndex>(*other.index_)),
      changes_(other.changes_),
      change_count_(other.change_count_) {}

FreeMap& FreeMap::operator=(const FreeMap& other) {
  if (this != &other) {
    *this = FreeMap(other);
  }
  return *this;
}

ChipIndex FreeMap::find_chip(std::string_view name) const {
  const std::vector<std::string>& chips = chips_.read();
  const auto at = std::find(chips.begin() + 1, chips.end(), name);
  return at == chips.end() ? kNoChip : static_cast<ChipIndex>(at - chips.begin());
}

ChipIndex FreeMap::intern_chip(std::string_view name) {
  if (const ChipIndex known = find_chip(name); known != kNoChip) {
    return known;
  }
  chips_.write().emplace_back(name);
  return static_cast<ChipIndex>(chips_.read().size() - 1);
}

std::uint16_t FreeMap::intern_layout(std::span<const CardPosition> cards) {
  const auto& known = layouts_.read();
  const auto at = std::find_if(known.begin(), known.end(), [&](const auto& layout) { return layout->is_of(cards); });
  if (at != known.end()) {
    return static_cast<std::uint16_t>(at - known.begin());
  }
  layouts_.write().push_back(std::make_shared<const LinkLayout>(cards));
  return static_cast<std::uint16_t>(layouts_.read().size() - 1);
}

std::vector<ChipIndex> FreeMap::chips_by_name() const {
  std::vector<ChipIndex> chips;
  for (std::size_t i = 1; i < chips_.read().size(); ++i) {
    chips.push_back(static_cast<ChipIndex>(i));
  }
  std::sort(chips.begin(), chips.end(), [this](ChipIndex a, ChipIndex b) { return chip_name(a) < chip_name(b); });
  return chips;
}

std::optional<std::uint32_t> FreeMap::index_of(model::NodeId id) const {
  const std::vector<std::uint32_t>& dense = dense_slots_.read();
  if (id.value < dense.size() && dense[id.value] != UINT32_MAX) {
    return dense[id.value];
  }
  const std::uint32_t* index = slots_.find(id);
  return index == nullptr ? std::nullopt : std::optional(*index);
}

const NodeSlot* FreeMap::find_node(model::NodeId id) const {
  const std::optional<std::uint32_t> index = index_of(id);
  return index.has_value() ? &node(*index) : nullptr;
}

NodeSlot& FreeMap::add_node(model::NodeId id) {
  const std::uint32_t index = node_count_++;
  if (index / kBlock == blocks_.size()) {
    blocks_.emplace_back();
  }
  if (id.value < dense_limit(node_count_)) {
    std::vector<std::uint32_t>& dense = dense_slots_.write();
    if (dense.size() <= id.value) {
      dense.resize(id.value + 1, UINT32_MAX);
    }
    dense[id.value] = index;
  } else {
    slots_.put(id, index);
  }
  return blocks_.back().write().nodes.emplace_back(NodeSlot{.id = id, .index = index});
}

void FreeMap::put_node(const model::Node& node) {
  const std::optional<std::uint32_t> known = index_of(node.id);
  const std::uint32_t index = known.has_value() ? *known : add_node(node.id).index;
  Block& block = blocks_[index / kBlock].write();
  NodeSlot& slot = block.nodes[index % kBlock];
  fill_cards(block, slot, node);
  fill_groups(block, slot, node);
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
  if (index_ != nullptr) {
    FreeIndex::Update update(*index_, *fabric_);
    count_groups(update, slot, groups_of(slot));
  }
  note_change(slot);
}

void FreeMap::fill_cards(Block& block, NodeSlot& slot, const model::Node& node) {
  const auto count = static_cast<std::uint16_t>(node.cards.size());
  if (count != slot.card_count) {
    // A new range; the old one is lost until the next snapshot. Declarations hardly ever change size.
    const auto first = static_cast<std::uint32_t>(block.cards.size());
    block.cards.resize(block.cards.size() + count);
    for (std::uint16_t i = 0; i < std::min(count, slot.card_count); ++i) {
      block.cards[first + i].used = block.cards[slot.first_card + i].used;
    }
    slot.first_card = first;
    slot.card_count = count;
    detach();
  }
  slot.accelerators = 0;
  for (std::uint16_t i = 0; i < count; ++i) {
    const model::Card& card = node.cards[i];
    const ChipIndex chip = intern_chip(card.chip);
    CardSlot& out = block.cards[slot.first_card + i];
    if (out.chip != chip) {
      detach();
    }
    out.chip = chip;
    out.link_group = card.link_group;
    out.is_healthy = card.health == model::CardHealth::kHealthy;
    slot.accelerators = static_cast<std::uint16_t>(slot.accelerators + (card.chip == kCpuChip ? 0 : 1));
  }
}

void FreeMap::fill_groups(Block& block, NodeSlot& slot, const model::Node& node) {
  const std::span<CardSlot> cards = {block.cards.data() + slot.first_card, slot.card_count};
  const std::vector<ChipIndex> chips = chips_of(cards);
  if (chips.size() != slot.group_count) {
    slot.first_group = static_cast<std::uint32_t>(block.groups.size());
    slot.group_count = static_cast<std::uint16_t>(chips.size());
    block.groups.resize(block.groups.size() + chips.size());
    detach();
  }
  for (std::size_t i = 0; i < chips.size(); ++i) {
    GroupSlot& group = block.groups[slot.first_group + i];
    group = {.node = slot.index, .chip = chips[i]};
    std::vector<CardPosition> positions;
    for (std::uint16_t c = 0; c < slot.card_count; ++c) {
      if (cards[c].chip == chips[i]) {
        cards[c].ordinal = static_cast<std::uint16_t>(positions.size());
        positions.push_back({.card = c, .link_group = cards[c].link_group, .numa_node = node.cards[c].numa_node});
      }
    }
    group.total = static_cast<std::uint16_t>(positions.size());
    if (positions.size() <= kMaskCards) {
      group.layout = intern_layout(positions);
    }
  }
  recount(block, slot);
}

void FreeMap::recount(Block& block, const NodeSlot& slot) const {
  for (std::uint16_t g = 0; g < slot.group_count; ++g) {
    GroupSlot& group = block.groups[slot.first_group + g];
    group.free_whole = group.partial = 0;
    group.free_mask = 0;
    for (std::size_t i = 0; i < slot.card_count; ++i) {
      if (const CardSlot& card = block.cards[slot.first_card + i]; card.chip == group.chip) {
        count_card(group, card, 1);
      }
    }
    count_together(block, slot, group);
  }
}

void FreeMap::count_together(const Block& block, const NodeSlot& slot, GroupSlot& group) const {
  if (group.chip == kNoChip) {
    return;
  }
  if (group.total <= kMaskCards) {
    group.together = static_cast<std::uint16_t>(layout(group).largest_group(group.free_mask));
    return;
  }
  std::vector<std::pair<std::uint16_t, std::uint16_t>> free_by_link;
  for (std::size_t i = 0; i < slot.card_count; ++i) {
    const CardSlot& card = block.cards[slot.first_card + i];
    if (card.chip == group.chip && card.is_healthy && card.used == 0) {
      const auto at = std::find_if(free_by_link.begin(), free_by_link.end(),
                                   [&](const auto& entry) { return entry.first == card.link_group; });
      auto& entry = at == free_by_link.end() ? free_by_link.emplace_back(card.link_group, 0) : *at;
      ++entry.second;
    }
  }
  group.together = 0;
  for (const auto& [link, free] : free_by_link) {
    group.together = std::max(group.together, free);
  }
}

// Indexes follow the node: its counts by domain through FreeIndex::Update, those of others through changes_since().
void FreeMap::note_change(const NodeSlot& slot) {
  if (changes_.size() == kMaxChanges) {
    changes_.erase(changes_.begin(), changes_.begin() + kMaxChanges / 2);
  }
  changes_.push_back(slot.index);
  ++change_count_;
}

std::optional<std::span<const std::uint32_t>> FreeMap::changes_since(std::uint64_t since) const {
  const std::uint64_t missed = change_count_ - since;
  if (since > change_count_ || missed > changes_.size()) {
    return std::nullopt;
  }
  return std::span<const std::uint32_t>(changes_).last(missed);
}

void FreeMap::attach(std::shared_ptr<const FabricOrder> fabric) {
  fabric_ = std::move(fabric);
  index_ = std::make_unique<FreeIndex>(*fabric_);
  FreeIndex::Update update(*index_, *fabric_);
  for (std::uint32_t i = 0; i < node_count_; ++i) {
    count_groups(update, node(i), groups_of(node(i)));
  }
}

void FreeMap::detach() {
  fabric_.reset();
  index_.reset();
}

const OrderCounts* FreeMap::counts(std::uint32_t order) const {
  return order == UINT32_MAX ? nullptr : index_->find(order);
}

bool FreeMap::can_claim(const model::Placement& placement) const {
  FreeMap trial = *this;
  trial.detach();
  for (const model::TaskPlacement& task : placement.tasks) {
    const std::optional<std::uint32_t> index = index_of(task.node);
    if (!index.has_value() || task.per_card.value <= 0 || task.per_card.value > kWholeCard) {
      return false;
    }
    Block& block = trial.blocks_[*index / kBlock].write();
    const NodeSlot& slot = block.nodes[*index % kBlock];
    for (const std::uint16_t card : task.cards) {
      if (card >= slot.card_count || block.cards[slot.first_card + card].used + task.per_card.value > kWholeCard) {
        return false;
      }
      std::uint16_t& used = block.cards[slot.first_card + card].used;
      used = static_cast<std::uint16_t>(used + task.per_card.value);
    }
  }
  return true;
}

void FreeMap::change(const model::Placement& placement, int sign) {
  std::optional<FreeIndex::Update> update;
  if (index_ != nullptr) update.emplace(*index_, *fabric_);
  for (const model::TaskPlacement& task : placement.tasks) {
    const std::optional<std::uint32_t> index = index_of(task.node);
    CHECK(index.has_value(), "placement on an unknown node");
    Block& block = blocks_[*index / kBlock].write();
    NodeSlot& slot = block.nodes[*index % kBlock];
    slot.cpus_free -= sign * task.cpus.value;
    slot.memory_free -= sign * task.memory.value;
    change_cards(block, slot, task.cards, sign * static_cast<int>(task.per_card.value));
    if (update.has_value()) count_groups(*update, slot, groups_of(slot));
    note_change(slot);
  }
}

void FreeMap::change_cards(Block& block, const NodeSlot& slot, std::span<const std::uint16_t> cards, int milli) const {
  CardSlot* slots = block.cards.data() + slot.first_card;
  GroupSlot* const groups = block.groups.data() + slot.first_group;
  GroupSlot* group = groups;
  while (!cards.empty()) {
    CardSlot& card = slots[cards.front()];
    if (group->chip != card.chip) {
      count_together(block, slot, *group);
      for (group = groups; group->chip != card.chip;) ++group;
    }
    if (milli == kWholeCard || milli == -kWholeCard) {
      const std::size_t done = take_whole(*group, slots, cards, milli > 0);
      CHECK(done > 0, "card over-allocated");
      cards = cards.subspan(done);
      continue;
    }
    cards = cards.subspan(1);
    count_card(*group, card, -1);
    card.used = static_cast<std::uint16_t>(card.used + milli);
    CHECK(card.used <= kWholeCard, "card over-allocated");
    count_card(*group, card, 1);
  }
  count_together(block, slot, *group);
}

FreeMap FreeMap::reset(bool repairs) const {
  FreeMap copy = *this;
  for (internal::CowPtr<Block>& shared : copy.blocks_) {
    Block& block = shared.write();
    for (CardSlot& card : block.cards) {
      card.used = 0;
      card.is_healthy = card.is_healthy || repairs;
    }
    for (NodeSlot& slot : block.nodes) {
      slot.cpus_free = slot.cpus_total;
      slot.memory_free = slot.memory_total;
      slot.is_usable = slot.is_usable || repairs;
      copy.recount(block, slot);
    }
  }
  if (fabric_ != nullptr) {
    copy.attach(fabric_);
  }
  // Everything is as if changed.
  copy.changes_.clear();
  ++copy.change_count_;
  return copy;
}

FreeMap FreeMap::idle() const {
  return reset(false);
}

FreeMap FreeMap::declared() const {
  return reset(true);
}

std::size_t FreeMap::memory_bytes() const {
  std::size_t bytes = sizeof(*this) + blocks_.capacity() * sizeof(internal::CowPtr<Block>) +
                      dense_slots_.read().capacity() * sizeof(std::uint32_t) +
                      changes_.capacity() * sizeof(std::uint32_t);
  for (const internal::CowPtr<Block>& shared : blocks_) {
    const Block& block = shared.read();
    bytes += sizeof(Block) + block.nodes.capacity() * sizeof(NodeSlot) + block.cards.capacity() * sizeof(CardSlot) +
             block.groups.capacity() * sizeof(GroupSlot);
  }
  return bytes;
}

}  // namespace busbar::sched::place
