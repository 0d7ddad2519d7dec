#include "sched/backfill/pass.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "sched/backfill/reservation.h"
#include "sched/fairshare/order.h"
#include "sched/fairshare/quota.h"
#include "sched/place/feasible.h"
#include "sched/place/placer.h"
#include "sched/preempt/plan.h"

namespace busbar::sched::backfill {
namespace {

using internal::ClassKey;
using internal::JobRecord;
using internal::PendingClass;
using internal::PendingKey;
using internal::State;

/// The first job of a class.
struct Front {
  PendingKey order = {};
  ClassKey key = {};
};

/// One walk over the pending jobs: queues in fair-share order, the jobs of one by priority and age. A class leaves the
/// walk with its first job that cannot start.
class Pass {
 public:
  explicit Pass(internal::DecisionLog& log) : log_(log), state_(log.state()) {}

  /// With `watched`: until that job's class leaves the walk or the job starts; says why.
  Obstacle run(model::JobId watched = {});

 private:
  struct Attempt {
    Obstacle obstacle = {};
    std::optional<place::Found> found = {};
  };

  std::optional<Front> front_of(const ClassKey& key) const;
  /// By index of the leaf queue; heaps, the first job on top.
  std::vector<std::vector<Front>> fronts_by_queue() const;
  Attempt try_job(const JobRecord& record, const ClassKey& key);
  Attempt find_cards(const JobRecord& record, const ClassKey& key);
  bool preempt_for(const JobRecord& record, const ClassKey& key);
  void start(const JobRecord& record, place::Found found);
  Reservation* reservation();

  internal::DecisionLog& log_;
  State& state_;
  std::vector<model::JobId> without_room_;  ///< In order; the first that could start on an idle cluster is the head.
  bool is_head_known_ = false;
  std::optional<Reservation> reservation_;
};

bool later(const Front& a, const Front& b) {
  return b.order < a.order;
}

std::optional<Front> Pass::front_of(const ClassKey& key) const {
  const PendingClass* pending = state_.pending().find(key);
  if (pending == nullptr) {
    return std::nullopt;
  }
  return Front{.order = pending->jobs.begin()->first, .key = key};
}

std::vector<std::vector<Front>> Pass::fronts_by_queue() const {
  std::vector<std::vector<Front>> fronts(state_.tree().nodes().size());
  for (const auto& [key, pending] : state_.pending()) {
    const JobRecord& first = *state_.jobs().find(pending.jobs.begin()->first.job);
    fronts[*state_.tree().find(first.request().queue)].push_back(*front_of(key));
  }
  for (std::vector<Front>& heap : fronts) {
    std::make_heap(heap.begin(), heap.end(), later);
  }
  return fronts;
}

Obstacle Pass::run(model::JobId watched) {
  fairshare::ServingOrder order(state_);
  std::vector<std::vector<Front>> fronts = fronts_by_queue();
  for (std::uint32_t leaf = 0; leaf < fronts.size(); ++leaf) {
    if (!fronts[leaf].empty()) order.add(leaf);
  }
  const JobRecord* watched_record = state_.jobs().find(watched);
  const std::optional<ClassKey> watched_class =
      watched_record == nullptr ? std::nullopt : std::optional(internal::class_of(watched_record->request()));
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
      if (watched_class.has_value() && !(front.key < *watched_class) && !(*watched_class < front.key)) {
        return attempt.obstacle;
      }
      continue;
    }
    if (!has_claim) {
      start(record, std::move(*attempt.found));
    }
    if (front.order.job == watched) {
      return attempt.obstacle;
    }
    if (std::optional<Front> next = front_of(front.key)) {
      heap.push_back(std::move(*next));
      std::push_heap(heap.begin(), heap.end(), later);
    }
    order.charged(*leaf);
    if (heap.empty()) order.remove(*leaf);
  }
  return {};
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
    without_room_.push_back(record.id());
  }
  if (attempt.found.has_value() && !without_room_.empty()) {
    Reservation* reservation = this->reservation();
    if (reservation != nullptr && !reservation->admit(record, attempt.found->placement)) {
      return {.obstacle = {.kind = Obstacle::Kind::kReservation,
                           .head = reservation->head(),
                           .head_start_ms = reservation->start_ms()}};
    }
    if (reservation != nullptr) {
      attempt.found->where += fmt::format("; backfilled, job {} is not delayed", reservation->head().value);
    }
  }
  return attempt;
}

// The first alternative that quota and free cards allow.
Pass::Attempt Pass::find_cards(const JobRecord& record, const ClassKey& key) {
  const JobRequest& request = record.request();
  const bool known_not_to_fit = state_.pending().find(key)->no_fit_version == state_.capacity_version();
  const place::Placer placer(state_.free_map(), state_.fabric());
  bool is_any_in_quota = false;
  bool is_all_in_quota = true;
  for (place::GangNeed need : place::needs_of(request, state_.free_map())) {
    const std::string& chip = state_.free_map().chip_name(need.task.chip);
    const fairshare::Room room =
        fairshare::room_for(state_, request, chip, {.each = need.task.milli_cards(), .most = need.max_tasks});
    need.max_tasks = static_cast<std::uint32_t>(room.tasks);
    if (need.max_tasks < need.min_tasks) {
      is_all_in_quota = false;
      continue;
    }
    is_any_in_quota = true;
    if (known_not_to_fit) {
      break;
    }
    if (auto found = placer.place(need)) {
      return {.obstacle = {}, .found = std::move(found)};
    }
  }
  if (is_all_in_quota && !known_not_to_fit) {
    state_.note_no_fit(key);
  }
  return {.obstacle = {.kind = is_any_in_quota ? Obstacle::Kind::kCapacity : Obstacle::Kind::kQuota}};
}

// Cards of others are claimed for it, and those who hold them are stopping.
bool Pass::preempt_for(const JobRecord& record, const ClassKey& key) {
  if (state_.pending().find(key)->no_plan_version == state_.plan_version() || !preempt::may_preempt(state_, record)) {
    return false;
  }
  const std::optional<preempt::Plan> plan = preempt::find_plan(state_, record);
  if (!plan.has_value()) {
    state_.note_no_plan(key);
    return false;
  }
  preempt::carry_out(log_, record, *plan);
  return true;
}

void Pass::start(const JobRecord& record, place::Found found) {
  log_.emit(Place{.attempt = {.job = record.id(), .number = record.attempt + 1},
                  .placement = std::move(found.placement),
                  .reason = std::move(found.where)});
}

Reservation* Pass::reservation() {
  for (std::size_t i = 0; i < without_room_.size() && !is_head_known_; ++i) {
    reservation_ = Reservation::make(state_, *state_.jobs().find(without_room_[i]));
    is_head_known_ = reservation_.has_value();
  }
  if (!is_head_known_) {
    without_room_.clear();
  }
  return reservation_.has_value() ? &*reservation_ : nullptr;
}

}  // namespace

void start_jobs(internal::DecisionLog& log) {
  preempt::settle_claims(log);
  if (!log.state().pending().empty()) {
    Pass(log).run();
  }
}

Obstacle find_obstacle(internal::State fork, model::JobId job) {
  internal::DecisionLog log(fork);
  return Pass(log).run(job);
}

}  // namespace busbar::sched::backfill
