#include "sched/preempt/candidates.h"

#include <algorithm>

#include "sched/place/free_part.h"

namespace busbar::sched::preempt {
namespace {

using internal::JobRecord;
using internal::State;

bool may_be_stopped(const State& state, const JobRecord& record) {
  return record.request().is_preemptible && !record.is_ending() && record.staying == 0 &&
         internal::protected_until(state.policy(), record) <= state.now_ms();
}

}  // namespace

fairshare::Freed freed_by_ending(const State& state) {
  fairshare::Freed freed;
  for (const auto& [id, nothing] : state.ending()) {
    const JobRecord* record = state.jobs().find(id);
    if (record->is_ending()) {
      freed.add(state, *record);
    } else if (const auto leaving = internal::leaving_of(*record)) {
      freed.add(state, record->request(), *leaving);
    }
  }
  return freed;
}

std::int64_t lost_work(const State& state, const JobRecord& victim) {
  if (victim.started_ms == 0) {
    return 0;
  }
  const std::int64_t every_ms = victim.request().checkpoint_every_ms;
  const std::int64_t most_ms = every_ms > 0 ? every_ms : state.policy().checkpoint_credit_ms;
  const TimeMs since_ms = std::max(victim.started_ms, victim.saved_ms);
  return victim.granted->milli_cards * std::clamp<std::int64_t>(state.now_ms() - since_ms, 0, most_ms);
}

std::int64_t cost_of_stop(const State& state, const JobRecord& victim) {
  if (state.policy().order != Order::kLearned) {
    return lost_work(state, victim);
  }
  constexpr std::uint64_t kMost = std::uint64_t{1} << 34;  // Of a job that ends within a second.
  const auto urgency = static_cast<std::int64_t>(std::min(state.urgency_of(victim), kMost));
  return urgency * victim.granted->milli_cards / place::kWholeCard;
}

std::vector<std::uint32_t> entitled_levels(const State& state, const std::string& queue, std::string_view chip,
                                           std::int64_t milli, const fairshare::Freed& freed) {
  std::vector<std::uint32_t> levels;
  for (std::optional<std::uint32_t> at = state.tree().find(queue); at.has_value(); at = state.tree().node(*at).parent) {
    const internal::QueueEntry& entry = *state.queues().find(state.tree().node(*at).name);
    const model::CardAmounts& guarantee = entry.queue.guarantee;
    const fairshare::CardSums* back = freed.find(entry.queue.name);
    const std::int64_t all = entry.account.used.total() - (back == nullptr ? 0 : back->total()) + milli;
    const std::int64_t of_chip = entry.account.used.of(chip) - (back == nullptr ? 0 : back->of(chip)) + milli;
    const std::int64_t promised = guarantee.of(chip).value;
    const bool says_nothing = guarantee.all.value < 0 && promised < 0;
    if (!says_nothing && (guarantee.all.value < 0 || all <= guarantee.all.value) &&
        (promised < 0 || of_chip <= promised)) {
      levels.push_back(*at);
    }
  }
  return levels;
}

Ground::Ground(State& state) : state_(state), version_(state.plan_version()), map_(state.free_map()) {
  for (const internal::Hold& hold : state.holds()) {
    map_.release(hold.part.placement);
  }
  for (const auto& [id, nothing] : state.live()) {
    const JobRecord* record = state.jobs().find(id);
    if (record->is_ending()) {
      map_.release(record->granted->placement);
      freed_.add(state, *record);
    } else if (const auto leaving = internal::leaving_of(*record)) {
      map_.release(leaving->placement);
      freed_.add(state, record->request(), *leaving);
    } else if (may_be_stopped(state, *record)) {
      stoppable_.push_back({.record = record,
                            .leaf = *state.tree().find(record->request().queue),
                            .urgency = state.urgency_of(*record)});
    }
  }
  for (const internal::Hold& hold : state.holds()) {
    (void)place::claim_free_part(map_, hold.wanted->placement);
  }
}

std::int64_t Ground::free_milli(place::ChipIndex chip) {
  if (free_milli_.size() <= chip) {
    free_milli_.resize(chip + std::size_t{1});
  }
  std::optional<std::int64_t>& sum = free_milli_[chip];
  if (!sum.has_value()) {
    sum = 0;
    for (std::uint32_t i = 0; i < map_.node_count(); ++i) {
      const place::NodeSlot& node = map_.node(i);
      for (const place::CardSlot& card : map_.cards_of(node)) {
        *sum += node.is_usable && card.chip == chip ? place::kWholeCard - card.used : 0;
      }
    }
  }
  return *sum;
}

std::vector<const JobRecord*> Ground::stoppable() const {
  std::vector<const JobRecord*> records;
  for (const Stoppable& one : stoppable_) {
    records.push_back(one.record);
  }
  return records;
}

bool is_clearly_more_urgent(const State& state, std::uint64_t urgency, std::uint64_t than) {
  return urgency / std::max<std::uint32_t>(state.policy().learned_favour, 1) > than;
}

// Of the learned order: nobody has a better right to its cards, and the other is clearly more urgent.
bool Ground::gives_way(const Stoppable& victim, const JobRecord& job, std::uint64_t urgency, std::uint32_t own) const {
  if (urgency == 0) {
    return false;
  }
  const bool is_unprotected =
      victim.leaf == own || !state_.tree().has_guarantees() || standing_->is_borrowed_against(victim.record->id(), own);
  return is_clearly_more_urgent(state_, urgency, victim.urgency) && is_unprotected &&
         victim.record->request().priority <= job.request().priority;
}

// Those of lower priority in the same queue; and what is borrowed, seen from a level that gets back what it is
// guaranteed.
std::vector<Candidate> Ground::candidates_for(const JobRecord& job, std::string_view chip, std::int64_t milli) {
  std::vector<Candidate> candidates;
  if (stoppable_.empty()) {
    return candidates;
  }
  const JobRequest& request = job.request();
  const std::uint32_t own = *state_.tree().find(request.queue);
  const std::vector<std::uint32_t> levels = entitled_levels(state_, request.queue, chip, milli, freed_);
  const std::uint64_t urgency = state_.urgency_of(job);
  if ((!levels.empty() || urgency > 0) && !standing_.has_value()) {
    standing_.emplace(state_);
  }
  const auto is_covered = [&](const Stoppable& victim) {
    if (gives_way(victim, job, urgency, own)) {
      return true;
    }
    if (victim.leaf == own) {
      return victim.record->request().priority < request.priority;
    }
    const bool is_beside = std::any_of(levels.begin(), levels.end(), [&](std::uint32_t level) {
      return !state_.tree().is_at_or_above(level, victim.leaf);
    });
    return is_beside && standing_->is_borrowed_against(victim.record->id(), own);
  };
  for (const Stoppable& victim : stoppable_) {
    if (is_covered(victim)) {
      candidates.push_back(
          {.record = victim.record, .part = victim.record->granted, .cost = cost_of_stop(state_, *victim.record)});
    }
  }
  return candidates;
}

std::vector<Candidate> yielding_candidates(const State& state, const JobRecord& job) {
  std::vector<Candidate> candidates;
  for (const auto& [id, nothing] : state.yielding()) {
    const JobRecord* record = state.jobs().find(id);
    if (may_be_stopped(state, *record) && internal::yields_to(*record, job)) {
      candidates.push_back({.record = record, .part = record->granted, .cost = cost_of_stop(state, *record)});
    }
  }
  return candidates;
}

Ground& current_ground(State& state, std::unique_ptr<Ground>& ground) {
  if (ground == nullptr || !ground->is_current(state)) {
    state.fabric();  // So that the map has its counts.
    ground = std::make_unique<Ground>(state);
  }
  return *ground;
}

}  // namespace busbar::sched::preempt
