#include "sched/place/stranded_table.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace busbar::sched::place {
namespace {

constexpr std::int64_t kCpuSteps = 128;
constexpr std::int64_t kLevelMilli = 10;  // Rests of shared cards are rounded down to this, what tasks take up.
constexpr std::int64_t kLevels = kPackCard / kLevelMilli;
constexpr std::int64_t kHorizon = 50;  // Arrivals that a node sees before the load ends, on average.
constexpr std::int64_t kWeightScale = std::int64_t{1} << 16U;  // Keeps the sums of solve() below 2^57.

std::int64_t scaled(std::int64_t value, std::int64_t numerator, std::int64_t denominator) {
  return static_cast<std::int64_t>(static_cast<__int128>(value) * numerator / denominator);
}

}  // namespace

/// One expected shape as the recursion needs it.
struct StrandedTable::Step {
  std::int64_t weight = 0;
  std::size_t whole = 0;       ///< Whole cards taken,
  std::size_t level = 0;       ///< or levels of a shared card; neither: CPUs only.
  std::size_t rows = 0;        ///< CPU steps taken, rounded up;
  std::int64_t surplus = 0;    ///< and by how much, in 1/256 of a step.
  std::int64_t card_cpus = 0;  ///< CPUs, if it takes cards.
};

/// What stands on a node: whole free cards, and the sums over rests of shared cards, each valued alone.
struct StrandedTable::Rest {
  std::size_t whole = 0;
  std::size_t top = 0;     ///< Largest level,
  std::size_t second = 0;  ///< and the next.
  Cell sum = {};
};

StrandedTable::StrandedTable(std::span<const ExpectedShape> shapes, const Limits& limits)
    : cpu_unit_(std::max<std::int64_t>(1, (limits.max_cpus + kCpuSteps - 1) / kCpuSteps)),
      max_cards_(std::min(limits.max_cards, kMaxCards)) {
  const std::vector<Step> steps = steps_of(shapes);
  cells_.resize(row(max_cards_ + std::size_t{1}, 0));
  for (std::size_t whole = 0; whole <= max_cards_; ++whole) {
    for (std::size_t level = 0; level < kLevels; ++level) {
      solve(whole, level, steps);
    }
  }
}

std::size_t StrandedTable::row(std::size_t whole, std::size_t level) const {
  return (whole * kLevels + level) * (kCpuSteps + 1);
}

// Shapes that differ only in memory are one step. The least weight is 1, so that rare shapes still count.
std::vector<StrandedTable::Step> StrandedTable::steps_of(std::span<const ExpectedShape> shapes) {
  std::map<std::tuple<std::int64_t, std::uint16_t, std::uint16_t>, std::int64_t> merged;
  std::int64_t total = 0;
  for (const ExpectedShape& expected : shapes) {
    if (expected.weight > 0 && expected.shape.cards <= max_cards_) {
      merged[{expected.shape.cpus, expected.shape.cards, expected.shape.milli}] += expected.weight;
      total += expected.weight;
      cpu_share_ += expected.shape.cpus * expected.weight;
      memory_share_ += expected.shape.memory * expected.weight;
    }
  }
  std::vector<Step> steps;
  for (const auto& [key, weight] : merged) {
    const auto [cpus, cards, milli] = key;
    const std::int64_t rows = (cpus + cpu_unit_ - 1) / cpu_unit_;
    if (rows > kCpuSteps || (cards == 0 && cpus == 0)) {
      continue;
    }
    Step step = {.weight = std::max<std::int64_t>(1, scaled(kWeightScale, weight, total)),
                 .rows = static_cast<std::size_t>(rows),
                 .surplus = (rows * cpu_unit_ - cpus) * kOne / cpu_unit_,
                 .card_cpus = cards > 0 ? cpus : 0};
    if (cards > 0 && milli == kPackCard) {
      step.whole = cards;
    } else if (cards > 0) {
      step.level = static_cast<std::size_t>((milli + kLevelMilli - 1) / kLevelMilli);
    }
    total_weight_ += step.weight;
    steps.push_back(step);
  }
  return steps;
}

// One row: all CPU amounts of a (whole, level). Every step that takes cards leads to a row that is solved already;
// those that take only CPUs lead to an earlier cell of this row, so they come in a second pass from few CPUs to many.
void StrandedTable::solve(std::size_t whole, std::size_t level, std::span<const Step> steps) {
  struct Sums {
    std::int64_t weight = 0;
    std::int64_t stranded = 0;
    std::int64_t cpus = 0;
  };
  std::vector<Sums> sums(kCpuSteps + 1);
  const auto add = [&](const Step& step, std::size_t from, std::size_t lost_level) {
    const std::size_t up = step.surplus > 0 ? 1 : 0;
    for (std::size_t c = step.rows; c <= kCpuSteps; ++c) {
      const Cell& low = cells_[from + c - step.rows];
      const Cell& high = cells_[from + c - step.rows + up];
      const std::int64_t lost = cells_[row(0, lost_level) + c - step.rows].stranded;
      sums[c].weight += step.weight;
      sums[c].stranded += step.weight * (lost + low.stranded + (high.stranded - low.stranded) * step.surplus / kOne);
      sums[c].cpus += step.weight * (step.card_cpus + low.cpus + (high.cpus - low.cpus) * step.surplus / kOne);
    }
  };
  for (const Step& step : steps) {
    if (step.whole > 0 && step.whole <= whole) {
      add(step, row(whole - step.whole, level), 0);
    } else if (step.level > 0 && step.level <= level) {
      add(step, row(whole, level - step.level), 0);
    } else if (step.level > 0 && whole > 0) {
      const std::size_t rest = kLevels - step.level;
      add(step, row(whole - 1, std::max(level, rest)), std::min(level, rest));
    }
  }
  const auto free = static_cast<std::int64_t>(whole * kPackCard + level * kLevelMilli) * kOne;
  Cell* const cells = &cells_[row(whole, level)];
  for (std::size_t c = 0; c <= kCpuSteps; ++c) {
    for (const Step& step : steps) {
      if (step.whole == 0 && step.level == 0 && step.rows <= c) {
        const std::size_t up = step.surplus > 0 && step.rows > 1 ? 1 : 0;
        const Cell& low = cells[c - step.rows];
        const Cell& high = cells[c - step.rows + up];
        sums[c].weight += step.weight;
        sums[c].stranded += step.weight * (low.stranded + (high.stranded - low.stranded) * step.surplus / kOne);
        sums[c].cpus += step.weight * (low.cpus + (high.cpus - low.cpus) * step.surplus / kOne);
      }
    }
    const std::int64_t weight = (kHorizon - 1) * sums[c].weight + std::max<std::int64_t>(1, total_weight_);
    const std::int64_t ends = std::max<std::int64_t>(1, total_weight_) * free;
    cells[c] = {.stranded = static_cast<std::int32_t>(((kHorizon - 1) * sums[c].stranded + ends) / weight),
                .cpus = static_cast<std::int32_t>((kHorizon - 1) * sums[c].cpus / weight)};
  }
}

StrandedTable::Cell StrandedTable::at(std::size_t whole, std::size_t level, std::int64_t cpus) const {
  const std::int64_t position = std::clamp<std::int64_t>(cpus, 0, cpu_unit_ * kCpuSteps) * kOne / cpu_unit_;
  const auto low = static_cast<std::size_t>(position / kOne);
  const auto part = static_cast<std::int32_t>(position % kOne);
  const Cell* const cells = &cells_[row(std::min<std::size_t>(whole, max_cards_), level)];
  const Cell& a = cells[low];
  const Cell& b = cells[std::min<std::size_t>(low + 1, kCpuSteps)];
  const auto one = static_cast<std::int32_t>(kOne);
  return {.stranded = a.stranded + (b.stranded - a.stranded) * part / one,
          .cpus = a.cpus + (b.cpus - a.cpus) * part / one};
}

std::int64_t StrandedTable::usable_cpus(std::int64_t cpus, std::int64_t memory) const {
  if (memory_share_ == 0 || cpu_share_ == 0) {
    return cpus;
  }
  const __int128 by_memory = static_cast<__int128>(memory) * cpu_share_ / memory_share_;
  return static_cast<std::int64_t>(std::min<__int128>(cpus, by_memory));
}

StrandedTable::Rest StrandedTable::rest_of(const PackNode& node, std::int64_t cpus) const {
  Rest rest;
  for (const std::uint16_t free : node.cards) {
    if (free == kPackCard) {
      ++rest.whole;
    } else if (free >= kLevelMilli) {
      const auto level = static_cast<std::size_t>(free / kLevelMilli);
      const Cell alone = at(0, level, cpus);
      rest.sum.stranded += alone.stranded;
      rest.sum.cpus += alone.cpus;
      if (level > rest.top) {
        rest.second = rest.top;
        rest.top = level;
      } else {
        rest.second = std::max(rest.second, level);
      }
    }
  }
  return rest;
}

// The largest rest is valued together with the whole cards, on the CPUs that the others are not expected to take.
std::int64_t StrandedTable::value(const Rest& rest, std::size_t whole, std::int64_t cpus) const {
  const Cell top = at(0, rest.top, cpus);
  return rest.sum.stranded - top.stranded + at(whole, rest.top, cpus - (rest.sum.cpus - top.cpus)).stranded;
}

StrandedTable::Outcome StrandedTable::after(const PackNode& node, const PackShape& shape) const {
  const std::int64_t cpus = usable_cpus(node.cpus - shape.cpus, node.memory - shape.memory);
  const Rest rest = rest_of(node, cpus);
  if (!shape.is_fraction()) {
    return {.stranded = value(rest, rest.whole - shape.cards, cpus)};
  }
  Outcome best = {.stranded = INT64_MAX};
  bool has_seen_whole = false;
  for (std::size_t i = 0; i < node.cards.size(); ++i) {
    const std::uint16_t free = node.cards[i];
    const bool is_whole = free == kPackCard;
    if (free < shape.milli || (is_whole && has_seen_whole)) {
      continue;
    }
    has_seen_whole = has_seen_whole || is_whole;
    const auto old_level = static_cast<std::size_t>(is_whole ? 0 : free / kLevelMilli);
    const auto level = static_cast<std::size_t>((free - shape.milli) / kLevelMilli);
    const Cell before = at(0, old_level, cpus);
    const Cell alone = at(0, level, cpus);
    const Rest changed = {.top = std::max(level, !is_whole && old_level == rest.top ? rest.second : rest.top),
                          .sum = {.stranded = rest.sum.stranded - before.stranded + alone.stranded,
                                  .cpus = rest.sum.cpus - before.cpus + alone.cpus}};
    const std::int64_t stranded = value(changed, rest.whole - (is_whole ? 1 : 0), cpus);
    if (stranded < best.stranded) {
      best = {.stranded = stranded, .card = static_cast<std::uint16_t>(i)};
    }
  }
  return best;
}

}  // namespace busbar::sched::place
