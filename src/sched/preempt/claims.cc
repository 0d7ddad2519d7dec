#include <algorithm>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/units.h"
#include "sched/fairshare/standing.h"
#include "sched/gang/affinity.h"
#include "sched/place/placer.h"
#include "sched/preempt/candidates.h"
#include "sched/preempt/plan.h"

namespace busbar::sched::preempt {
namespace {

using internal::JobRecord;
using internal::State;

std::vector<std::uint64_t> numbers_of(const std::vector<Plan::Victim>& victims) {
  std::vector<std::uint64_t> numbers;
  for (const Plan::Victim& victim : victims) numbers.push_back(victim.job.value);
  return numbers;
}

std::string claim_reason(const Plan& plan) {
  if (plan.victims.empty()) {
    return "takes the cards of jobs that are ending";
  }
  return fmt::format("takes the cards of job{} {}, which lose{} {} of card time", plan.victims.size() == 1 ? "" : "s",
                     fmt::join(numbers_of(plan.victims), ", "), plan.victims.size() == 1 ? "s" : "",
                     format_duration_ms(plan.lost_card_ms / place::kWholeCard));
}

std::string stop_detail(const State& state, const JobRecord& job, const JobRecord& victim) {
  const JobRequest& request = job.request();
  if (job.booking != nullptr && victim.yields) {
    return fmt::format("for job {}, which was promised a start; this one was backfilled on condition of making room",
                       request.id.value);
  }
  const bool is_of_queue = victim.request().queue == request.queue;
  if (is_of_queue && victim.request().priority < request.priority) {
    return fmt::format("for job {} of higher priority ({} over {})", request.id.value, request.priority,
                       victim.request().priority);
  }
  if (is_of_queue || is_clearly_more_urgent(state, state.urgency_of(job), state.urgency_of(victim))) {
    return fmt::format("for job {}, which is expected to end much sooner for its cards", request.id.value);
  }
  return fmt::format("for job {}: queue \"{}\" gets back what it is guaranteed and queue \"{}\" had borrowed",
                     request.id.value, request.queue, victim.request().queue);
}

// All its nodes and cards are in service, and its queue still has room for it.
bool can_be_kept(const State& state, const JobRecord& job) {
  const model::Placement& placement = job.claim->placement;
  const std::vector<model::NodeId> barred = gang::nodes_barred(state, job);
  for (const model::TaskPlacement& task : placement.tasks) {
    const place::NodeSlot* node = state.free_map().find_node(task.node);
    const auto cards = state.free_map().cards_of(*node);
    if (!node->is_usable || std::find(barred.begin(), barred.end(), task.node) != barred.end() ||
        std::any_of(task.cards.begin(), task.cards.end(),
                    [&](std::uint16_t index) { return index >= cards.size() || !cards[index].is_healthy; })) {
      return false;
    }
  }
  fairshare::Freed freed = freed_by_ending(state);
  freed.add_claim(state, job);
  const auto tasks = static_cast<std::int64_t>(placement.tasks.size());
  const std::int64_t each = job.claim->milli_cards / tasks;
  return fairshare::room_for(state, job.request(), placement.chip, {.each = each, .most = tasks, .freed = &freed})
             .tasks == tasks;
}

bool is_in_quota_now(const State& state, const JobRecord& job) {
  fairshare::Freed freed;
  freed.add_claim(state, job);
  const auto tasks = static_cast<std::int64_t>(job.claim->placement.tasks.size());
  const std::int64_t each = job.claim->milli_cards / tasks;
  return fairshare::room_for(state, job.request(), job.claim->placement.chip,
                             {.each = each, .most = tasks, .freed = &freed})
             .tasks == tasks;
}

}  // namespace

void carry_out(internal::DecisionLog& log, const JobRecord& job, const Plan& plan) {
  State& state = log.state();
  const JobRecord preemptor = job;
  log.emit(Claim{.job = preemptor.id(),
                 .placement = plan.placement,
                 .until_ms = state.now_ms() + state.policy().claim_timeout_ms,
                 .reason = claim_reason(plan)});
  for (const Plan::Victim& entry : plan.victims) {
    const JobRecord victim = *state.jobs().find(entry.job);
    std::string detail = stop_detail(state, preemptor, victim);
    if (entry.stays > 0) {
      log.emit(Shrink{.attempt = victim.attempt_id(), .kept = entry.stays, .reason = std::move(detail)});
      continue;
    }
    if (entry.goes_on.has_value()) {
      const std::string sizes =
          fmt::format("{} of {} tasks", entry.goes_on->tasks.size(), victim.granted->placement.tasks.size());
      detail += "; goes on with " + sizes;
      log.emit(Claim{.job = entry.job,
                     .placement = *entry.goes_on,
                     .until_ms = state.now_ms() + state.policy().claim_timeout_ms,
                     .reason = "goes on with " + sizes});
    }
    log.emit(Stop{.attempt = victim.attempt_id(), .reason = StopReason::kPreempted, .detail = std::move(detail)});
  }
}

void settle_claims(internal::DecisionLog& log) {
  State& state = log.state();
  std::vector<model::JobId> claimed;
  for (const internal::Hold& hold : state.holds()) {
    claimed.push_back(hold.job);
  }
  for (const model::JobId id : claimed) {
    const JobRecord& job = *state.jobs().find(id);
    if (!can_be_kept(state, job)) {
      log.emit(Claim{.job = id, .reason = "its cards are out of service, or its queue has no room any more"});
    } else if (job.state == model::JobState::kQueued && is_in_quota_now(state, job) && state.can_start_claim(id)) {
      log.emit(Place{.attempt = {.job = id, .number = job.attempt + 1},
                     .placement = job.claim->placement,
                     .reason = job.claim->reason});
    }
  }
}

void enforce_limit(internal::DecisionLog& log, const std::string& queue) {
  State& state = log.state();
  const std::uint32_t index = *state.tree().find(queue);
  const fairshare::Standing standing(state);
  std::vector<const JobRecord*> below;
  fairshare::Freed freed = freed_by_ending(state);
  for (const auto& [id, nothing] : state.live()) {
    const JobRecord* record = state.jobs().find(id);
    if (!record->is_ending() && state.tree().is_at_or_above(index, *state.tree().find(record->request().queue))) {
      below.push_back(record);
    }
  }
  const auto key = [&](const JobRecord* record) {
    return std::tuple(!record->request().is_preemptible, !standing.is_borrowed_against(record->id(), index),
                      record->request().priority, -record->placed_ms, record->id());
  };
  std::sort(below.begin(), below.end(), [&](const JobRecord* a, const JobRecord* b) { return key(a) < key(b); });
  const model::CardAmounts limit = state.queues().find(queue)->queue.limit;
  const auto excess = [&](std::string_view chip) {
    const fairshare::CardSums& used = state.queues().find(queue)->account.used;
    const fairshare::CardSums* back = freed.find(queue);
    const std::int64_t bound = chip.empty() ? limit.all.value : limit.of(chip).value;
    const std::int64_t all = chip.empty() ? used.total() : used.of(chip);
    const std::int64_t gone = back == nullptr ? 0 : chip.empty() ? back->total() : back->of(chip);
    return bound < 0 ? 0 : all - gone - bound;
  };
  const auto is_above = [&](const JobRecord* record) {
    return record->granted->milli_cards > 0 && (excess({}) > 0 || excess(record->granted->placement.chip) > 0);
  };
  // What leaves a live gang counts as free already.
  const auto add = [&](const JobRecord* record) {
    freed.add(state, *record);
    if (const auto leaving = internal::leaving_of(*record)) freed.remove(state, record->request(), *leaving);
  };
  const auto remove = [&](const JobRecord* record) {
    freed.remove(state, *record);
    if (const auto leaving = internal::leaving_of(*record)) freed.add(state, record->request(), *leaving);
  };
  std::vector<const JobRecord*> victims;
  for (const JobRecord* record : below) {
    if (is_above(record)) {
      add(record);
      victims.push_back(record);
    }
  }
  // A large one that came late may make small ones before it needless.
  std::vector<model::AttemptId> stopped;
  for (const JobRecord* record : victims) {
    remove(record);
    if (is_above(record)) {
      add(record);
      stopped.push_back(record->attempt_id());
    }
  }
  for (const model::AttemptId& attempt : stopped) {
    log.emit(
        Stop{.attempt = attempt,
             .reason = StopReason::kPreempted,
             .detail = fmt::format("the limit of queue \"{}\" is {} now", queue, model::format_card_amounts(limit))});
  }
}

}  // namespace busbar::sched::preempt
