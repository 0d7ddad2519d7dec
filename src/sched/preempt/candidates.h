#pragma once

#include <cstdint>
#include <vector>

#include "sched/fairshare/quota.h"
#include "sched/internal/state.h"

namespace busbar::sched::preempt {

/// A job that may be stopped, and what that would cost.
struct Candidate {
  const internal::JobRecord* record = nullptr;
  std::int64_t lost = 0;  ///< Milli-cards x ms since its last checkpoint, capped by how often it says that it saves.
};

/// Jobs that hold cards but are ending: as good as gone.
std::vector<const internal::JobRecord*> ending_jobs(const internal::State& state);

/// Whom `job` may stop for a gang of `milli` milli-cards of `chip`, cheapest first. `freed`: what ending jobs give
/// back.
std::vector<Candidate> candidates_for(const internal::State& state, const internal::JobRecord& job,
                                      std::string_view chip, std::int64_t milli, const fairshare::Freed& freed);

/// The jobs that yield to this one and may be stopped now, cheapest first.
std::vector<Candidate> yielding_candidates(const internal::State& state, const internal::JobRecord& job);

/// The queues at or above the job's own whose guarantee holds the gang beside what they use already.
std::vector<std::uint32_t> entitled_levels(const internal::State& state, const std::string& queue,
                                           std::string_view chip, std::int64_t milli, const fairshare::Freed& freed);

std::int64_t lost_work(const internal::State& state, const internal::JobRecord& victim);

}  // namespace busbar::sched::preempt
