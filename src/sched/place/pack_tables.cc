#include "sched/place/pack_tables.h"

#include <algorithm>
#include <map>
#include <vector>

namespace busbar::sched::place {

PackTables::PackTables(std::span<const ExpectedShape> shapes, const StrandedTable::Limits& limits, std::uint64_t kinds)
    : limits_(limits), kinds_(kinds) {
  std::map<std::vector<bool>, std::shared_ptr<const StrandedTable>> by_accepted;
  for (std::uint16_t kind = 0; kind < kMaxPackKinds; ++kind) {
    if ((kinds >> kind & 1U) == 0) {
      continue;
    }
    std::vector<bool> accepted;
    std::vector<ExpectedShape> of_kind;
    for (const ExpectedShape& expected : shapes) {
      accepted.push_back(accepts_kind(expected.shape, kind));
      if (accepted.back()) {
        of_kind.push_back(expected);
      }
    }
    std::shared_ptr<const StrandedTable>& shared = by_accepted[accepted];
    if (shared == nullptr) {
      shared = std::make_shared<const StrandedTable>(of_kind, limits);
    }
    tables_[kind] = shared;
  }
}

ScoreBoard::Score PackTables::growth(const PackNode& node, std::int64_t stranded, const PackShape& shape) const {
  if (!fits(node, shape)) {
    return ScoreBoard::kNever;
  }
  if (node.cards.empty()) {
    const std::int64_t left = std::min(node.cpus - shape.cpus, limits_.max_cpus);
    return kBareFirst + left;
  }
  return of(node.kind).after(node, shape).stranded - stranded;
}

}  // namespace busbar::sched::place
