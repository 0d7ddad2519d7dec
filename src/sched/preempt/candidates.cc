#include "sched/preempt/candidates.h"

#include <algorithm>
#include <tuple>

#include "sched/fairshare/standing.h"

namespace busbar::sched::preempt {
namespace {

using internal::JobRecord;
using internal::State;

bool may_be_stopped(const State& state, const JobRecord& record) {
  return record.request().is_preemptible && !record.is_ending() &&
         internal::protected_until(state.policy(), record) <= state.now_ms();
}

// Lower priority in the same queue; or borrowed, seen from a level that gets back what it is guaranteed.
class Entitlement {
 public:
  Entitlement(const State& state, const JobRecord& job, std::vector<std::uint32_t> levels)
      : state_(state), job_(job), leaf_(*state.tree().find(job.request().queue)), levels_(std::move(levels)) {
    if (!levels_.empty()) standing_.emplace(state);
  }

  bool covers(const JobRecord& victim) const {
    if (victim.request().queue == job_.request().queue) {
      return victim.request().priority < job_.request().priority;
    }
    if (!standing_.has_value() || !standing_->is_borrowed_against(victim.id(), leaf_)) {
      return false;
    }
    const std::uint32_t leaf = *state_.tree().find(victim.request().queue);
    return std::any_of(levels_.begin(), levels_.end(),
                       [&](std::uint32_t level) { return !state_.tree().is_at_or_above(level, leaf); });
  }

 private:
  const State& state_;
  const JobRecord& job_;
  std::uint32_t leaf_;
  std::vector<std::uint32_t> levels_;
  std::optional<fairshare::Standing> standing_;
};

std::vector<Candidate> cheapest_first(std::vector<Candidate> candidates) {
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tuple(a.lost, a.record->id()) < std::tuple(b.lost, b.record->id());
  });
  return candidates;
}

}  // namespace

std::vector<const JobRecord*> ending_jobs(const State& state) {
  std::vector<const JobRecord*> ending;
  for (const auto& [id, nothing] : state.live()) {
    const JobRecord* record = state.jobs().find(id);
    if (record->is_ending()) {
      ending.push_back(record);
    }
  }
  return ending;
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

std::vector<Candidate> candidates_for(const State& state, const JobRecord& job, std::string_view chip,
                                      std::int64_t milli, const fairshare::Freed& freed) {
  const Entitlement entitlement(state, job, entitled_levels(state, job.request().queue, chip, milli, freed));
  std::vector<Candidate> candidates;
  for (const auto& [id, nothing] : state.live()) {
    const JobRecord* record = state.jobs().find(id);
    if (may_be_stopped(state, *record) && entitlement.covers(*record)) {
      candidates.push_back({.record = record, .lost = lost_work(state, *record)});
    }
  }
  return cheapest_first(std::move(candidates));
}

std::vector<Candidate> yielding_candidates(const State& state, const JobRecord& job) {
  std::vector<Candidate> candidates;
  for (const auto& [id, nothing] : state.yielding()) {
    const JobRecord* record = state.jobs().find(id);
    if (may_be_stopped(state, *record) && internal::yields_to(*record, job)) {
      candidates.push_back({.record = record, .lost = lost_work(state, *record)});
    }
  }
  return cheapest_first(std::move(candidates));
}

}  // namespace busbar::sched::preempt
