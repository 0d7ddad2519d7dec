#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sched/place/experience.h"
#include "sched/place/fabric_order.h"
#include "sched/place/need.h"
#include "sched/place/packer.h"
#include "sched/place/placer.h"

namespace busbar::sched::place {

/// One task of at most one card, or without cards, that any of these chips would do equally well: what packing decides.
struct PackNeed {
  TaskNeed task = {};
  std::vector<ChipIndex> chips = {};                    ///< Without kNoChip; empty for tasks without cards.
  std::shared_ptr<const NodeFilter> allowed = nullptr;  ///< nullptr: every node.
};

/// Whether packing decides where this gang goes; if not, the Placer does.
bool is_packed(const FreeMap& map, const GangNeed& need);

/// The Packer at work in the core: on every node that a FreeMap has, expecting what an Experience has taught. Of equal
/// nodes it takes the first along the fabric, so that leaves are filled one after the other.
///
/// Derived, never hashed: the answer follows from map, fabric and lesson alone. Keeps scores from one question to the
/// next; a copy (a fork) shares tables and list of nodes but not the scores, and looks at each node that has room
/// instead, until it has been asked often enough to keep scores of its own. Not thread-safe. Cost: as Packer; a look at
/// all nodes some 10 ns each and 100 ns for each with room; tables some 10 ms after a lesson.
class Packing {
 public:
  Packing();
  ~Packing();
  Packing(const Packing& other);
  Packing& operator=(const Packing& other);
  Packing(Packing&&) noexcept;
  Packing& operator=(Packing&&) noexcept;

  /// Some node was declared: chips and the order of nodes may differ.
  void forget_nodes();

  /// Where it leaves least stranded; nullopt: it fits nowhere, or nothing has been learnt yet. `map` and `fabric` must
  /// be the same, or as they were, in all calls since forget_nodes().
  std::optional<Found> choose(const FreeMap& map, const FabricOrder& fabric,
                              const std::shared_ptr<const Experience::Lesson>& lesson, const PackNeed& need);

 private:
  /// What packing sees: each node once for each kind of accelerator that it has, or once if it has none.
  struct Sites {
    std::vector<GroupRef> groups = {};      ///< Along the fabric.
    std::vector<std::uint32_t> first = {};  ///< By node: its first site.
    std::vector<std::uint16_t> count = {};  ///< By node.
    StrandedTable::Limits limits = {};
    std::uint64_t kinds = 0;
  };
  struct Kept;
  struct Choice {
    std::uint32_t site = 0;
    std::uint16_t card = 0;
    ScoreBoard::Score growth = 0;
  };
  static Sites make_sites(const FreeMap& map, const FabricOrder& fabric);

  void prepare(const FreeMap& map, const FabricOrder& fabric, const std::shared_ptr<const Experience::Lesson>& lesson);
  void fill(const FreeMap& map, std::uint32_t site, PackNode& node) const;
  std::optional<Choice> look_everywhere(const FreeMap& map, const PackShape& shape, const PackNeed& need) const;
  std::optional<Choice> ask_kept(const FreeMap& map, const PackShape& shape);
  void follow(const FreeMap& map);

  std::shared_ptr<const Sites> sites_;
  std::shared_ptr<const Experience::Lesson> lesson_;  ///< That the tables are of.
  std::shared_ptr<const PackTables> tables_;
  std::unique_ptr<Kept> kept_;
  std::uint32_t questions_ = 0;  ///< Since scores could have been kept.
};

}  // namespace busbar::sched::place
