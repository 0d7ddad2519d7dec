#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sched/fairshare/quota.h"
#include "sched/fairshare/standing.h"
#include "sched/internal/state.h"

namespace busbar::sched::preempt {

/// A job that may be stopped, and what that would cost.
struct Candidate {
  const internal::JobRecord* record = nullptr;
  std::shared_ptr<const internal::Granted> part = {};  ///< What it gives up: all that it has, or what it can spare.
  std::int64_t cost = 0;                               ///< cost_of_stop(), or another that whoever asks reckons with.
};

/// What jobs give back that are ending, and live gangs that give up tasks: as good as gone.
fairshare::Freed freed_by_ending(const internal::State& state);

/// What plans rest on, the same for all who wait until somebody starts or stops: what is free once the jobs that are
/// ending are gone and every claim is met, and who may be stopped at all. Borrows the state. Cost: O(live jobs).
class Ground {
 public:
  explicit Ground(internal::State& state);
  /// Nothing has changed since it was made.
  bool is_current(const internal::State& state) const { return version_ == state.plan_version(); }

  /// Trials take from both and give back.
  place::FreeMap& map() { return map_; }
  fairshare::Freed& freed() { return freed_; }
  /// In whole cards and parts of cards, of usable nodes.
  std::int64_t free_milli(place::ChipIndex chip);

  /// Who may be stopped at all, in id order.
  std::vector<const internal::JobRecord*> stoppable() const;

  /// Whom `job` may stop for a gang of `milli` milli-cards of `chip`, in id order; they give up all that they have.
  std::vector<Candidate> candidates_for(const internal::JobRecord& job, std::string_view chip, std::int64_t milli);

 private:
  struct Stoppable {
    const internal::JobRecord* record = nullptr;
    std::uint32_t leaf = 0;
    std::uint64_t urgency = 0;
  };
  bool gives_way(const Stoppable& victim, const internal::JobRecord& job, std::uint64_t urgency,
                 std::uint32_t own) const;

  internal::State& state_;
  std::uint64_t version_ = 0;
  place::FreeMap map_;
  fairshare::Freed freed_;
  std::vector<Stoppable> stoppable_;  ///< In id order.
  std::optional<fairshare::Standing> standing_;
  std::vector<std::optional<std::int64_t>> free_milli_;  ///< By chip.
};

/// `ground`, made anew if it is not current.
Ground& current_ground(internal::State& state, std::unique_ptr<Ground>& ground);

/// Of the learned order: so much that one may be stopped for the other.
bool is_clearly_more_urgent(const internal::State& state, std::uint64_t urgency, std::uint64_t than);

/// The jobs that yield to this one and may be stopped now, cheapest first.
std::vector<Candidate> yielding_candidates(const internal::State& state, const internal::JobRecord& job);

/// The queues at or above the job's own whose guarantee holds the gang beside what they use already.
std::vector<std::uint32_t> entitled_levels(const internal::State& state, const std::string& queue,
                                           std::string_view chip, std::int64_t milli, const fairshare::Freed& freed);

/// Milli-cards x ms since its last checkpoint, capped by how often it says that it saves.
std::int64_t lost_work(const internal::State& state, const internal::JobRecord& victim);
/// The least of which is stopped: the work that is lost; in the learned order, how soon it would have ended, by its
/// urgency whatever its size.
std::int64_t cost_of_stop(const internal::State& state, const internal::JobRecord& victim);

}  // namespace busbar::sched::preempt
