#include "sched/place/packer.h"

#include <algorithm>

#include "base/check.h"

namespace busbar::sched::place {

Packer::Packer(std::vector<PackNode> nodes, std::shared_ptr<const PackTables> tables) : board_(nodes.size()) {
  nodes_.reserve(nodes.size());
  for (PackNode& node : nodes) {
    CHECK(node.kind < kMaxPackKinds, "kinds of a packer are below 64");
    limits_.max_cpus = std::max(limits_.max_cpus, node.cpus);
    limits_.max_cards = std::max(limits_.max_cards, static_cast<std::uint16_t>(node.cards.size()));
    nodes_.push_back({.state = std::move(node)});
  }
  if (tables == nullptr) {
    make_tables();
  } else {
    expect(std::move(tables));
  }
}

Packer::Packer(std::vector<PackNode> nodes) : Packer(std::move(nodes), nullptr) {}

void Packer::expect(std::span<const ExpectedShape> shapes) {
  if (!std::equal(shapes.begin(), shapes.end(), expected_.begin(), expected_.end())) {
    expected_.assign(shapes.begin(), shapes.end());
    make_tables();
  }
}

void Packer::make_tables() {
  std::uint64_t kinds = 0;
  for (const Slot& slot : nodes_) {
    kinds |= std::uint64_t{1} << slot.state.kind;
  }
  expect(std::make_shared<const PackTables>(expected_, limits_, kinds));
}

void Packer::expect(std::shared_ptr<const PackTables> tables) {
  tables_ = std::move(tables);
  for (Slot& slot : nodes_) {
    refresh(slot);
  }
  board_.all_changed();
}

Packer::ShapeIndex Packer::add_shape(const PackShape& shape) {
  const auto [at, is_new] = index_.try_emplace(shape, shapes_.size());
  if (is_new) {
    shapes_.push_back(shape);
    board_.add_shape();
  }
  return at->second;
}

void Packer::forget_shapes() {
  shapes_.clear();
  index_.clear();
  board_.clear_shapes();
}

ScoreBoard::Score Packer::score(ShapeIndex shape, std::size_t node) const {
  const Slot& slot = nodes_[node];
  return tables_->growth(slot.state, slot.stranded, shapes_[shape]);
}

std::optional<Packer::Choice> Packer::choose(ShapeIndex shape) {
  const auto node = board_.best(shape, [&](std::size_t candidate) { return score(shape, candidate); });
  if (!node.has_value()) {
    return std::nullopt;
  }
  const PackNode& state = nodes_[*node].state;
  return Choice{.node = *node, .card = tables_->of(state.kind).after(state, shapes_[shape]).card};
}

void Packer::place(ShapeIndex shape, const Choice& choice) {
  Slot& slot = nodes_[choice.node];
  take(slot.state, shapes_[shape], choice.card);
  refresh(slot);
  board_.changed(choice.node);
}

void Packer::put_node(std::size_t node, PackNode state) {
  CHECK(state.kind < kMaxPackKinds, "kinds of a packer are below 64");
  Slot& slot = nodes_[node];
  slot.state = std::move(state);
  const bool is_larger = slot.state.cpus > limits_.max_cpus || slot.state.cards.size() > limits_.max_cards;
  if (is_larger || !tables_->has(slot.state.kind)) {
    limits_.max_cpus = std::max(limits_.max_cpus, slot.state.cpus);
    limits_.max_cards = std::max(limits_.max_cards, static_cast<std::uint16_t>(slot.state.cards.size()));
    make_tables();
    return;
  }
  refresh(slot);
  board_.changed(node);
}

}  // namespace busbar::sched::place
