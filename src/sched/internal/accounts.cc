#include <algorithm>

#include "base/check.h"
#include "sched/internal/state.h"
#include "sched/place/free_part.h"

// What queues and claims have: the part of State that follows what jobs hold.
namespace busbar::sched::internal {

void State::put_queues(std::vector<model::Queue> queues) {
  for (model::Queue& queue : queues) {
    QueueEntry entry = {.account = {.history = {.since_ms = now_ms_}}};
    if (const QueueEntry* before = queues_.find(queue.name)) {
      entry = *before;
    }
    const std::string name = queue.name;
    entry.queue = std::move(queue);
    rehash_queue(queues_.put(name, std::move(entry)));
  }
  tree_ = std::make_shared<const fairshare::Tree>(queues_of(*this));
  rebuild_accounts();
  ++capacity_version_;
  ++plan_version_;
}

void State::rehash_queue(QueueEntry& entry) {
  hash_sum_ -= entry.hash;
  entry.hash = hash_queue(entry.queue, entry.account.history);
  hash_sum_ += entry.hash;
}

void State::settle_histories() {
  for (const auto& [name, entry] : queues_) {
    QueueEntry& changed = *queues_.find_for_write(name);
    fairshare::settle(changed.account.history, *decay_, changed.account.rate, now_ms_);
    rehash_queue(changed);
  }
}

void State::restore_history(const std::string& queue, const fairshare::History& history) {
  QueueEntry& entry = *queues_.find_for_write(queue);
  entry.account.history = history;
  rehash_queue(entry);
}

// Uses so far keep their mean; what is counted from here on goes by the new rules.
void State::set_policy(Policy policy) {
  CHECK(is_sane(policy), "a policy was not checked");
  for (const auto& [id, record] : jobs_) {
    if (const auto timer = timer_of(policy_, record, now_ms_)) timers_.erase({*timer, id});
    if (const auto protection = protection_of(policy_, record, now_ms_)) protections_.erase({*protection, id});
  }
  const fairshare::Wide old_weight = decay_->weight_at(fairshare::epoch_of(now_ms_));
  if (policy_.order != policy.order) {
    reclassify(all_pending(), [&] { policy_.order = policy.order; });
  }
  policy_ = std::move(policy);
  decay_ = std::make_shared<const fairshare::Decay>(policy_.fair_share_half_life_ms);
  const fairshare::Wide new_weight = decay_->weight_at(fairshare::epoch_of(now_ms_));
  for (const auto& [name, entry] : queues_) {
    fairshare::Account& account = queues_.find_for_write(name)->account;
    fairshare::accrue(account.history, account.rate, now_ms_);
    account.history.settled = account.history.settled / old_weight * new_weight;
    account.rate = 0;
  }
  for (const auto& [id, record] : jobs_) {
    if (const auto timer = timer_of(policy_, record, now_ms_)) timers_.put({*timer, id}, {});
    if (const auto protection = protection_of(policy_, record, now_ms_)) protections_.put({*protection, id}, {});
    if (const Granted* granted = record.occupied()) {
      queues_.find_for_write(record.request().queue)->account.rate +=
          granted->milli_cards * chip_weight(policy_, granted->placement.chip);
    }
  }
  for (const auto& [name, entry] : queues_) {
    rehash_queue(*queues_.find_for_write(name));
  }
  ++capacity_version_;
  ++plan_version_;
}

// The tree changed: who pays for what is counted anew.
void State::rebuild_accounts() {
  for (const auto& [name, entry] : queues_) {
    fairshare::Account& account = queues_.find_for_write(name)->account;
    account = {.rate = account.rate, .history = account.history};
  }
  for (const auto& [id, record] : jobs_) {
    count_in_queue(record, 1);
  }
}

// The caller has the holds released, and takes them again when everything else is in its place.
void State::set_claim(const JobRecord& record, bool is_in) {
  const auto at = std::lower_bound(holds_.begin(), holds_.end(), record.id(),
                                   [](const Hold& hold, model::JobId id) { return hold.job < id; });
  if (is_in) {
    holds_.insert(at, {.job = record.id(), .wanted = record.claim});
  } else {
    holds_.erase(at);
    ++capacity_version_;
  }
  ++plan_version_;
}

// What is held is a function of what jobs use and what is claimed, in id order: a snapshot gives it back.
void State::release_holds() {
  for (Hold& hold : holds_) {
    free_.release(hold.part.placement);
    hold.part = {};
  }
}

void State::take_holds() {
  for (Hold& hold : holds_) {
    hold.part = place::claim_free_part(free_, hold.wanted->placement);
  }
}

bool State::can_start_claim(model::JobId job) const {
  const auto at = std::find_if(holds_.begin(), holds_.end(), [&](const Hold& hold) { return hold.job == job; });
  return at != holds_.end() && at->part.is_whole;
}

namespace {

void count_priority(std::vector<std::pair<std::int32_t, std::uint32_t>>& counts, std::int32_t priority, int sign) {
  const auto at = std::lower_bound(counts.begin(), counts.end(), priority,
                                   [](const auto& entry, std::int32_t wanted) { return entry.first < wanted; });
  if (at == counts.end() || at->first != priority) {
    counts.insert(at, {priority, 1});
  } else if ((at->second += static_cast<std::uint32_t>(sign)) == 0) {
    counts.erase(at);
  }
}

}  // namespace

// The job in its queue's account, and its cards in the accounts of all queues above.
void State::count_in_queue(const JobRecord& record, int sign) {
  QueueEntry* leaf = queues_.find_for_write(record.request().queue);
  if (leaf == nullptr) {
    return;  // Just submitted to a queue that does not exist; it will be refused.
  }
  std::uint32_t& count = record.granted != nullptr ? leaf->account.holding : leaf->account.waiting;
  count += static_cast<std::uint32_t>(sign);
  if (record.granted != nullptr && record.request().is_preemptible) {
    count_priority(leaf->account.evictable, record.request().priority, sign);
  }
  if (const Granted* charged = record.charged()) {
    charge_queue(record, *charged, sign);
  }
}

void State::charge_queue(const JobRecord& record, const Granted& granted, int sign) {
  if (granted.milli_cards == 0) {
    return;
  }
  for (QueueEntry* queue = queues_.find_for_write(record.request().queue); queue != nullptr;
       queue = queue->queue.parent.empty() ? nullptr : queues_.find_for_write(queue->queue.parent)) {
    queue->account.used.add(granted.placement.chip, sign * granted.milli_cards);
    if (!record.request().is_preemptible) {
      queue->account.fixed.add(granted.placement.chip, sign * granted.milli_cards);
    }
  }
}

}  // namespace busbar::sched::internal
