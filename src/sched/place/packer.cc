#include "sched/place/packer.h"

#include <algorithm>

#include "base/check.h"

namespace busbar::sched::place {
namespace {

constexpr std::size_t kMaxKinds = 64;

}  // namespace

Packer::Packer(std::vector<PackNode> nodes) : board_(nodes.size()) {
  nodes_.reserve(nodes.size());
  for (PackNode& node : nodes) {
    CHECK(node.kind < kMaxKinds, "kinds of a packer are below 64");
    limits_.max_cpus = std::max(limits_.max_cpus, node.cpus);
    limits_.max_cards = std::max(limits_.max_cards, static_cast<std::uint16_t>(node.cards.size()));
    nodes_.push_back({.state = std::move(node)});
  }
  rebuild_tables();
}

void Packer::expect(std::span<const ExpectedShape> shapes) {
  if (!std::equal(shapes.begin(), shapes.end(), expected_.begin(), expected_.end())) {
    expected_.assign(shapes.begin(), shapes.end());
    rebuild_tables();
  }
}

// A node's table knows only the shapes that may come to it: a constraint on the kind changes what is left to hope for.
void Packer::rebuild_tables() {
  std::map<std::vector<bool>, std::shared_ptr<const StrandedTable>> by_accepted;
  tables_.assign(kMaxKinds, nullptr);
  for (Slot& slot : nodes_) {
    std::shared_ptr<const StrandedTable>& table = tables_[slot.state.kind];
    if (table == nullptr) {
      std::vector<bool> accepted;
      std::vector<ExpectedShape> shapes;
      for (const ExpectedShape& expected : expected_) {
        accepted.push_back(accepts_kind(expected.shape, slot.state.kind));
        if (accepted.back()) {
          shapes.push_back(expected);
        }
      }
      std::shared_ptr<const StrandedTable>& shared = by_accepted[accepted];
      if (shared == nullptr) {
        shared = std::make_shared<const StrandedTable>(shapes, limits_);
      }
      table = shared;
    }
    refresh(slot);
  }
  board_.all_changed();
}

void Packer::refresh(Slot& slot) const {
  slot.stranded = table_of(slot.state).stranded(slot.state);
}

Packer::ShapeIndex Packer::add_shape(const PackShape& shape) {
  const auto [at, is_new] = index_.try_emplace(shape, shapes_.size());
  if (is_new) {
    shapes_.push_back(shape);
    board_.add_shape();
  }
  return at->second;
}

ScoreBoard::Score Packer::score(ShapeIndex shape, std::size_t node) const {
  const Slot& slot = nodes_[node];
  if (!fits(slot.state, shapes_[shape])) {
    return ScoreBoard::kNever;
  }
  return table_of(slot.state).after(slot.state, shapes_[shape]).stranded - slot.stranded;
}

std::optional<Packer::Choice> Packer::choose(ShapeIndex shape) {
  const auto node = board_.best(shape, [&](std::size_t candidate) { return score(shape, candidate); });
  if (!node.has_value()) {
    return std::nullopt;
  }
  const PackNode& state = nodes_[*node].state;
  return Choice{.node = *node, .card = table_of(state).after(state, shapes_[shape]).card};
}

void Packer::place(ShapeIndex shape, const Choice& choice) {
  Slot& slot = nodes_[choice.node];
  take(slot.state, shapes_[shape], choice.card);
  refresh(slot);
  board_.changed(choice.node);
}

void Packer::put_node(std::size_t node, PackNode state) {
  CHECK(state.kind < kMaxKinds, "kinds of a packer are below 64");
  Slot& slot = nodes_[node];
  slot.state = std::move(state);
  const bool is_larger = slot.state.cpus > limits_.max_cpus || slot.state.cards.size() > limits_.max_cards;
  if (is_larger || tables_[slot.state.kind] == nullptr) {
    limits_.max_cpus = std::max(limits_.max_cpus, slot.state.cpus);
    limits_.max_cards = std::max(limits_.max_cards, static_cast<std::uint16_t>(slot.state.cards.size()));
    rebuild_tables();
    return;
  }
  refresh(slot);
  board_.changed(node);
}

}  // namespace busbar::sched::place
