#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "sched/internal/state.h"

namespace busbar::sched::fairshare {

/// Which jobs are in quota, and by whose guarantee.
///
/// In a leaf, jobs that may not be evicted come first, then those of higher priority, then those placed earlier: a job
/// is in quota if its whole gang fits what is left of the guarantee of its chip and of all cards; else all of it is
/// borrowed. A queue above that has a guarantee of its own protects in the same way what its queues below have
/// borrowed: against everybody but its own other queues.
///
/// A view of one state. Cost: O(live jobs x levels x log).
class Standing {
 public:
  explicit Standing(const internal::State& state);

  /// The job holds cards that a job of `queue` could get back if it were entitled to them.
  bool is_borrowed_against(model::JobId job, std::uint32_t queue) const;
  /// Milli-cards at or below the queue that somebody else could get back.
  std::int64_t borrowed(std::uint32_t queue) const { return borrowed_[queue]; }

 private:
  struct Claimant {
    const internal::JobRecord* record = nullptr;
    std::uint32_t leaf = 0;
    std::optional<std::uint32_t> protector = {};  ///< The nearest queue that protects it.
    std::uint32_t height = UINT32_MAX;            ///< Of the protector above the leaf.
  };

  std::vector<Claimant> live_claimants() const;
  /// Judges the queues below, then this one; gives back all jobs at or below it.
  std::vector<Claimant*> judge(std::uint32_t queue, std::vector<std::vector<Claimant*>>& by_leaf,
                               std::uint32_t& height);
  void protect(std::uint32_t queue, std::vector<Claimant*>& jobs, std::uint32_t height) const;

  const internal::State& state_;
  std::map<model::JobId, std::optional<std::uint32_t>> protectors_;
  std::vector<std::int64_t> borrowed_;
};

}  // namespace busbar::sched::fairshare
