#include "sched/backfill/pass.h"

#include <algorithm>
#include <memory>
#include <span>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "sched/backfill/promises.h"
#include "sched/elastic/growth.h"
#include "sched/fairshare/order.h"
#include "sched/fairshare/quota.h"
#include "sched/gang/affinity.h"
#include "sched/gang/swap.h"
#include "sched/place/feasible.h"
#include "sched/place/placer.h"
#include "sched/preempt/moves.h"
#include "sched/preempt/plan.h"

namespace busbar::sched::backfill {
namespace {

using internal::ClassKey;
using internal::JobRecord;
using internal::PendingClass;
using internal::PendingKey;
using internal::State;
using Filter = std::shared_ptr<const place::NodeFilter>;

/// The first job of a class.
struct Front {
  PendingKey order = {};
  ClassKey key = {};
  std::uint64_t urgency = 0;  ///< Of the learned order.

  std::tuple<std::int64_t, std::uint64_t, PendingKey> rank() const { return {order.negated_priority, ~urgency, order}; }
};

/// One walk over the pending jobs: queues in fair-share order, the jobs of one by priority and age. A class leaves the
/// walk with its first job that cannot start.
class Pass {
 public:
  explicit Pass(internal::DecisionLog& log) : log_(log), state_(log.state()), promises_(log) {}

  /// With `watched`: until that job's class leaves the walk or the job starts; says why.
  Obstacle run(model::JobId watched = {});

 private:
  enum class Yields : std::uint8_t { kNo, kYes };
  struct Attempt {
    Obstacle obstacle = {};
    std::optional<place::Found> found = {};
    Yields yields = Yields::kNo;
  };
  struct Tried {
    std::optional<place::Found> found = {};
    bool is_any_in_quota = false;  ///< Some alternative would be within quota.
    bool is_all_in_quota = true;
  };

  void replace_lost();
  void enlarge_placed();
  void grow_running();
  void take_yielded();
  void make_room();
  Front front_of(const ClassKey& key, const PendingKey& first, const JobRecord& record) const;
  std::optional<Front> next_front(const ClassKey& key) const;
  /// By index of the leaf queue; heaps, the first job on top.
  std::vector<std::vector<Front>> fronts_by_queue() const;
  Attempt try_job(const JobRecord& record, const ClassKey& key);
  Attempt find_cards(const JobRecord& record, const ClassKey& key);
  bool preempt_for(const JobRecord& record, const ClassKey& key);
  bool others_wait() const;
  Tried place_within_quota(const JobRecord& record, const Filter* among);
  std::optional<place::Found> place_gang(const JobRecord& record, std::span<const place::GangNeed> needs,
                                         const Filter& among);
  Attempt keep_promises(const JobRecord& record, Attempt attempt);
  void start(const JobRecord& record, place::Found found, Yields yields);

  internal::DecisionLog& log_;
  State& state_;
  Promises promises_;
  std::unique_ptr<preempt::Ground> ground_;
  std::vector<model::JobId> small_;  ///< Placed with fewer tasks than they would take.
};

const Filter kEverywhere;

bool later(const Front& a, const Front& b) {
  return b.rank() < a.rank();
}

Front Pass::front_of(const ClassKey& key, const PendingKey& first, const JobRecord& record) const {
  return {.order = first, .key = key, .urgency = state_.urgency_of(record)};
}

std::optional<Front> Pass::next_front(const ClassKey& key) const {
  const PendingClass* pending = state_.pending().find(key);
  if (pending == nullptr) {
    return std::nullopt;
  }
  const PendingKey& first = pending->jobs.begin()->first;
  return front_of(key, first, *state_.jobs().find(first.job));
}

std::vector<std::vector<Front>> Pass::fronts_by_queue() const {
  std::vector<std::vector<Front>> fronts(state_.tree().nodes().size());
  for (const auto& [key, pending] : state_.pending()) {
    const PendingKey& first = pending.jobs.begin()->first;
    const JobRecord& record = *state_.jobs().find(first.job);
    fronts[*state_.tree().find(record.request().queue)].push_back(front_of(key, first, record));
  }
  for (std::vector<Front>& heap : fronts) {
    std::make_heap(heap.begin(), heap.end(), later);
  }
  return fronts;
}

// They go first: their gangs were running, and the cards they hold do nothing meanwhile.
void Pass::replace_lost() {
  std::vector<model::JobId> waiting;
  for (const auto& [id, no_fit_version] : state_.kept()) {
    if (no_fit_version != state_.capacity_version() && state_.jobs().find(id)->not_before_ms <= state_.now_ms()) {
      waiting.push_back(id);
    }
  }
  for (const model::JobId id : waiting) {
    const JobRecord& record = *state_.jobs().find(id);
    if (auto found = gang::complete_gang(state_, record)) {
      start(record, *std::move(found), record.yields ? Yields::kYes : Yields::kNo);
    } else {
      state_.note_no_replacement(id);
    }
  }
}

Obstacle Pass::run(model::JobId watched) {
  replace_lost();
  fairshare::ServingOrder order(state_);
  std::vector<std::vector<Front>> fronts = fronts_by_queue();
  for (std::uint32_t leaf = 0; leaf < fronts.size(); ++leaf) {
    if (!fronts[leaf].empty()) {
      order.add(leaf);
      order.set_head(leaf, fronts[leaf].front().urgency);
    }
  }
  const JobRecord* watched_record = state_.jobs().find(watched);
  const std::optional<ClassKey> watched_class =
      watched_record == nullptr ? std::nullopt : std::optional(state_.class_of(*watched_record));
  while (const std::optional<std::uint32_t> leaf = order.next()) {
    std::vector<Front>& heap = fronts[*leaf];
    std::pop_heap(heap.begin(), heap.end(), later);
    const Front front = std::move(heap.back());
    heap.pop_back();
    const JobRecord& record = *state_.jobs().find(front.order.job);
    Attempt attempt = try_job(record, front.key);
    const bool has_claim = attempt.obstacle.kind == Obstacle::Kind::kClaim;
    if (attempt.obstacle.kind != Obstacle::Kind::kNothing && !has_claim) {
      if (heap.empty()) order.remove(*leaf);
      order.set_head(*leaf, heap.empty() ? 0 : heap.front().urgency);
      if (watched_class.has_value() && !(front.key < *watched_class) && !(*watched_class < front.key)) {
        return attempt.obstacle;
      }
      continue;
    }
    if (!has_claim) {
      if (attempt.found->placement.tasks.size() < record.request().max_nodes) small_.push_back(front.order.job);
      start(record, std::move(*attempt.found), attempt.yields);
    }
    if (front.order.job == watched) {
      return attempt.obstacle;
    }
    if (std::optional<Front> next = next_front(front.key)) {
      heap.push_back(std::move(*next));
      std::push_heap(heap.begin(), heap.end(), later);
    }
    order.charged(*leaf);
    if (heap.empty()) order.remove(*leaf);
    order.set_head(*leaf, heap.empty() ? 0 : heap.front().urgency);
  }
  if (!state_.yielding().empty() || state_.moves_left() > 0) {
    (void)promises_.first();
  }
  enlarge_placed();
  grow_running();
  promises_.settle();
  take_yielded();
  make_room();
  return {};
}

bool is_elastic(const JobRequest& request) {
  return request.min_nodes < request.max_nodes;
}

// What is left when everybody has had a turn goes to those that started small.
void Pass::enlarge_placed() {
  for (const model::JobId id : small_) {
    const JobRecord& record = *state_.jobs().find(id);
    // Somebody later in the walk may have taken its cards.
    if (record.state != model::JobState::kStarting) {
      continue;
    }
    const auto growth = elastic::find_growth(state_, record);
    if (growth.has_value() && (promises_.first() == nullptr || promises_.admit(record, growth->added) == nullptr)) {
      log_.amend({.attempt = record.attempt_id(),
                  .placement = growth->placement,
                  .reason = fmt::format("{}; grown to {} tasks when others had had their turn", record.granted->reason,
                                        growth->placement.tasks.size()),
                  .yields = record.yields});
    }
  }
}

// By priority and age, as they were placed. One after the other: each takes from what is left.
void Pass::grow_running() {
  std::vector<PendingKey> order;
  for (const auto& [id, no_fit_version] : state_.growable()) {
    const JobRecord& record = *state_.jobs().find(id);
    if (no_fit_version != state_.capacity_version() && elastic::may_resize(state_, record)) {
      order.push_back(internal::order_of(record));
    }
  }
  std::sort(order.begin(), order.end());
  for (const PendingKey& key : order) {
    const JobRecord record = *state_.jobs().find(key.job);
    const auto growth = elastic::find_growth(state_, record);
    if (!growth.has_value()) {
      state_.note_no_growth(key.job);
      continue;
    }
    const auto why = elastic::why_it_pays(state_, record, *growth);
    if (!why.has_value()) {
      continue;
    }
    (void)promises_.first();
    if (elastic::is_near_promised(state_, record.is_resizable_live() ? growth->added : growth->placement)) {
      continue;
    }
    if (record.is_resizable_live()) {
      log_.emit(Extend{.attempt = record.attempt_id(), .added = growth->added, .reason = *why});
      continue;
    }
    log_.emit(Claim{.job = key.job,
                    .placement = growth->placement,
                    .until_ms = state_.now_ms() + state_.policy().claim_timeout_ms,
                    .reason = *why});
    log_.emit(Stop{.attempt = record.attempt_id(), .reason = StopReason::kResized, .detail = *why});
  }
}

// A promise that was made in this walk may be one that jobs yield to already.
void Pass::take_yielded() {
  std::vector<model::JobId> promised;
  for (const auto& [id, entry] : state_.booked()) {
    promised.push_back(id);
  }
  for (const model::JobId id : promised) {
    const JobRecord& record = *state_.jobs().find(id);
    const ClassKey key = state_.class_of(record);
    if (!state_.yielding().empty() && record.booking != nullptr && state_.pending().contains(key)) {
      (void)preempt_for(record, key);
    }
  }
}

// For those that are promised a start: enough may be free, only not side by side.
void Pass::make_room() {
  if (state_.moves_left() == 0) {
    return;
  }
  std::vector<model::JobId> promised;
  for (const auto& [id, entry] : state_.booked()) {
    promised.push_back(id);
  }
  for (const model::JobId id : promised) {
    const JobRecord record = *state_.jobs().find(id);
    const std::uint32_t left = state_.moves_left();
    if (left == 0 || record.booking == nullptr) {
      continue;
    }
    if (const auto plan = preempt::find_moves(state_, record, preempt::current_ground(state_, ground_), left)) {
      preempt::carry_out(log_, record, *plan);
    }
  }
}

Pass::Attempt Pass::try_job(const JobRecord& record, const ClassKey& key) {
  const JobRequest& request = record.request();
  if (request.group.is_valid() && request.group_parallel > 0 &&
      state_.group_running(request.group) >= request.group_parallel) {
    return {.obstacle = {.kind = Obstacle::Kind::kArrayLimit}};
  }
  Attempt attempt = find_cards(record, key);
  if (attempt.obstacle.kind != Obstacle::Kind::kNothing && preempt_for(record, key)) {
    return {.obstacle = {.kind = Obstacle::Kind::kClaim}};
  }
  if (attempt.obstacle.kind == Obstacle::Kind::kCapacity) {
    promises_.meet(record);
    return attempt;
  }
  return attempt.found.has_value() ? keep_promises(record, std::move(attempt)) : attempt;
}

Obstacle delays(const Promise& promise) {
  const TimeMs start_ms = promise.booking.start_ms;
  return {.kind = Obstacle::Kind::kReservation,
          .head = promise.job,
          .head_start_ms = start_ms == 0 ? std::nullopt : std::optional(start_ms)};
}

// It can be stopped as soon as it runs.
bool can_yield(const State& state, const JobRecord& record) {
  const Policy& policy = state.policy();
  return policy.may_backfill_yield && record.request().is_preemptible && record.request().min_run_time_ms == 0 &&
         (record.evicted_ms == 0 || record.evicted_ms + policy.eviction_interval_ms <= state.now_ms());
}

// Where it would delay a promised job it is tried once more, outside of that job's domain; then it may start on
// condition that it makes room.
Pass::Attempt Pass::keep_promises(const JobRecord& record, Attempt attempt) {
  const Promise* first = promises_.first();
  if (first == nullptr) {
    return attempt;
  }
  std::optional<place::Found> best;
  Filter away;
  while (const Promise* delayed = promises_.admit(record, attempt.found->placement)) {
    if (!best.has_value()) {
      best = std::move(attempt.found);
    }
    away = place::both_of(std::move(away), delayed->outside);
    const bool is_everywhere = delayed->domain->size() == state_.nodes().size();
    attempt.found = is_everywhere ? std::nullopt : place_within_quota(record, &away).found;
    if (!attempt.found.has_value()) {
      if (!can_yield(state_, record)) {
        return {.obstacle = delays(*delayed)};
      }
      best->where += fmt::format("; backfilled, makes room when job {} can start", delayed->job.value);
      return {.found = std::move(best), .yields = Yields::kYes};
    }
  }
  attempt.found->where += fmt::format("; backfilled, job {} is not delayed", first->job.value);
  return attempt;
}

Pass::Attempt Pass::find_cards(const JobRecord& record, const ClassKey& key) {
  const bool is_known_not_to_fit = state_.pending().find(key)->no_fit_version == state_.capacity_version();
  Tried tried = place_within_quota(record, is_known_not_to_fit ? nullptr : &kEverywhere);
  if (tried.found.has_value()) {
    return {.found = std::move(tried.found)};
  }
  if (tried.is_all_in_quota && !is_known_not_to_fit) {
    state_.note_no_fit(key);
  }
  return {.obstacle = {.kind = tried.is_any_in_quota ? Obstacle::Kind::kCapacity : Obstacle::Kind::kQuota}};
}

bool Pass::others_wait() const {
  const auto& pending = state_.pending();
  return pending.size() > 1 || (!pending.empty() && pending.begin()->second.jobs.size() > 1);
}

// The first alternative that quota and free cards allow, among these nodes; nullptr: only the quota is looked at.
Pass::Tried Pass::place_within_quota(const JobRecord& record, const Filter* among) {
  const JobRequest& request = record.request();
  const bool starts_small = is_elastic(request) && others_wait();
  Tried tried;
  std::vector<place::GangNeed> needs;
  for (place::GangNeed need : place::needs_of(request, state_.free_map())) {
    const std::string& chip = state_.free_map().chip_name(need.task.chip);
    const fairshare::Room room =
        fairshare::room_for(state_, request, chip, {.each = need.task.milli_cards(), .most = need.max_tasks});
    need.max_tasks = static_cast<std::uint32_t>(room.tasks);
    if (starts_small) {
      need.max_tasks = std::min(need.max_tasks, need.min_tasks);
    }
    if (need.max_tasks < need.min_tasks) {
      tried.is_all_in_quota = false;
      continue;
    }
    tried.is_any_in_quota = true;
    needs.push_back(std::move(need));
  }
  for (std::size_t i = 0; i < needs.size() && among != nullptr && !tried.found.has_value(); ++i) {
    tried.found = place_gang(record, std::span(needs).subspan(i), *among);
  }
  return tried;
}

// The largest size that it accepts and that fits, away from nodes that failed it and jobs that it keeps apart from.
std::optional<place::Found> place_sizes(const place::FreeMap& map, const place::FabricOrder& fabric,
                                        const std::vector<std::uint32_t>& sizes, place::GangNeed need) {
  const place::Placer placer(map, fabric);
  if (sizes.empty()) {
    return placer.place(need);
  }
  const std::uint32_t most = need.max_tasks;
  for (auto size = sizes.rbegin(); size != sizes.rend(); ++size) {
    if (*size > most) {
      continue;
    }
    need.min_tasks = need.max_tasks = *size;
    if (auto found = placer.place(need)) {
      return found;
    }
  }
  return std::nullopt;
}

// One task that packing decides, on any chip that does as well as that of the first need.
std::optional<place::Found> pack(State& state, std::span<const place::GangNeed> needs, const Filter& allowed) {
  const place::GangNeed& first = needs.front();
  if (!place::is_packed(state.free_map(), first)) {
    return std::nullopt;
  }
  place::PackNeed packed = {.task = first.task, .allowed = allowed};
  for (const place::GangNeed& need : needs) {
    if (need.alternative == first.alternative && place::is_packed(state.free_map(), need)) {
      packed.chips.push_back(need.task.chip);
    }
  }
  return state.pack(packed);
}

// With the first of these needs; the others say which chips do as well.
std::optional<place::Found> Pass::place_gang(const JobRecord& record, std::span<const place::GangNeed> needs,
                                             const Filter& among) {
  const std::vector<std::uint32_t>& sizes = record.request().sizes;
  place::GangNeed need = needs.front();
  need.allowed = place::both_of(gang::nodes_allowed(state_, record), among);
  auto found = pack(state_, needs, need.allowed);
  if (!found.has_value()) {
    found = place_sizes(state_.free_map(), state_.fabric(), sizes, need);
  }
  if (found.has_value() || record.excluded.empty()) {
    return found;
  }
  // A node that failed it is better than none that could ever take it.
  need.allowed = place::all_but(state_.free_map(), record.excluded);
  if (place::Placer(state_.idle(), state_.fabric()).count_fitting(need) > 0) {
    return std::nullopt;
  }
  need.allowed = place::both_of(place::all_but(state_.free_map(), gang::nodes_barred(state_, record)), among);
  return place_sizes(state_.free_map(), state_.fabric(), sizes, need);
}

// Cards of others are claimed for it, and those who hold them are stopping.
bool Pass::preempt_for(const JobRecord& record, const ClassKey& key) {
  if (state_.pending().find(key)->no_plan_version == state_.plan_version()) {
    return false;
  }
  const bool has_right = preempt::may_preempt(state_, record);
  const bool is_yielded_to = preempt::may_take_yielded(state_, record);
  if (!has_right && !is_yielded_to) {
    return false;
  }
  preempt::Ground& ground = preempt::current_ground(state_, ground_);
  std::optional<preempt::Plan> plan = has_right ? preempt::find_plan(state_, record, ground) : std::nullopt;
  if (!plan.has_value() && is_yielded_to) {
    plan = preempt::find_yielded(state_, record, ground);
  }
  if (!plan.has_value()) {
    state_.note_no_plan(key);
    return false;
  }
  preempt::carry_out(log_, record, *plan);
  return true;
}

void Pass::start(const JobRecord& record, place::Found found, Yields yields) {
  log_.emit(Place{.attempt = {.job = record.id(), .number = record.attempt + 1},
                  .placement = std::move(found.placement),
                  .reason = std::move(found.where),
                  .yields = yields == Yields::kYes});
}

}  // namespace

void start_jobs(internal::DecisionLog& log, model::JobId watched) {
  preempt::settle_claims(log);
  const State& state = log.state();
  if (!state.pending().empty() || !state.kept().empty() || !state.growable().empty()) {
    Pass(log).run(watched);
  }
}

Obstacle find_obstacle(internal::State fork, model::JobId job) {
  internal::DecisionLog log(fork);
  return Pass(log).run(job);
}

}  // namespace busbar::sched::backfill
