#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "sched/place/score_board.h"
#include "sched/place/stranded_table.h"

namespace busbar::sched::place {

/// Kinds of a packer are below this.
inline constexpr std::size_t kMaxPackKinds = 64;

/// What nodes of each kind strand under one expectation. A kind's table knows only the shapes that may come to it;
/// kinds that accept the same shapes share one. Immutable, shared by copies. Cost: one StrandedTable a group of kinds.
class PackTables {
 public:
  /// `kinds`: bit k: there are nodes of kind k.
  PackTables(std::span<const ExpectedShape> shapes, const StrandedTable::Limits& limits, std::uint64_t kinds);

  bool has(std::uint16_t kind) const { return tables_[kind] != nullptr; }
  const StrandedTable& of(std::uint16_t kind) const { return *tables_[kind]; }
  const StrandedTable::Limits& limits() const { return limits_; }
  std::uint64_t kinds() const { return kinds_; }

  /// How much more of the node is expected to be stranded once one task of the shape stands there, in 1/256 milli-card;
  /// ScoreBoard::kNever if it does not fit. `stranded`: as the node stands. Nodes without cards come before all others
  /// (kBareFirst), of those the one that is left with the fewest CPUs.
  static constexpr ScoreBoard::Score kBareFirst = -(std::int64_t{1} << 40U);
  ScoreBoard::Score growth(const PackNode& node, std::int64_t stranded, const PackShape& shape) const;

 private:
  StrandedTable::Limits limits_;
  std::uint64_t kinds_ = 0;
  std::array<std::shared_ptr<const StrandedTable>, kMaxPackKinds> tables_ = {};
};

}  // namespace busbar::sched::place
