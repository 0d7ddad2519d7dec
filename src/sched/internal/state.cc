#include "sched/internal/state.h"

#include <algorithm>

#include "base/check.h"
#include "sched/internal/submission.h"
#include "sched/place/free_part.h"
#include "sched/place/placer.h"

namespace busbar::sched::internal {

/// Where the derived indexes keep a job.
struct State::Spot {
  bool is_pending = false;
  bool is_blocked = false;
  bool is_live = false;     ///< Holds cards.
  bool is_ending = false;   ///< Holds cards, but not for long.
  bool gives_back = false;  ///< So, or some of its tasks are leaving.
  bool is_yielding = false;
  bool is_growable = false;
  bool has_slot = false;  ///< Of its array: it holds cards or is sure of some.
  const Granted* occupied = nullptr;
  std::optional<TimeMs> timer = {};
  std::optional<TimeMs> protection = {};
};

State::State(Policy policy)
    : policy_(std::move(policy)), decay_(std::make_shared<const fairshare::Decay>(policy_.fair_share_half_life_ms)) {
  put_queue({.name = "default"});
}

bool is_possible(const State& state, const Booking& booking) {
  const auto& nodes = booking.nodes;
  return !nodes.empty() && booking.level > 0 && is_sane_time(booking.start_ms) &&
         std::adjacent_find(nodes.begin(), nodes.end(), std::greater_equal<>()) == nodes.end() &&
         std::all_of(nodes.begin(), nodes.end(), [&](model::NodeId id) { return state.nodes().contains(id); });
}

bool same_declaration(const model::Node& a, const model::Node& b) {
  model::Node like_b = a;
  like_b.state = b.state;
  for (std::size_t i = 0; i < std::min(a.cards.size(), b.cards.size()); ++i) {
    like_b.cards[i].health = b.cards[i].health;
  }
  return like_b == b;
}

bool dependencies_met(const State& state, const JobRequest& request) {
  // A job that names itself is refused; until then it must not seem to change by being stored.
  return std::none_of(request.after.begin(), request.after.end(), [&](const JobRequest::Dependency& after) {
    return after.job != request.id && state.jobs().contains(after.job);
  });
}

std::optional<TimeMs> timer_of(const Policy& policy, const JobRecord& record, TimeMs now_ms) {
  switch (record.state) {
    case model::JobState::kQueued:
      if (record.claim) return record.claim_until_ms;
      if (record.not_before_ms > now_ms) {
        return record.not_before_ms;
      }
      return record.kept ? std::optional(record.kept->until_ms) : std::nullopt;
    case model::JobState::kStarting:
      return record.placed_ms + policy.start_deadline_ms;
    case model::JobState::kRunning:
      return record.request().time_limit_ms > 0 ? std::optional(record.started_ms + record.request().time_limit_ms)
                                                : std::nullopt;
    case model::JobState::kBlocked:
    case model::JobState::kStopping:
    case model::JobState::kSucceeded:
    case model::JobState::kFailed:
    case model::JobState::kCancelled:
      return std::nullopt;
  }
  return std::nullopt;
}

std::uint32_t State::group_running(model::JobId group) const {
  const std::uint32_t* count = group_running_.find(group);
  return count == nullptr ? 0 : *count;
}

std::vector<model::JobId> State::dependents_of(model::JobId job) const {
  std::vector<model::JobId> waiters;
  for (auto at = waiting_for_.lower_bound({job, {}}); at != waiting_for_.end() && at->first.first == job; ++at) {
    waiters.push_back(at->first.second);
  }
  return waiters;
}

const place::FabricOrder& State::fabric() {
  if (!fabric_) {
    std::vector<const model::Node*> nodes;
    for (const auto& [id, entry] : nodes_) {
      nodes.push_back(entry.node.get());
    }
    fabric_ = std::make_shared<const place::FabricOrder>(nodes, free_);
    free_.attach(fabric_);
  }
  return *fabric_;
}

const place::FreeMap& State::declared() {
  if (!declared_) {
    fabric();  // Of the same counts by domain.
    declared_ = std::make_shared<const place::FreeMap>(free_.declared());
  }
  return *declared_;
}

bool State::fits_declared(const place::GangNeed& need) {
  const std::vector<place::GangNeed>& known = known_to_fit_.read();
  if (std::find(known.begin(), known.end(), need) != known.end()) {
    return true;
  }
  if (place::Placer(declared(), fabric()).count_fitting(need) == 0) {
    return false;
  }
  std::vector<place::GangNeed>& kept = known_to_fit_.write();
  if (kept.size() == kMaxKnownToFit) {
    kept.erase(kept.begin(), kept.begin() + kMaxKnownToFit / 2);
  }
  kept.push_back(need);
  return true;
}

const place::FreeMap& State::idle() {
  if (!idle_) {
    fabric();  // Of the same counts by domain.
    idle_ = std::make_shared<const place::FreeMap>(free_.idle());
  }
  return *idle_;
}

std::optional<TimeMs> State::next_wakeup() const {
  std::optional<TimeMs> next;
  for (const auto* index : {&timers_, &protections_}) {
    if (!index->empty() && (!next.has_value() || index->begin()->first.first < *next)) {
      next = index->begin()->first.first;
    }
  }
  if (next_edge_ms_.has_value() && (!next.has_value() || *next_edge_ms_ < *next)) {
    next = next_edge_ms_;
  }
  return next;
}

std::int64_t chip_weight(const Policy& policy, std::string_view chip) {
  for (const auto& [name, weight] : policy.chip_weights) {
    if (name == chip) {
      return weight;
    }
  }
  return 1000;
}

std::vector<model::Queue> queues_of(const State& state) {
  std::vector<model::Queue> queues;
  for (const auto& [name, entry] : state.queues()) {
    queues.push_back(entry.queue);
  }
  return queues;
}

bool State::set_now(TimeMs now_ms) {
  const bool is_new_epoch = fairshare::epoch_of(now_ms) != fairshare::epoch_of(now_ms_);
  now_ms_ = now_ms;
  if (is_new_epoch) {
    settle_histories();
  }
  bool has_woken = end_reservations();
  // Jobs whose backoff is over become pending: an index moves, the record stays as it is.
  while (!protections_.empty() && protections_.begin()->first.first <= now_ms_) {
    const auto ended = protections_.begin()->first;
    protections_.erase(ended);
    if (const auto next_ms = protection_of(policy_, *jobs_.find(ended.second), now_ms_)) {
      protections_.put({*next_ms, ended.second}, {});
    }
    ++plan_version_;
    has_woken = true;
  }
  std::vector<std::pair<TimeMs, model::JobId>> due;
  for (auto at = timers_.begin(); at != timers_.end() && at->first.first <= now_ms_; ++at) {
    due.push_back(at->first);
  }
  for (const auto& key : due) {
    const JobRecord* record = jobs_.find(key.second);
    if (record->state != model::JobState::kQueued || record->claim || key.first != record->not_before_ms) {
      continue;
    }
    timers_.erase(key);
    if (record->kept) {
      timers_.put({record->kept->until_ms, key.second}, {});
      has_woken = true;
    } else if (dependencies_met(*this, record->request())) {
      index_pending(*record, true);
      has_woken = true;
    }
  }
  return has_woken;
}

void State::put_node(model::Node node) {
  const NodeEntry* before = nodes_.find(node.id);
  const std::uint64_t hash = hash_node(node);
  hash_sum_ += hash - (before == nullptr ? 0 : before->hash);
  release_holds();
  free_.put_node(node);
  idle_.reset();
  take_holds();
  if (before != nullptr) {
    for (const model::Card& card : before->node->cards) declared_cards_.add(card.chip, -place::kWholeCard);
  }
  for (const model::Card& card : node.cards) declared_cards_.add(card.chip, place::kWholeCard);
  if (before == nullptr || !same_declaration(*before->node, node)) {
    fabric_.reset();
    free_.detach();
    packing_.forget_nodes();
    declared_.reset();
    known_to_fit_ = {};
    for (const model::JobId booked : booked_jobs()) {
      booked_.find_for_write(booked)->domain.reset();
    }
  }
  ++capacity_version_;
  ++plan_version_;
  const model::NodeId id = node.id;
  nodes_.put(id, {.node = std::make_shared<const model::Node>(std::move(node)), .hash = hash});
}

void State::put_job(JobRecord record) {
  record.hash = hash_job(record);
  const model::JobId id = record.id();
  const JobRecord* before = jobs_.find(id);
  hash_sum_ += record.hash - (before == nullptr ? 0 : before->hash);
  move_indexes(before, &record);
  jobs_.put(id, std::move(record));
}

void State::erase_job(model::JobId id, std::optional<bool> is_success) {
  const JobRecord record = *jobs_.find(id);
  hash_sum_ -= record.hash;
  move_indexes(&record, nullptr);
  jobs_.erase(id);
  if (!is_success.has_value()) {
    return;
  }
  ++finished_count_;
  restore_outcome(id, {.is_success = *is_success, .sequence = finished_count_});
  if (outcomes_.size() > kMaxOutcomes) {
    const std::uint64_t sequence = outcome_order_.begin()->first;
    const model::JobId oldest = outcome_order_.begin()->second;
    hash_sum_ -= hash_outcome(oldest, *outcomes_.find(oldest));
    outcomes_.erase(oldest);
    outcome_order_.erase(sequence);
  }
  wake_dependents(id);
}

void State::restore_outcome(model::JobId id, Outcome outcome) {
  hash_sum_ += hash_outcome(id, outcome);
  outcomes_.put(id, outcome);
  outcome_order_.put(outcome.sequence, id);
}

void State::wake_dependents(model::JobId id) {
  for (const model::JobId waiter : dependents_of(id)) {
    waiting_for_.erase({id, waiter});
    const JobRecord& record = *jobs_.find(waiter);
    if (spot_of(record).is_pending) {
      index_pending(record, true);
    }
  }
}

// Also one that is refused: it says what tasks look like. But not one that makes no sense.
void State::note_submission(const JobRequest& request) {
  if (wrong_fields(request).empty()) {
    experience_.note(request);
  }
}

void State::note_no_fit(const ClassKey& key) {
  if (PendingClass* pending = pending_.find_for_write(key)) {
    pending->no_fit_version = capacity_version_;
  }
}

void State::note_no_plan(const ClassKey& key) {
  if (PendingClass* pending = pending_.find_for_write(key)) {
    pending->no_plan_version = plan_version_;
  }
}

void State::note_no_replacement(model::JobId id) {
  kept_.put(id, capacity_version_);
}

State::Spot State::spot_of(const JobRecord& record) const {
  return {.is_pending = record.state == model::JobState::kQueued && record.claim == nullptr && record.kept == nullptr &&
                        record.not_before_ms <= now_ms_ && dependencies_met(*this, record.request()),
          .is_blocked = record.state == model::JobState::kBlocked,
          .is_live = record.granted != nullptr,
          .is_ending = record.is_ending(),
          .gives_back = record.is_ending() || record.staying > 0,
          .is_yielding = record.granted != nullptr && record.yields && !record.is_ending(),
          .is_growable = is_growable(record),
          .has_slot = record.occupied() != nullptr || record.claim != nullptr,
          .occupied = record.occupied(),
          .timer = timer_of(policy_, record, now_ms_),
          .protection = protection_of(policy_, record, now_ms_)};
}

void State::move_indexes(const JobRecord* before, const JobRecord* after) {
  if (before == nullptr || after == nullptr) {
    const JobRecord& record = before == nullptr ? *after : *before;
    index_dependencies(record, after != nullptr);
    index_avoided(record.request(), after != nullptr ? 1 : -1);
  }
  const Spot old_spot = before == nullptr ? Spot{} : spot_of(*before);
  const Spot new_spot = after == nullptr ? Spot{} : spot_of(*after);
  if (old_spot.is_pending && !new_spot.is_pending) {
    index_pending(*before, false);
  } else if (!old_spot.is_pending && new_spot.is_pending) {
    index_pending(*after, true);
  }
  if (old_spot.timer != new_spot.timer) {
    if (old_spot.timer.has_value()) timers_.erase({*old_spot.timer, before->id()});
    if (new_spot.timer.has_value()) timers_.put({*new_spot.timer, after->id()}, {});
  }
  if (old_spot.is_blocked != new_spot.is_blocked) {
    if (new_spot.is_blocked) {
      blocked_.put(after->id(), {});
    } else {
      blocked_.erase(before->id());
    }
  }
  if (old_spot.protection != new_spot.protection) {
    if (old_spot.protection.has_value()) protections_.erase({*old_spot.protection, before->id()});
    if (new_spot.protection.has_value()) protections_.put({*new_spot.protection, after->id()}, {});
    ++plan_version_;
  }
  const Granted* old_claim = before == nullptr ? nullptr : before->claim.get();
  const Granted* new_claim = after == nullptr ? nullptr : after->claim.get();
  if (before == nullptr || after == nullptr || old_spot.is_live != new_spot.is_live ||
      old_spot.occupied != new_spot.occupied || old_claim != new_claim) {
    if (before != nullptr) count_in_queue(*before, -1);
    if (after != nullptr) count_in_queue(*after, 1);
  }
  // What others wait for goes to them before anybody else sees it, but after what a claim was made for has it.
  const bool gives_back = old_spot.occupied != nullptr && old_spot.occupied != new_spot.occupied;
  const bool moves_holds = old_claim != new_claim || gives_back;
  if (moves_holds) release_holds();
  if (old_claim != new_claim && old_claim != nullptr) set_claim(*before, false);
  if (old_spot.is_live != new_spot.is_live) {
    if (new_spot.is_live) {
      live_.put(after->id(), {});
    } else {
      live_.erase(before->id());
    }
  }
  if (old_spot.gives_back && !new_spot.gives_back) {
    ending_.erase(before->id());
  } else if (!old_spot.gives_back && new_spot.gives_back) {
    ending_.put(after->id(), {});
  }
  if (old_spot.is_yielding && !new_spot.is_yielding) {
    yielding_.erase(before->id());
  } else if (!old_spot.is_yielding && new_spot.is_yielding) {
    yielding_.put(after->id(), {});
  }
  if (old_spot.is_growable && !new_spot.is_growable) {
    growable_.erase(before->id());
  } else if (!old_spot.is_growable && new_spot.is_growable) {
    growable_.put(after->id(), 0);
  }
  index_waiting_rights(before, after);
  if (old_spot.occupied != new_spot.occupied) {
    charge(before == nullptr ? *after : *before, old_spot.occupied, new_spot.occupied);
  }
  count_in_group((after == nullptr ? before : after)->request().group,
                 (new_spot.has_slot ? 1 : 0) - (old_spot.has_slot ? 1 : 0));
  if (old_claim != new_claim && new_claim != nullptr) set_claim(*after, true);
  if (moves_holds) take_holds();
  // What is ending counts as free for whoever may take cards from others; who resizes live is no candidate for a while.
  const bool has_begun_to_leave = before != nullptr && after != nullptr && before->staying != after->staying;
  if (new_spot.is_live && (old_spot.is_ending != new_spot.is_ending || has_begun_to_leave)) ++plan_version_;
}

void State::index_pending(const JobRecord& record, bool is_in) {
  const ClassKey key = class_of(record);
  const PendingKey order = order_of(record);
  PendingClass* pending = pending_.find_for_write(key);
  if (is_in) {
    if (pending == nullptr) {
      pending = &pending_.put(key, {});
    }
    pending->jobs.put(order, {});
    if (pending->jobs.begin()->first == order) {
      pending->no_plan_version = 0;  // It may be of higher priority than the one that found nobody to stop.
    }
    return;
  }
  CHECK(pending != nullptr && pending->jobs.erase(order), "pending job is not in its class");
  if (pending->jobs.empty()) {
    pending_.erase(key);
  }
}

void State::index_dependencies(const JobRecord& record, bool is_in) {
  for (const JobRequest::Dependency& after : record.request().after) {
    if (is_in && jobs_.contains(after.job)) {
      waiting_for_.put({after.job, record.id()}, {});
    } else if (!is_in) {
      waiting_for_.erase({after.job, record.id()});
    }
  }
}

// Cards and use over time of an attempt or of what is kept after it: what it had is given back, what it has is taken.
// In one go, so that what it keeps does not pass through the hands of those who wait.
void State::charge(const JobRecord& record, const Granted* had, const Granted* has) {
  const JobRequest& request = record.request();
  ++plan_version_;
  if (had != nullptr) {
    free_.release(had->placement);
    ++capacity_version_;
  }
  if (has != nullptr) {
    free_.claim(has->placement);
  }
  if (QueueEntry* queue = queues_.find_for_write(request.queue)) {
    fairshare::accrue(queue->account.history, queue->account.rate, now_ms_);
    for (const auto& [granted, sign] : {std::pair{had, -1}, std::pair{has, 1}}) {
      if (granted != nullptr) {
        queue->account.rate += sign * granted->milli_cards * chip_weight(policy_, granted->placement.chip);
      }
    }
    rehash_queue(*queue);
  }
}

void State::count_in_group(model::JobId group, int sign) {
  if (!group.is_valid() || sign == 0) {
    return;
  }
  const std::uint32_t running = group_running(group) + static_cast<std::uint32_t>(sign);
  if (running == 0) {
    group_running_.erase(group);
  } else {
    group_running_.put(group, running);
  }
}

}  // namespace busbar::sched::internal
