#include "sched/place/gang_search.h"

#include <algorithm>
#include <cstring>

namespace busbar::sched::place {
namespace {

std::int64_t fractions_on(const FreeMap& map, const NodeSlot& node, const GroupSlot& group, std::int64_t fraction) {
  std::int64_t fitting = group.free_whole * (kWholeCard / fraction);
  if (group.partial > 0) {
    for (const CardSlot& card : map.cards_of(node)) {
      if (card.chip == group.chip && card.is_healthy && card.used > 0) {
        fitting += (kWholeCard - card.used) / fraction;
      }
    }
  }
  return fitting;
}

// What stays free on the shared card that fits tightest. A card that is already shared beats a whole one, whatever is
// left on it; among whole ones the node with the fewest.
std::uint32_t left_by_fraction(std::span<const CardSlot> cards, const GroupSlot& group, std::int64_t fraction) {
  std::int64_t tightest = kWholeCard;
  for (const CardSlot& card : cards) {
    if (card.chip == group.chip && card.is_healthy && card.used > 0 && card.used + fraction <= kWholeCard) {
      tightest = std::min(tightest, kWholeCard - card.used - fraction);
    }
  }
  return static_cast<std::uint32_t>(tightest < kWholeCard ? tightest : kWholeCard * (1 + group.free_whole));
}

// As many of `tasks` as `free` is enough for. Most often a few tasks, and it is enough for all: no division then.
std::int64_t as_many(std::int64_t tasks, std::int64_t each, std::int64_t free) {
  constexpr std::int64_t kFew = 64;  // Of which no sum can overflow.
  if (tasks <= kFew && tasks * each <= free) {
    return tasks;
  }
  return std::min(tasks, std::max<std::int64_t>(free, 0) / each);
}

}  // namespace

std::uint32_t capacity_of(const FreeMap& map, const GroupSlot& group, const TaskNeed& need, std::uint32_t most) {
  const NodeSlot& node = map.node(group.node);
  if (!node.is_usable) {
    return 0;
  }
  std::int64_t tasks = std::min(most, need.per_node);
  if (need.cards > 0) {
    tasks = std::min<std::int64_t>(tasks, group.free_whole / need.cards);
  } else if (need.fraction > 0) {
    tasks = std::min(tasks, fractions_on(map, node, group, need.fraction));
  }
  if (node.limits_cpus && need.cpus > 0) {
    tasks = as_many(tasks, need.cpus, node.cpus_free);
  }
  if (node.limits_memory && need.memory > 0) {
    tasks = as_many(tasks, need.memory, node.memory_free);
  }
  return static_cast<std::uint32_t>(tasks);
}

GangSearch::GangSearch(const FreeMap& map, const ChipOrder& order, const GangNeed& need, Scope scope,
                       const OrderCounts* counts)
    : map_(map), order_(order), need_(need), scope_(scope), counts_(counts) {
  if (counts_ == nullptr) {
    measure();
  }
}

void GangSearch::measure() {
  const std::size_t count = order_.groups.size();
  tasks_.resize(count);
  task_sums_.resize(count + 1);
  free_sums_.resize(count + 1);
  for (std::uint32_t i = scope().begin; i < scope().end; ++i) {
    const GroupRef ref = order_.groups[i];
    const GroupSlot& group = map_.group(ref);
    const bool is_allowed =
        need_.allowed == nullptr || (ref.node < need_.allowed->size() && (*need_.allowed)[ref.node]);
    tasks_[i] = is_allowed ? capacity_of(map_, group, need_.task, need_.max_tasks) : 0;
    task_sums_[i + 1] = task_sums_[i] + tasks_[i];
    free_sums_[i + 1] = free_sums_[i] + (map_.node(ref.node).is_usable ? group.free_whole : 0);
  }
}

GangSearch::Range GangSearch::domains_at(std::size_t level) const {
  const std::vector<std::uint32_t>& domains = order_.domains[level - 1];
  return {.begin = domains[scope().begin], .end = domains[scope().end - 1] + 1};
}

std::uint32_t GangSearch::capacity(std::uint32_t position) const {
  if (counts_ == nullptr) {
    return tasks_[position];
  }
  const GroupRef ref = order_.groups[position];
  if (need_.allowed != nullptr && (ref.node >= need_.allowed->size() || !(*need_.allowed)[ref.node])) {
    return 0;
  }
  return capacity_of(map_, map_.group(ref), need_.task, need_.max_tasks);
}

std::uint64_t GangSearch::room(std::size_t level, std::uint32_t domain) const {
  const std::vector<Domain>& domains = order_.levels[level - 1];
  if (counts_ == nullptr) {
    return task_sums_[domains[domain].end] - task_sums_[domains[domain].begin];
  }
  return need_.task.cards > counts_->most ? 0 : counts_->room[level - 1][domain][need_.task.cards - 1];
}

std::uint64_t GangSearch::slack(std::size_t level, std::uint32_t domain) const {
  if (counts_ != nullptr) {
    return counts_->free[level - 1][domain];
  }
  const std::vector<std::uint64_t>& sums = need_.task.chip == kNoChip ? task_sums_ : free_sums_;
  const Domain& range = order_.levels[level - 1][domain];
  return sums[range.end] - sums[range.begin];
}

std::uint64_t GangSearch::best_room(std::size_t level) const {
  std::uint64_t best = 0;
  if (level > 0) {
    const std::size_t at = std::min(level, scope_.level);
    const Range domains = domains_at(at);
    for (std::uint32_t domain = domains.begin; domain < domains.end; ++domain) {
      best = std::max(best, room(at, domain));
    }
  } else if (counts_ == nullptr) {
    best = *std::max_element(tasks_.begin() + scope().begin, tasks_.begin() + scope().end);
  } else if (need_.task.cards <= order_.most_cards) {
    for (const FreeClass at : classes_for(need_.task.cards)) {
      const std::uint64_t tasks = free_of_class(at) / need_.task.cards;
      best = tasks > best && tightest_leaf_with(at).has_value() ? tasks : best;
    }
  }
  return best;
}

Fitness GangSearch::fitness(std::uint32_t position) const {
  const GroupSlot& group = map_.group(order_.groups[position]);
  const NodeSlot& node = map_.node(group.node);
  Fitness fitness = {.leaf = slack(1, order_.domains[0][position])};
  if (need_.task.fraction > 0) {
    fitness.left_behind = left_by_fraction(map_.cards_of(node), group, need_.task.fraction);
  } else if (need_.task.cards > 0) {
    fitness.left_behind = (group.free_whole - need_.task.cards) * static_cast<std::uint32_t>(kWholeCard);
    fitness.splits_link_group = need_.task.cards > group.together;
    fitness.together = group.together;
  } else {
    fitness.leaf = 0;
    fitness.left_behind = node.accelerators;
    fitness.cpus_left = node.limits_cpus ? node.cpus_free - need_.task.cpus : 0;
  }
  return fitness;
}

std::optional<std::uint32_t> GangSearch::find_node(std::uint32_t tasks) {
  if (counts_ != nullptr) {
    return find_node_by_class(tasks);
  }
  std::optional<std::pair<Fitness, std::uint32_t>> best;
  for (std::uint32_t i = scope().begin; i < scope().end; ++i) {
    if (tasks_[i] >= tasks && (!best.has_value() || fitness(i) < best->first)) {
      best = {fitness(i), i};
    }
  }
  return best.has_value() ? std::optional(best->second) : std::nullopt;
}

// Of the leaves that have a group of this class, the one with the least free.
std::optional<std::uint32_t> GangSearch::tightest_leaf_with(FreeClass wanted) const {
  if (counts_->groups_in_class[wanted] == 0) {
    return std::nullopt;
  }
  const std::uint32_t* in_leaf = counts_->in_leaf.data() + std::size_t{wanted} * counts_->leaves;
  const std::uint32_t* free = counts_->free.front().data();
  const Range leaves = domains_at(1);
  std::optional<std::uint32_t> leaf;
  std::uint32_t least = UINT32_MAX;
  for (std::uint32_t i = leaves.begin; i < leaves.end; ++i) {
    if (in_leaf[i] > 0 && free[i] < least) {
      leaf = i;
      least = free[i];
    }
  }
  return leaf;
}

// The classes are in the order of Fitness; within one, the tightest leaf.
std::optional<std::uint32_t> GangSearch::find_node_by_class(std::uint32_t tasks) {
  const std::uint64_t cards = std::uint64_t{tasks} * need_.task.cards;
  if (cards > order_.most_cards) {
    return std::nullopt;
  }
  for (const FreeClass wanted : classes_for(need_.task.cards)) {
    if (free_of_class(wanted) < cards) {
      continue;
    }
    const std::optional<std::uint32_t> leaf = tightest_leaf_with(wanted);
    if (!leaf.has_value()) {
      continue;
    }
    const Domain& range = order_.levels[0][*leaf];
    for (std::uint32_t i = range.begin; i < range.end; ++i) {
      if (counts_->classes[i] == wanted && capacity(i) >= tasks) {
        return i;
      }
    }
    is_unsure_ = true;
    return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Selection> GangSearch::select(std::uint32_t tasks, std::size_t top_level) {
  if (const std::optional<std::uint32_t> node = find_node(tasks)) {
    return Selection{.level = 0, .domain = {}, .seats = {{.position = *node, .tasks = tasks}}};
  }
  for (std::size_t level = 1; level <= std::min(top_level, scope_.level) && !is_unsure_; ++level) {
    const Range domains = domains_at(level);
    std::optional<std::uint32_t> best;
    std::uint64_t least = UINT64_MAX;
    for (std::uint32_t domain = domains.begin; domain < domains.end; ++domain) {
      if (room(level, domain) >= tasks && slack(level, domain) < least) {
        best = domain;
        least = slack(level, domain);
      }
    }
    if (!best.has_value()) {
      continue;
    }
    Selection selection = {.level = level, .domain = order_.levels[level - 1][*best]};
    if (fill(level, *best, tasks, selection.seats) == tasks) {
      return selection;
    }
    is_unsure_ = true;
  }
  return std::nullopt;
}

// The tightest child that takes all that is left, else the roomiest one whole: few domains, and the remainder where it
// leaves least behind. Chosen first and filled in the order of the fabric, so that seats come by position.
std::uint32_t GangSearch::fill(std::size_t level, std::uint32_t domain, std::uint32_t tasks,
                               std::vector<Seats>& seats) const {
  if (level == 1) {
    return fill_leaf(domain, tasks, seats);
  }
  const Domain& range = order_.levels[level - 1][domain];
  const std::uint32_t first = order_.domains[level - 2][range.begin];
  const std::uint32_t last = order_.domains[level - 2][range.end - 1];
  std::vector<std::uint32_t> wanted(last - first + std::size_t{1}, 0);
  std::uint32_t left = tasks;
  while (left > 0) {
    std::optional<std::uint32_t> best;
    std::uint64_t best_room = 0;
    for (std::uint32_t child = first; child <= last; ++child) {
      const std::uint64_t has = wanted[child - first] > 0 ? 0 : room(level - 1, child);
      const bool is_better = has >= left ? best_room < left || has < best_room ||
                                               (has == best_room && slack(level - 1, child) < slack(level - 1, *best))
                                         : best_room < left && has > best_room;
      if (has > 0 && is_better) {
        best = child;
        best_room = has;
      }
    }
    if (!best.has_value()) {
      break;
    }
    wanted[*best - first] = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, best_room));
    left -= wanted[*best - first];
  }
  std::uint32_t filled = 0;
  for (std::uint32_t child = first; child <= last; ++child) {
    if (wanted[child - first] > 0) filled += fill(level - 1, child, wanted[child - first], seats);
  }
  return filled;
}

// One task on each of the best fitting nodes if there are enough of them, else the roomiest nodes filled, so that few
// are used.
std::uint32_t GangSearch::fill_leaf(std::uint32_t domain, std::uint32_t tasks, std::vector<Seats>& seats) const {
  const Domain& range = order_.levels[0][domain];
  const std::size_t first = seats.size();
  std::uint64_t room = 0;
  for (std::uint32_t i = range.begin; i < range.end; ++i) {
    if (counts_ != nullptr && free_of_class(counts_->classes[i]) < need_.task.cards) {
      continue;
    }
    if (const std::uint32_t fitting = capacity(i); fitting > 0) {
      seats.push_back({.position = i, .tasks = fitting});
      room += fitting;
    }
  }
  const std::size_t nodes = seats.size() - first;
  if (nodes > tasks) {
    keep_best_fitting(seats, first, tasks);
  } else if (nodes < tasks && room > tasks) {
    const auto is_roomier = [](const Seats& a, const Seats& b) {
      return a.tasks != b.tasks ? a.tasks > b.tasks : a.position < b.position;
    };
    std::sort(seats.begin() + static_cast<std::ptrdiff_t>(first), seats.end(), is_roomier);
    std::uint32_t left = tasks;
    std::size_t at = first;
    for (; left > 0; ++at) {
      seats[at].tasks = std::min(seats[at].tasks, left);
      left -= seats[at].tasks;
    }
    seats.resize(at);
    std::sort(seats.begin() + static_cast<std::ptrdiff_t>(first), seats.end());
  }
  if (nodes >= tasks) {
    std::for_each(seats.begin() + static_cast<std::ptrdiff_t>(first), seats.end(), [](Seats& seat) { seat.tasks = 1; });
  }
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(room, tasks));
}

void GangSearch::keep_best_fitting(std::vector<Seats>& seats, std::size_t first, std::uint32_t count) const {
  std::vector<std::pair<Fitness, std::uint32_t>> candidates;
  candidates.reserve(seats.size() - first);
  for (std::size_t i = first; i < seats.size(); ++i) {
    candidates.emplace_back(fitness(seats[i].position), seats[i].position);
  }
  std::nth_element(candidates.begin(), candidates.begin() + (count - 1), candidates.end());
  seats.resize(first + count);
  for (std::uint32_t i = 0; i < count; ++i) {
    seats[first + i].position = candidates[i].second;
  }
  std::sort(seats.begin() + static_cast<std::ptrdiff_t>(first), seats.end(),
            [](const Seats& a, const Seats& b) { return a.position < b.position; });
}

}  // namespace busbar::sched::place
