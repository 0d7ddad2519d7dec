#include "sched/preempt/plan.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <tuple>

#include "sched/elastic/growth.h"
#include "sched/elastic/shrink.h"
#include "sched/gang/affinity.h"
#include "sched/place/placer.h"
#include "sched/preempt/candidates.h"

namespace busbar::sched::preempt {
namespace {

using internal::JobRecord;
using internal::State;
using Filter = std::shared_ptr<const place::NodeFilter>;

/// Trials of single victims, and of sets of few candidates: they bound the cost of a plan.
constexpr std::size_t kMaxSingleTrials = 256;

/// What is free once jobs that are ending are gone, every claim of others is met, and some victims too.
class Trial {
 public:
  Trial(State& state, const JobRecord& job, Ground& ground)
      : state_(state), job_(job), map_(ground.map()), freed_(ground.freed()) {}

  void take(const Candidate& victim) {
    map_.release(victim.part->placement);
    freed_.add(state_, victim.record->request(), *victim.part);
  }
  void put_back(const Candidate& victim) {
    map_.claim(victim.part->placement);
    freed_.remove(state_, victim.record->request(), *victim.part);
  }

  /// The smallest gang that the job accepts fits, by quota and on the nodes.
  bool fits(const place::GangNeed& need) const {
    const std::string& chip = map_.chip_name(need.task.chip);
    const fairshare::Room room = fairshare::room_for(
        state_, job_.request(), chip, {.each = need.task.milli_cards(), .most = need.min_tasks, .freed = &freed_});
    return room.tasks >= need.min_tasks && place::Placer(map_, state_.fabric()).count_fitting(need) > 0;
  }
  bool is_of(const internal::Granted& granted, place::ChipIndex chip) const {
    return granted.placement.chip == map_.chip_name(chip);
  }
  std::optional<place::Found> place(const place::GangNeed& need) const {
    return place::Placer(map_, state_.fabric()).place(need);
  }

 private:
  State& state_;
  const JobRecord& job_;
  place::FreeMap& map_;
  fairshare::Freed& freed_;
};

/// A set of candidates, by index, with what it costs.
struct Choice {
  std::int64_t cost = 0;
  std::vector<std::size_t> members = {};
  auto rank() const { return std::tuple(cost, members.size(), members); }
  friend bool operator<(const Choice& a, const Choice& b) { return a.rank() < b.rank(); }
};

class Search {
 public:
  /// `free_milli`: of the chip, without any of the candidates stopped.
  Search(Trial& trial, const place::GangNeed& need, std::vector<Candidate> candidates, std::int64_t free_milli)
      : trial_(trial),
        need_(need),
        candidates_(std::move(candidates)),
        missing_(need.task.milli_cards() * need.min_tasks - free_milli) {}

  std::optional<Choice> run() {
    if (missing_ <= 0 && fits({})) {
      return Choice{};
    }
    if (candidates_.empty() || cards_of_all() < missing_) {
      return std::nullopt;
    }
    std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
      return std::tuple(a.cost, a.record->id()) < std::tuple(b.cost, b.record->id());
    });
    if (!fits(first(candidates_.size()))) {
      return std::nullopt;
    }
    std::optional<Choice> best = find_single();
    const bool is_small = candidates_.size() <= kExactCandidates;
    const std::optional<Choice> other = is_small ? find_exact(best) : std::optional(find_greedy());
    if (other.has_value() && (!best.has_value() || *other < *best)) {
      best = other;
    }
    return best;
  }
  const std::vector<Candidate>& candidates() const { return candidates_; }

 private:
  bool fits(const std::vector<std::size_t>& members) {
    for (const std::size_t i : members) trial_.take(candidates_[i]);
    const bool fits = trial_.fits(need_);
    for (const std::size_t i : members) trial_.put_back(candidates_[i]);
    return fits;
  }

  static std::vector<std::size_t> first(std::size_t count) {
    std::vector<std::size_t> members(count);
    std::iota(members.begin(), members.end(), std::size_t{0});
    return members;
  }

  std::int64_t cards_of(const Candidate& candidate) const {
    return trial_.is_of(*candidate.part, need_.task.chip) ? candidate.part->milli_cards : 0;
  }
  std::int64_t cards_of_all() const {
    return std::accumulate(candidates_.begin(), candidates_.end(), std::int64_t{0},
                           [&](std::int64_t sum, const Candidate& candidate) { return sum + cards_of(candidate); });
  }

  // They are sorted by cost, so the first that suffices is the cheapest.
  std::optional<Choice> find_single() {
    std::size_t trials = 0;
    for (std::size_t i = 0; i < candidates_.size() && trials < kMaxSingleTrials; ++i) {
      if (cards_of(candidates_[i]) < missing_) {
        continue;
      }
      ++trials;
      if (fits({i})) {
        return Choice{.cost = candidates_[i].cost, .members = {i}};
      }
    }
    return std::nullopt;
  }

  // All sets in order of cost, until one suffices or the rest cannot be better than `bound`. From a set {.., i} come
  // {.., i, i+1} and {.., i+1}, neither of them cheaper.
  std::optional<Choice> find_exact(const std::optional<Choice>& bound) {
    std::set<Choice> open;
    if (!candidates_.empty()) open.insert({.cost = candidates_[0].cost, .members = {0}});
    while (!open.empty()) {
      const Choice choice = *open.begin();
      open.erase(open.begin());
      if (bound.has_value() && !(choice < *bound)) {
        return std::nullopt;
      }
      if (fits(choice.members)) {
        return choice;
      }
      const std::size_t last = choice.members.back();
      if (last + 1 == candidates_.size()) {
        continue;
      }
      Choice longer = choice;
      longer.members.push_back(last + 1);
      longer.cost += candidates_[last + 1].cost;
      Choice moved = choice;
      moved.members.back() = last + 1;
      moved.cost += candidates_[last + 1].cost - candidates_[last].cost;
      open.insert(std::move(longer));
      open.insert(std::move(moved));
    }
    return std::nullopt;
  }

  // The shortest run of cheapest candidates that suffices (fitting is monotone, so by halving), less those, dearest
  // first, that turn out not to be needed.
  Choice find_greedy() {
    std::size_t too_few = 0;
    std::size_t enough = candidates_.size();
    while (enough - too_few > 1) {
      const std::size_t middle = too_few + (enough - too_few) / 2;
      (fits(first(middle)) ? enough : too_few) = middle;
    }
    return without_spare(first(enough));
  }

  Choice without_spare(std::vector<std::size_t> members) {
    for (const std::size_t i : members) trial_.take(candidates_[i]);
    Choice choice;
    for (std::size_t at = members.size(); at-- > 0;) {
      const Candidate& candidate = candidates_[members[at]];
      trial_.put_back(candidate);
      if (!trial_.fits(need_)) {
        trial_.take(candidate);
        choice.members.push_back(members[at]);
        choice.cost += candidate.cost;
      }
    }
    for (const std::size_t i : choice.members) trial_.put_back(candidates_[i]);
    std::sort(choice.members.begin(), choice.members.end());
    return choice;
  }

  Trial& trial_;
  const place::GangNeed& need_;
  std::vector<Candidate> candidates_;
  std::int64_t missing_ = 0;  ///< Milli-cards of the chip that must come free at least.
};

// Of a live gang the least of its last tasks that suffices beside what `trial` has taken already; what it would give up
// otherwise if that is not enough. Fitting is monotone in what is free, so by halving.
std::shared_ptr<const internal::Granted> least_part(Trial& trial, const place::GangNeed& need,
                                                    const Candidate& candidate) {
  const std::vector<std::uint32_t> sizes = elastic::smaller_sizes(*candidate.record);
  std::shared_ptr<const internal::Granted> best = candidate.part;
  std::size_t first = 0;
  for (std::size_t last = sizes.size(); first < last;) {
    const std::size_t middle = first + (last - first) / 2;
    Candidate tried = candidate;
    tried.part = elastic::part_beyond(*candidate.record, sizes[middle]);
    trial.take(tried);
    const bool fits = trial.fits(need);
    trial.put_back(tried);
    if (fits) {
      best = tried.part;
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return best;
}

Plan make_plan(const State& state, Trial& trial, const place::GangNeed& need, const std::vector<Candidate>& candidates,
               const Choice& choice) {
  Plan plan = {.cost = choice.cost};
  std::vector<Candidate> chosen;
  for (const std::size_t i : choice.members) {
    chosen.push_back(candidates[i]);
    trial.take(candidates[i]);
  }
  for (Candidate& victim : chosen) {
    if (victim.record->is_resizable_live()) {
      trial.put_back(victim);
      victim.part = least_part(trial, need, victim);
      trial.take(victim);
    }
    const bool goes_on_live =
        victim.part->milli_cards < victim.record->granted->milli_cards && victim.record->is_resizable_live();
    plan.lost_card_ms += goes_on_live ? 0 : lost_work(state, *victim.record);
    plan.victims.push_back({.job = victim.record->id()});
  }
  plan.placement = trial.place(need)->placement;
  for (const Candidate& victim : chosen) trial.put_back(victim);
  std::sort(plan.victims.begin(), plan.victims.end(),
            [](const Plan::Victim& a, const Plan::Victim& b) { return a.job < b.job; });
  return plan;
}

bool is_better(const Plan& a, const Plan& b) {
  return std::tuple(a.cost, a.victims.size()) < std::tuple(b.cost, b.victims.size());
}

}  // namespace

bool may_preempt(const State& state, const JobRecord& job) {
  const JobRequest& request = job.request();
  const auto& priorities = state.queues().find(request.queue)->account.evictable;
  if (!priorities.empty() && priorities.front().first < request.priority) {
    return true;
  }
  if (state.policy().order == Order::kLearned) {
    return !state.live().empty();
  }
  if (!state.tree().has_guarantees()) {
    return false;
  }
  const std::vector<place::GangNeed> needs = place::needs_of(request, state.free_map());
  return std::any_of(needs.begin(), needs.end(), [&](const place::GangNeed& need) {
    return !entitled_levels(state, request.queue, state.free_map().chip_name(need.task.chip),
                            need.task.milli_cards() * need.min_tasks, {})
                .empty();
  });
}

namespace {

// The same jobs, as far as they can spare something.
std::vector<Candidate> with_spare(const std::vector<Candidate>& candidates) {
  std::vector<Candidate> spare;
  for (const Candidate& candidate : candidates) {
    if (auto part = elastic::spare_of(*candidate.record)) {
      // A live gang loses nothing by it.
      const std::int64_t cost = candidate.record->is_resizable_live() ? 0 : candidate.cost;
      spare.push_back({.record = candidate.record, .part = std::move(part), .cost = cost});
    }
  }
  return spare;
}

// The same jobs, but live gangs only as far as they can spare something; empty: there is none of that kind.
std::vector<Candidate> with_live_spare(const std::vector<Candidate>& candidates) {
  std::vector<Candidate> mixed = candidates;
  bool has_any = false;
  for (Candidate& candidate : mixed) {
    auto part = candidate.record->is_resizable_live() ? elastic::spare_of(*candidate.record) : nullptr;
    if (part == nullptr) continue;
    has_any = true;
    candidate.part = std::move(part);
    candidate.cost = 0;
  }
  return has_any ? mixed : std::vector<Candidate>{};
}

// Whoever can goes on with what the plan leaves of it.
void keep_parts(State& state, const JobRecord& job, Ground& ground, Plan& plan) {
  const auto is_rigid = [&](const Plan::Victim& victim) {
    return elastic::spare_of(*state.jobs().find(victim.job)) == nullptr;
  };
  if (std::all_of(plan.victims.begin(), plan.victims.end(), is_rigid)) {
    return;
  }
  place::FreeMap map = ground.map();
  fairshare::Freed freed = ground.freed();
  for (const Plan::Victim& victim : plan.victims) {
    const JobRecord& record = *state.jobs().find(victim.job);
    map.release(record.granted->placement);
    freed.add(state, record);
  }
  map.claim(plan.placement);
  freed.remove(state, job.request(), *internal::make_granted(plan.placement, {}));
  for (Plan::Victim& victim : plan.victims) {
    const JobRecord& record = *state.jobs().find(victim.job);
    // A live gang is where it is already, so it delays nobody by going on.
    if (record.is_resizable_live()) {
      victim.stays = elastic::keep_first(state, record, map, freed).value_or(0);
    }
    if (victim.stays == 0 && !elastic::is_near_promised(state, record.granted->placement)) {
      victim.goes_on = elastic::keep_part(state, record, map, freed);
    }
  }
}

/// The best over the alternatives that the job accepts; `candidates_of(need)` may be stopped for it.
template <class CandidatesOf>
std::optional<Plan> cheapest_plan(State& state, const JobRecord& job, Ground& ground, const Filter& allowed,
                                  CandidatesOf candidates_of) {
  Trial trial(state, job, ground);
  std::optional<Plan> best;
  std::optional<Plan> gentle;  // Everybody goes on.
  for (place::GangNeed need : place::needs_of(job.request(), state.free_map())) {
    need.max_tasks = need.min_tasks;
    need.allowed = allowed;
    const auto look = [&](std::vector<Candidate> candidates, std::optional<Plan>& cheapest) {
      Search search(trial, need, std::move(candidates), ground.free_milli(need.task.chip));
      const std::optional<Choice> choice = search.run();
      if (!choice.has_value()) {
        return;
      }
      Plan plan = make_plan(state, trial, need, search.candidates(), *choice);
      if (!cheapest.has_value() || is_better(plan, *cheapest)) {
        cheapest = std::move(plan);
      }
    };
    std::vector<Candidate> candidates = candidates_of(need);
    std::vector<Candidate> spare = with_spare(candidates);
    if (!spare.empty()) {
      look(std::move(spare), gentle);
    }
    if (!gentle.has_value()) {
      if (std::vector<Candidate> mixed = with_live_spare(candidates); !mixed.empty()) {
        look(std::move(mixed), best);
      }
      look(std::move(candidates), best);
    }
  }
  if (gentle.has_value()) {
    best = std::move(gentle);
  }
  if (best.has_value()) {
    keep_parts(state, job, ground, *best);
  }
  return best;
}

}  // namespace

std::optional<Plan> find_plan(State& state, const JobRecord& job, Ground& ground) {
  return cheapest_plan(state, job, ground, gang::nodes_allowed(state, job), [&](const place::GangNeed& need) {
    return ground.candidates_for(job, state.free_map().chip_name(need.task.chip),
                                 need.task.milli_cards() * need.min_tasks);
  });
}

std::optional<Plan> find_yielded(State& state, const JobRecord& job, Ground& ground) {
  std::vector<model::NodeId> planned;
  for (const auto& [id, entry] : state.booked()) {
    const std::vector<model::NodeId>& nodes = state.jobs().find(id)->booking->nodes;
    if (id != job.id()) planned.insert(planned.end(), nodes.begin(), nodes.end());
  }
  return cheapest_plan(state, job, ground, gang::nodes_allowed(state, job, planned),
                       [&](const place::GangNeed&) { return yielding_candidates(state, job); });
}

bool may_take_yielded(const State& state, const JobRecord& job) {
  if (job.booking == nullptr || state.yielding().empty()) {
    return false;
  }
  std::int64_t milli = 0;
  for (const auto& [id, nothing] : state.yielding()) {
    const JobRecord& record = *state.jobs().find(id);
    milli += internal::yields_to(record, job) ? record.granted->milli_cards : 0;
  }
  for (const auto& [chip, declared] : state.declared_cards().chips()) {
    milli += declared;
  }
  for (const std::uint32_t top : state.tree().tops()) {
    milli -= state.queues().find(state.tree().node(top).name)->account.used.total();
  }
  const std::vector<place::GangNeed> needs = place::needs_of(job.request(), state.free_map());
  return std::any_of(needs.begin(), needs.end(),
                     [&](const place::GangNeed& need) { return need.task.milli_cards() * need.min_tasks <= milli; });
}

}  // namespace busbar::sched::preempt
