#include "sched/explain/changes.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sched/explain/probe.h"
#include "sched/fairshare/quota.h"
#include "sched/internal/step.h"
#include "sched/place/placer.h"

namespace busbar::sched::explain {
namespace {

using backfill::Obstacle;
using internal::JobRecord;
using internal::State;

/// Trials of single jobs ending, and the jobs of a set. They bound the cost of an answer.
constexpr std::size_t kMaxSingleTrials = 16;
constexpr std::size_t kMostInVain = 3;  ///< Of jobs of one size.
constexpr std::size_t kMostEnding = 32;
constexpr std::size_t kMostSpared = 8;
constexpr std::size_t kMaxReturningNodes = 16;

/// What-if on a fork. The job under question may be submitted again in another form, under an id that is free.
class Trial {
 public:
  Trial(const State& state, model::JobId job) : fork_(state), job_(job) {}

  bool apply(EventBody body, internal::Walk walk = {}) {
    return internal::try_step(fork_, {.time_ms = fork_.now_ms(), .body = std::move(body)}, walk).has_value();
  }
  /// The last event: of what follows only the job's own start matters.
  bool apply_last(EventBody body) { return apply(std::move(body), {.until = job_}); }

  void resubmit(JobRequest request) {
    apply(JobCancelled{.job = job_});
    std::uint64_t last = 0;
    for (const auto& [id, record] : fork_.jobs()) {
      last = std::max(last, id.value);
    }
    for (const auto& [id, outcome] : fork_.outcomes()) {
      last = std::max(last, id.value);
    }
    job_ = {last + 1};
    request.id = job_;
    apply_last(JobSubmitted{.job = std::move(request)});
  }

  void end(model::JobId job, bool is_last) {
    const JobRecord* record = fork_.jobs().find(job);
    if (record == nullptr || record->granted == nullptr) {
      return;
    }
    const model::AttemptId attempt = record->attempt_id();
    apply(JobCancelled{.job = job});
    const internal::Walk as_far_as_it = {.until = job_};
    apply(GangGone{.attempt = attempt}, is_last ? as_far_as_it : internal::Walk{});
  }

  bool has_started() const {
    const JobRecord* record = fork_.jobs().find(job_);
    return record != nullptr && record->granted != nullptr;
  }

  const State& fork() const { return fork_; }

 private:
  State fork_;
  model::JobId job_;
};

model::Queue raised_to(const State& state, const fairshare::Bound& bound, std::int64_t milli) {
  model::Queue queue = state.queues().find(bound.queue)->queue;
  const bool is_limit = bound.kind == fairshare::Bound::Kind::kLimit;
  model::CardAmounts& amounts = is_limit ? queue.limit : queue.guarantee;
  if (bound.chip.empty()) {
    amounts.all = {milli};
  }
  for (auto& [chip, amount] : amounts.chips) {
    if (chip == bound.chip) amount = {milli};
  }
  return queue;
}

class Search {
 public:
  Search(const State& state, model::JobId id)
      : state_(state), id_(id), request_(state.jobs().find(id)->request()), probe_(state, id) {}

  void fewer_nodes();
  void other_chip();
  void other_level();
  void more_quota();
  void preemptible();
  void jobs_ending();
  void nodes_returned();
  std::vector<ChangeSet> take() { return std::move(found_); }

 private:
  bool starts_as(JobRequest request) const {
    Trial trial(state_, id_);
    trial.resubmit(std::move(request));
    return trial.has_started();
  }
  bool starts_after(const std::vector<model::JobId>& ended) const {
    Trial trial(state_, id_);
    for (const model::JobId job : ended) {
      trial.end(job, job == ended.back());
    }
    return trial.has_started();
  }
  std::vector<model::JobId> candidates() const;
  std::optional<std::vector<model::JobId>> find_set(const std::vector<model::JobId>& jobs);
  std::size_t first_that_suffices(const std::vector<model::JobId>& jobs, std::size_t most) const;
  std::size_t shortest_run(const std::vector<model::JobId>& jobs);
  void add_jobs_ending(std::vector<model::JobId> jobs);

  const State& state_;
  model::JobId id_;
  const JobRequest& request_;
  Probe probe_;
  std::vector<ChangeSet> found_;
};

void Search::fewer_nodes() {
  // Room for n implies room for n - 1, so the largest n that starts is found by halving.
  std::uint32_t fits = 0;
  const std::uint32_t fewer = request_.min_nodes - 1;
  std::uint32_t too_many = fewer == 0 ? 1 : probe_.tasks_that_may_start(fewer) + 1;
  while (too_many - fits > 1) {
    const std::uint32_t middle = fits + (too_many - fits) / 2;
    JobRequest smaller = request_;
    smaller.min_nodes = smaller.max_nodes = middle;
    smaller.sizes.clear();
    (starts_as(std::move(smaller)) ? fits : too_many) = middle;
  }
  if (fits > 0) {
    found_.push_back(
        {.kind = "fewer_nodes",
         .text = fmt::format("ask for {} node{} instead of {}", fits, fits == 1 ? "" : "s", request_.min_nodes)});
  }
}

void Search::other_chip() {
  if (request_.accelerators.empty()) {
    return;
  }
  for (const place::ChipIndex chip : state_.free_map().chips_by_name()) {
    const std::string& name = state_.free_map().chip_name(chip);
    const bool is_asked = std::any_of(
        request_.accelerators.begin(), request_.accelerators.end(),
        [&](const model::AcceleratorRequest& a) { return a.chip == name || (a.chip.empty() && name != "cpu"); });
    // A CPU is no stand-in for an accelerator, nor the other way round.
    if (is_asked || (name == "cpu") != (request_.accelerators.front().chip == "cpu")) {
      continue;
    }
    JobRequest other = request_;
    other.accelerators = {{.chip = name, .per_node = request_.accelerators.front().per_node}};
    if (starts_as(std::move(other))) {
      found_.push_back({.kind = "other_chip", .text = fmt::format("take {} instead", name)});
    }
  }
}

void Search::other_level() {
  if (request_.topology.mode != model::TopologyRequest::Mode::kRequired) {
    return;
  }
  JobRequest other = request_;
  other.topology.mode = model::TopologyRequest::Mode::kPreferred;
  if (starts_as(std::move(other))) {
    found_.push_back(
        {.kind = "other_level",
         .text = fmt::format("make topology level {} preferred instead of required", request_.topology.level)});
  }
}

// The numbers in its way, raised one after another to what it needs: limits of its queue and of those above, or the
// guarantee of its queue if it may not borrow.
void Search::more_quota() {
  for (const place::GangNeed& need : place::needs_of(request_, state_.free_map())) {
    const std::string& chip = state_.free_map().chip_name(need.task.chip);
    Trial trial(state_, id_);
    std::vector<std::string> raised;
    constexpr std::size_t kMostBounds = 64;
    while (!trial.has_started() && raised.size() < kMostBounds) {
      const fairshare::Room room =
          fairshare::room_for(trial.fork(), request_, chip, {.each = need.task.milli_cards(), .most = need.min_tasks});
      if (!room.bound.has_value()) {
        break;
      }
      const std::int64_t wanted = room.bound->used + need.task.milli_cards() * need.min_tasks;
      if (!trial.apply(QueueChanged{.queue = raised_to(trial.fork(), *room.bound, wanted)})) {
        break;
      }
      raised.push_back(fmt::format("raise the {} of queue \"{}\" from {} to {} {}cards",
                                   room.bound->kind == fairshare::Bound::Kind::kLimit ? "limit" : "guarantee",
                                   room.bound->queue, format_milli(room.bound->bound), format_milli(wanted),
                                   room.bound->chip.empty() ? "" : room.bound->chip + " "));
    }
    if (trial.has_started() && !raised.empty()) {
      found_.push_back({.kind = "more_quota", .text = fmt::format("{}", fmt::join(raised, " and "))});
      return;
    }
  }
}

void Search::preemptible() {
  if (request_.is_preemptible) {
    return;
  }
  JobRequest other = request_;
  other.is_preemptible = true;
  if (starts_as(std::move(other))) {
    found_.push_back({.kind = "preemptible", .text = "let it be evicted (preemptible: true), so that it may borrow"});
  }
}

// Running jobs that hold something, members of its own array and then those with the fewest cards first.
std::vector<model::JobId> Search::candidates() const {
  std::vector<std::tuple<bool, std::int64_t, model::JobId>> sized;
  for (const auto& [id, nothing] : state_.live()) {
    const JobRecord& record = *state_.jobs().find(id);
    const bool is_of_array = request_.group.is_valid() && record.request().group == request_.group;
    sized.emplace_back(!is_of_array, record.granted->milli_cards, id);
  }
  std::sort(sized.begin(), sized.end());
  std::vector<model::JobId> jobs;
  for (const auto& [is_other, cards, id] : sized) {
    jobs.push_back(id);
  }
  return jobs;
}

void Search::add_jobs_ending(std::vector<model::JobId> jobs) {
  std::vector<std::uint64_t> ids;
  for (const model::JobId job : jobs) {
    ids.push_back(job.value);
  }
  found_.push_back({.kind = "jobs_ending",
                    .text = fmt::format("job{} {} ending", ids.size() == 1 ? "" : "s", fmt::join(ids, ", ")),
                    .jobs = std::move(jobs)});
}

// How many of the first of these jobs must be gone at least; 0: more than a set may have.
std::size_t Search::shortest_run(const std::vector<model::JobId>& jobs) {
  std::size_t too_few = 0;
  std::size_t enough = jobs.size();
  if (enough == 0 || !probe_.may_start_without(jobs)) {
    return 0;
  }
  while (enough - too_few > 1) {
    const std::size_t middle = too_few + (enough - too_few) / 2;
    (probe_.may_start_without(std::span(jobs).first(middle)) ? enough : too_few) = middle;
  }
  return enough;
}

// How many of these jobs must end, one after the other, until it starts; 0: more than the first `most`.
std::size_t Search::first_that_suffices(const std::vector<model::JobId>& jobs, std::size_t most) const {
  Trial trial(state_, id_);
  for (std::size_t count = 1; count <= most; ++count) {
    trial.end(jobs[count - 1], count == most);
    if (trial.has_started()) {
      return count;
    }
  }
  return 0;
}

// The first of these jobs, as many as it takes, less those that turn out not to be needed, the last ones first. What
// comes free may go to others who wait: then more, twice as many and so on.
std::optional<std::vector<model::JobId>> Search::find_set(const std::vector<model::JobId>& jobs) {
  const std::size_t shortest = shortest_run(jobs);
  if (shortest == 0) {
    return std::nullopt;
  }
  const auto leave_out = [](std::vector<model::JobId>& set, const auto& suffices) {
    for (std::size_t i = set.size(); i-- > 0;) {
      std::vector<model::JobId> without = set;
      without.erase(without.begin() + static_cast<std::ptrdiff_t>(i));
      if (suffices(without)) {
        set = std::move(without);
      }
    }
  };
  std::vector<model::JobId> set(jobs.begin(), jobs.begin() + static_cast<std::ptrdiff_t>(shortest));
  if (set.size() > 8 * kMostEnding) {
    return std::nullopt;
  }
  leave_out(set, [&](const std::vector<model::JobId>& without) { return probe_.may_start_without(without); });
  // Of a set that is all of those jobs the trial of more says whether it suffices.
  if (set.size() < shortest && set.size() <= kMostEnding && starts_after(set)) {
    return set;
  }
  std::size_t most = shortest;
  while (2 * most <= std::min(kMostEnding, jobs.size())) most *= 2;
  const std::size_t count = most > kMostEnding ? 0 : first_that_suffices(jobs, most);
  if (count == 0) {
    return std::nullopt;
  }
  set.assign(jobs.begin(), jobs.begin() + static_cast<std::ptrdiff_t>(count));
  if (count <= kMostSpared) {
    leave_out(set, [&](const std::vector<model::JobId>& without) { return starts_after(without); });
  }
  return set;
}

void Search::jobs_ending() {
  std::vector<model::JobId> candidates = this->candidates();
  std::size_t trials = 0;
  // Where others take what comes free, they take it of the next job of the same size too.
  std::map<std::pair<std::int64_t, std::size_t>, std::size_t> in_vain;
  for (std::size_t i = 0; i < candidates.size() && trials < kMaxSingleTrials; ++i) {
    const internal::Granted& granted = *state_.jobs().find(candidates[i])->granted;
    std::size_t& failures = in_vain[{granted.milli_cards, granted.placement.tasks.size()}];
    if (failures == kMostInVain || !probe_.may_start_without({&candidates[i], 1})) {
      continue;
    }
    ++trials;
    if (starts_after({candidates[i]})) {
      return add_jobs_ending({candidates[i]});
    }
    ++failures;
  }
  // Many small ones, or a few large ones.
  for (int turn = 0; turn < 2; ++turn) {
    if (auto set = find_set(candidates)) {
      return add_jobs_ending(*std::move(set));
    }
    std::reverse(candidates.begin(), candidates.end());
  }
}

void Search::nodes_returned() {
  std::size_t trials = 0;
  for (const auto& [id, entry] : state_.nodes()) {
    if (entry.node->state == model::NodeState::kReady || trials == kMaxReturningNodes) {
      continue;
    }
    ++trials;
    Trial trial(state_, id_);
    trial.apply_last(NodeStateChanged{.node = id, .state = model::NodeState::kReady});
    if (trial.has_started()) {
      found_.push_back(
          {.kind = "node_returned", .text = fmt::format("node {} returning to service", entry.node->name)});
    }
  }
}

}  // namespace

std::vector<ChangeSet> find_changes(const State& state, model::JobId id, Obstacle::Kind obstacle) {
  Search search(state, id);
  if (obstacle == Obstacle::Kind::kQuota) {
    search.more_quota();
    search.preemptible();
  }
  if (obstacle != Obstacle::Kind::kArrayLimit) {
    search.fewer_nodes();
    search.other_level();
    search.other_chip();
    search.nodes_returned();
  }
  search.jobs_ending();
  return search.take();
}

}  // namespace busbar::sched::explain
