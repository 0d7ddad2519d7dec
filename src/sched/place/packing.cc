#include "sched/place/packing.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/units.h"
#include "sched/place/card_picker.h"

namespace busbar::sched::place {
namespace {

constexpr std::int64_t kUnlimited = std::int64_t{1} << 50;
constexpr std::int64_t kUsualCpus = 64'000;  // Taken for the largest node if no node says how many it has.
constexpr unsigned kMibBits = 20;
constexpr std::uint32_t kLooksBeforeKeeping = 2;
constexpr std::size_t kMostKeptScores = std::size_t{1} << 20;  // 16 MB of them.

std::int64_t to_mib(std::int64_t bytes) {
  return (bytes + (std::int64_t{1} << kMibBits) - 1) >> kMibBits;
}

bool is_accelerator(const FreeMap& map, ChipIndex chip) {
  return chip != kNoChip && chip < kMaxPackKinds && map.chip_name(chip) != kCpuChip;
}

// Rounded up to whole MiB, as what is free is rounded down: so it never promises too much.
PackShape shape_of(const PackNeed& need) {
  PackShape shape = {.cpus = need.task.cpus, .memory = to_mib(need.task.memory)};
  if (need.task.chip != kNoChip) {
    shape.cards = 1;
    shape.milli = static_cast<std::uint16_t>(need.task.milli_cards());
    shape.kinds = 0;
    for (const ChipIndex chip : need.chips) {
      shape.kinds |= std::uint64_t{1} << chip;
    }
  }
  return shape;
}

std::vector<ExpectedShape> shapes_of(const Experience::Lesson& lesson, const FreeMap& map) {
  std::vector<ExpectedShape> shapes;
  for (const auto& [key, tally] : lesson) {
    const TaskKind kind = *decode_kind(key);
    PackShape shape = {.cpus = kind.cpus,
                       .memory = static_cast<std::int64_t>(tally.memory_mib / tally.tasks),
                       .cards = kind.cards,
                       .milli = kind.milli};
    if (!kind.chips.empty()) {
      shape.kinds = 0;
      for (const std::string& name : kind.chips) {
        const ChipIndex chip = map.find_chip(name);
        shape.kinds |= is_accelerator(map, chip) ? std::uint64_t{1} << chip : 0;
      }
    }
    shapes.push_back({.shape = shape, .weight = static_cast<std::int64_t>(tally.tasks)});
  }
  return shapes;
}

bool is_allowed(const PackNeed& need, std::uint32_t node) {
  return need.allowed == nullptr || (node < need.allowed->size() && (*need.allowed)[node]);
}

std::uint16_t card_at(const FreeMap& map, const GroupSlot& group, std::uint16_t ordinal) {
  const auto cards = map.cards_of(map.node(group.node));
  const auto at = std::find_if(cards.begin(), cards.end(), [&](const CardSlot& card) {
    return card.chip == group.chip && card.ordinal == ordinal;
  });
  return static_cast<std::uint16_t>(at - cards.begin());
}

}  // namespace

bool is_packed(const FreeMap& map, const GangNeed& need) {
  if (need.max_tasks != 1 || !need.pool.empty() || need.within.has_value()) {
    return false;
  }
  return need.task.chip == kNoChip || (is_accelerator(map, need.task.chip) && need.task.milli_cards() <= kWholeCard);
}

/// Scores from one question to the next.
struct Packing::Kept {
  Packer packer;
  std::uint64_t read = 0;  ///< Changes of the map that the packer knows.
};

Packing::Packing() = default;
Packing::~Packing() = default;
Packing::Packing(Packing&&) noexcept = default;
Packing& Packing::operator=(Packing&&) noexcept = default;
Packing::Packing(const Packing& other) : sites_(other.sites_), lesson_(other.lesson_), tables_(other.tables_) {}
Packing& Packing::operator=(const Packing& other) {
  return *this = Packing(other);
}

void Packing::forget_nodes() {
  sites_.reset();
  kept_.reset();
}

Packing::Sites Packing::make_sites(const FreeMap& map, const FabricOrder& fabric) {
  Sites sites;
  sites.first.resize(map.node_count());
  sites.count.resize(map.node_count());
  for (const GroupRef bare : fabric.all_nodes().groups) {
    const NodeSlot& node = map.node(bare.node);
    const auto groups = map.groups_of(node);
    const std::size_t first = sites.groups.size();
    for (std::uint16_t g = 0; g < node.group_count; ++g) {
      if (is_accelerator(map, groups[g].chip)) {
        sites.groups.push_back({.node = bare.node, .index = g});
        sites.kinds |= std::uint64_t{1} << groups[g].chip;
        sites.limits.max_cards = std::max(sites.limits.max_cards, groups[g].total);
      }
    }
    // By name: numbers of chips follow the order in which nodes joined.
    std::sort(
        sites.groups.begin() + static_cast<std::ptrdiff_t>(first), sites.groups.end(),
        [&](GroupRef a, GroupRef b) { return map.chip_name(map.group(a).chip) < map.chip_name(map.group(b).chip); });
    if (sites.groups.size() == first) {
      sites.groups.push_back(bare);
      sites.kinds |= std::uint64_t{1} << kNoChip;
    }
    sites.first[bare.node] = static_cast<std::uint32_t>(first);
    sites.count[bare.node] = static_cast<std::uint16_t>(sites.groups.size() - first);
    sites.limits.max_cpus = std::max(sites.limits.max_cpus, node.cpus_total);
  }
  if (sites.limits.max_cpus == 0) {
    sites.limits.max_cpus = kUsualCpus;
  }
  return sites;
}

void Packing::prepare(const FreeMap& map, const FabricOrder& fabric,
                      const std::shared_ptr<const Experience::Lesson>& lesson) {
  if (sites_ == nullptr) {
    sites_ = std::make_shared<const Sites>(make_sites(map, fabric));
  }
  const bool is_current = tables_ != nullptr && lesson_ == lesson && tables_->kinds() == sites_->kinds &&
                          tables_->limits() == sites_->limits;
  if (!is_current) {
    lesson_ = lesson;
    tables_ = std::make_shared<const PackTables>(shapes_of(*lesson, map), sites_->limits, sites_->kinds);
    if (kept_ != nullptr) kept_->packer.expect(tables_);
  }
}

void Packing::fill(const FreeMap& map, std::uint32_t site, PackNode& node) const {
  const GroupRef ref = sites_->groups[site];
  const GroupSlot& group = map.group(ref);
  const NodeSlot& slot = map.node(ref.node);
  node.kind = group.chip;
  node.takes_bare_tasks = sites_->first[ref.node] == site;
  node.cpus = !slot.is_usable ? -1 : slot.limits_cpus ? slot.cpus_free : kUnlimited;
  node.memory = slot.limits_memory ? slot.memory_free >> kMibBits : kUnlimited;
  node.cards.clear();
  if (group.chip == kNoChip) {
    return;
  }
  for (const CardSlot& card : map.cards_of(slot)) {
    if (card.chip == group.chip) {
      node.cards.push_back(card.is_healthy ? static_cast<std::uint16_t>(kWholeCard - card.used) : std::uint16_t{0});
    }
  }
}

std::optional<Packing::Choice> Packing::look_everywhere(const FreeMap& map, const PackShape& shape,
                                                        const PackNeed& need) const {
  std::optional<Choice> best;
  PackNode node;
  const auto look = [&](bool at_bare) {
    for (std::uint32_t site = 0; site < sites_->groups.size(); ++site) {
      const GroupSlot& group = map.group(sites_->groups[site]);
      const bool has_room =
          shape.cards == 0 || (shape.is_fraction() ? group.free_whole + group.partial : group.free_whole) > 0;
      if ((group.chip == kNoChip) != at_bare || !has_room || !accepts_kind(shape, group.chip) ||
          !is_allowed(need, group.node)) {
        continue;
      }
      fill(map, site, node);
      const std::int64_t stranded = fits(node, shape) ? tables_->of(node.kind).stranded(node) : 0;
      const ScoreBoard::Score growth = tables_->growth(node, stranded, shape);
      if (growth != ScoreBoard::kNever && (!best.has_value() || growth < best->growth)) {
        best = {.site = site, .card = tables_->of(node.kind).after(node, shape).card, .growth = growth};
      }
    }
  };
  // Nodes without cards come first for tasks without cards, and are nothing for the others.
  if (shape.cards == 0) look(true);
  if (!best.has_value()) look(false);
  return best;
}

void Packing::follow(const FreeMap& map) {
  const auto changes = kept_ == nullptr ? std::nullopt : map.changes_since(kept_->read);
  if (!changes.has_value()) {
    std::vector<PackNode> nodes(sites_->groups.size());
    for (std::uint32_t site = 0; site < nodes.size(); ++site) {
      fill(map, site, nodes[site]);
    }
    kept_ = std::make_unique<Kept>(Kept{.packer = Packer(std::move(nodes), tables_)});
  } else {
    std::uint32_t last = UINT32_MAX;
    for (const std::uint32_t changed : *changes) {
      if (changed == last) {
        continue;
      }
      last = changed;
      for (std::uint32_t i = 0; i < sites_->count[changed]; ++i) {
        const std::uint32_t site = sites_->first[changed] + i;
        kept_->packer.update_node(site, [&](PackNode& node) { fill(map, site, node); });
      }
    }
  }
  kept_->read = map.change_count();
}

std::optional<Packing::Choice> Packing::ask_kept(const FreeMap& map, const PackShape& shape) {
  follow(map);
  Packer& packer = kept_->packer;
  if (packer.shape_count() * packer.node_count() > kMostKeptScores) {
    packer.forget_shapes();
  }
  const Packer::ShapeIndex index = packer.add_shape(shape);
  const auto choice = packer.choose(index);
  if (!choice.has_value()) {
    return std::nullopt;
  }
  return Choice{.site = static_cast<std::uint32_t>(choice->node),
                .card = choice->card,
                .growth = packer.score(index, choice->node)};
}

std::optional<Found> Packing::choose(const FreeMap& map, const FabricOrder& fabric,
                                     const std::shared_ptr<const Experience::Lesson>& lesson, const PackNeed& need) {
  if (lesson == nullptr || map.node_count() == 0) {
    return std::nullopt;
  }
  prepare(map, fabric, lesson);
  const PackShape shape = shape_of(need);
  const bool keeps = kept_ != nullptr || ++questions_ > kLooksBeforeKeeping;
  std::optional<Choice> choice = keeps ? ask_kept(map, shape) : look_everywhere(map, shape, need);
  if (keeps && choice.has_value() && !is_allowed(need, sites_->groups[choice->site].node)) {
    choice = look_everywhere(map, shape, need);
  }
  if (!choice.has_value()) {
    return std::nullopt;
  }
  const GroupSlot& group = map.group(sites_->groups[choice->site]);
  model::TaskPlacement task = {.node = map.node(group.node).id,
                               .per_card = {need.task.fraction > 0 ? need.task.fraction : kWholeCard},
                               .cpus = {need.task.cpus},
                               .memory = {need.task.memory}};
  if (shape.is_fraction()) {
    task.cards = {card_at(map, group, choice->card)};
  } else if (shape.cards > 0) {
    task.cards = CardPicker(map, group).pick(need.task);
  }
  const bool is_bare = group.chip == kNoChip;
  Found found = {
      .placement = {.chip = shape.cards == 0 ? std::string() : map.chip_name(group.chip)},
      .where = is_bare ? "packed on a node without accelerators"
                       : fmt::format("packed where the least is stranded by it: {} cards",
                                     format_milli(std::max<std::int64_t>(choice->growth / StrandedTable::kOne, 0)))};
  found.placement.tasks.push_back(std::move(task));
  return found;
}

}  // namespace busbar::sched::place
