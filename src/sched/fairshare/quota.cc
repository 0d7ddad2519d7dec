#include "sched/fairshare/quota.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/units.h"
#include "sched/place/placer.h"

namespace busbar::sched::fairshare {
namespace {

using internal::QueueEntry;
using internal::State;

/// Narrows a room by one bound after another.
class Narrowing {
 public:
  explicit Narrowing(const Ask& ask) : ask_(ask), room_{.tasks = ask.most} {}

  void by(Bound::Kind kind, const QueueEntry& entry, std::string_view chip, std::int64_t bound) {
    if (bound < 0) {
      return;
    }
    const std::int64_t taken = ask_.used == Used::kNothing ? 0 : in_use(kind, entry, chip);
    const std::int64_t tasks = std::max<std::int64_t>(bound - taken, 0) / ask_.each;
    if (tasks < room_.tasks) {
      room_ = {.tasks = tasks,
               .bound = Bound{
                   .kind = kind, .queue = entry.queue.name, .chip = std::string(chip), .used = taken, .bound = bound}};
    }
  }
  Room take() { return std::move(room_); }

 private:
  // Of a guarantee only jobs that may not be evicted count: the others give way.
  std::int64_t in_use(Bound::Kind kind, const QueueEntry& entry, std::string_view chip) const {
    const bool is_limit = kind == Bound::Kind::kLimit;
    const CardSums& used = is_limit ? entry.account.used : entry.account.fixed;
    const CardSums* freed = ask_.freed == nullptr ? nullptr
                            : is_limit            ? ask_.freed->find(entry.queue.name)
                                                  : ask_.freed->find_fixed(entry.queue.name);
    const std::int64_t back = freed == nullptr ? 0 : chip.empty() ? freed->total() : freed->of(chip);
    return (chip.empty() ? used.total() : used.of(chip)) - back;
  }

  const Ask& ask_;
  Room room_;
};

}  // namespace

// Of one that goes on elsewhere, what it is charged for beyond that.
void Freed::change(const State& state, const internal::JobRecord& job, int sign) {
  change(state, job.request(), *job.charged(), sign);
  if (job.claim != nullptr) {
    change(state, job.request(), *job.claim, -sign);
  }
}

void Freed::add_claim(const State& state, const internal::JobRecord& job) {
  change(state, job.request(), *job.claim, 1);
}

void Freed::change(const State& state, const JobRequest& request, const internal::Granted& granted, int sign) {
  if (granted.milli_cards == 0) {
    return;
  }
  for (const QueueEntry* entry = state.queues().find(request.queue); entry != nullptr;
       entry = entry->queue.parent.empty() ? nullptr : state.queues().find(entry->queue.parent)) {
    all_[entry->queue.name].add(granted.placement.chip, sign * granted.milli_cards);
    if (!request.is_preemptible) {
      fixed_[entry->queue.name].add(granted.placement.chip, sign * granted.milli_cards);
    }
  }
}

const CardSums* Freed::find(const std::string& queue) const {
  const auto at = all_.find(queue);
  return at == all_.end() ? nullptr : &at->second;
}

const CardSums* Freed::find_fixed(const std::string& queue) const {
  const auto at = fixed_.find(queue);
  return at == fixed_.end() ? nullptr : &at->second;
}

Room room_for(const State& state, const JobRequest& request, std::string_view chip, const Ask& ask) {
  if (ask.each <= 0) {
    return {.tasks = ask.most};
  }
  Narrowing room(ask);
  const QueueEntry& leaf = *state.queues().find(request.queue);
  for (const QueueEntry* entry = &leaf; entry != nullptr;
       entry = entry->queue.parent.empty() ? nullptr : state.queues().find(entry->queue.parent)) {
    room.by(Bound::Kind::kLimit, *entry, {}, entry->queue.limit.all.value);
    room.by(Bound::Kind::kLimit, *entry, chip, entry->queue.limit.of(chip).value);
  }
  if (!request.is_preemptible && state.tree().has_guarantees()) {
    const model::CardAmounts& own = leaf.queue.guarantee;
    const std::int64_t of_chip = own.of(chip).value;
    const std::int64_t all = own.all.value < 0 && of_chip < 0 ? 0 : own.all.value;
    room.by(Bound::Kind::kGuarantee, leaf, {}, all);
    room.by(Bound::Kind::kGuarantee, leaf, chip, of_chip);
  }
  return room.take();
}

std::optional<std::string> why_over_quota(const State& state, const JobRequest& request) {
  std::optional<std::string> reason;
  for (const place::GangNeed& need : place::needs_of(request, state.free_map())) {
    const std::int64_t each = need.task.milli_cards();
    const std::string& chip = state.free_map().chip_name(need.task.chip);
    const Room room = room_for(state, request, chip, {.each = each, .most = need.min_tasks, .used = Used::kNothing});
    if (room.tasks >= need.min_tasks) {
      return std::nullopt;
    }
    const Bound& bound = *room.bound;
    const std::string whose = bound.kind == Bound::Kind::kLimit ? "limit" : "guarantee";
    const std::string of = bound.chip.empty() ? "" : bound.chip + " ";
    const std::string why =
        bound.kind == Bound::Kind::kLimit ? "" : ", and it may not borrow because it is not preemptible";
    reason =
        fmt::format("needs {} {} cards at once; the {} of queue \"{}\" is {} {}cards{}",
                    format_milli(each * need.min_tasks), chip, whose, bound.queue, format_milli(bound.bound), of, why);
  }
  return reason;
}

std::string describe(const Bound& bound) {
  const std::string of = bound.chip.empty() ? "" : bound.chip + " ";
  if (bound.kind == Bound::Kind::kLimit) {
    return fmt::format("queue \"{}\" uses {} of {} {}cards", bound.queue, format_milli(bound.used),
                       format_milli(bound.bound), of);
  }
  return fmt::format(
      "jobs that are not preemptible use {} of the {} {}cards that queue \"{}\" is guaranteed, and such a "
      "job may not borrow",
      format_milli(bound.used), format_milli(bound.bound), of, bound.queue);
}

}  // namespace busbar::sched::fairshare
