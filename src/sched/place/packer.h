#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sched/place/pack_tables.h"
#include "sched/place/pack_types.h"
#include "sched/place/score_board.h"
#include "sched/place/stranded_table.h"

namespace busbar::sched::place {

/// Chooses the node, and for a fraction the card, of one task at a time, so that as little card capacity as possible is
/// stranded behind it: on each node the expected rest (StrandedTable) after the task minus the rest before it, least
/// wins, of equal ones the lowest node index.
///
/// Owns a copy of what is free. Not thread-safe. The same nodes, expectation and order of calls give the same choices;
/// choose() itself changes nothing that later choices depend on. Cost: a score (some 50 ns) for each node changed since
/// the shape was last asked for; budget 2 us median on the openb load (`busbar sim fgd`).
class Packer {
 public:
  using ShapeIndex = std::size_t;

  struct Choice {
    std::size_t node = 0;
    std::uint16_t card = 0;  ///< Of a fraction.
    friend bool operator==(const Choice&, const Choice&) = default;
  };

  explicit Packer(std::vector<PackNode> nodes);
  /// `tables` must know the kinds of the nodes.
  Packer(std::vector<PackNode> nodes, std::shared_ptr<const PackTables> tables);

  /// What arrivals look like from now on. Cost: its tables (some 10 ms each), and all scores anew. The same expectation
  /// again costs nothing.
  void expect(std::span<const ExpectedShape> shapes);
  /// The same with tables that are there already; they must know the kinds of all nodes.
  void expect(std::shared_ptr<const PackTables> tables);

  /// A shape that choose() will be asked about; the same shape gives the same index.
  ShapeIndex add_shape(const PackShape& shape);
  std::size_t shape_count() const { return shapes_.size(); }
  /// Indices that add_shape() gave are void.
  void forget_shapes();
  /// Where one task of it should go; nullopt: it fits nowhere. Changes nothing.
  std::optional<Choice> choose(ShapeIndex shape);
  /// The choice is taken: the shape stands there now.
  void place(ShapeIndex shape, const Choice& choice);
  /// What is free on the node is this now; its number of cards and its kind may change too.
  void put_node(std::size_t node, PackNode state);
  /// The same in place: `change(PackNode&)` must leave the kind and the number of cards as they are.
  template <class Change>
  void update_node(std::size_t node, const Change& change) {
    change(nodes_[node].state);
    refresh(nodes_[node]);
    board_.changed(node);
  }

  const PackNode& node(std::size_t index) const { return nodes_[index].state; }
  std::size_t node_count() const { return nodes_.size(); }
  const PackShape& shape(ShapeIndex index) const { return shapes_[index]; }
  /// See PackTables::growth().
  ScoreBoard::Score score(ShapeIndex shape, std::size_t node) const;

 private:
  struct Slot {
    PackNode state = {};
    std::int64_t stranded = 0;  ///< As it stands.
  };

  void refresh(Slot& slot) const { slot.stranded = tables_->of(slot.state.kind).stranded(slot.state); }
  void make_tables();

  std::vector<Slot> nodes_;
  std::vector<PackShape> shapes_;
  std::map<PackShape, ShapeIndex> index_;
  std::vector<ExpectedShape> expected_;
  StrandedTable::Limits limits_ = {};
  std::shared_ptr<const PackTables> tables_;
  ScoreBoard board_;
};

}  // namespace busbar::sched::place
