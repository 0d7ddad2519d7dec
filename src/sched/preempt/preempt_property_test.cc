#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "sched/random_stream.h"
#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using testing::Dice;
using testing::Host;
using testing::kMinute;

constexpr TimeMs kCreditMs = 30 * kMinute;

/// A small crowded cluster where the only failures are evictions; knows what each running job would lose.
struct Crowd {
  explicit Crowd(std::uint64_t seed) : dice(seed), host(make_nodes(dice), make_policy()) {
    host.send(QueueChanged{.queue = {.name = "a", .guarantee = {{amount()}, {}}}});
    host.send(QueueChanged{.queue = {.name = "b", .guarantee = {{amount()}, {}}}});
  }

  static std::vector<model::Node> make_nodes(Dice& dice) {
    return testing::cluster()
        .leaves(1 + static_cast<int>(dice.roll(2)))
        .nodes(1 + static_cast<int>(dice.roll(2)))
        .cards(2 + static_cast<int>(dice.roll(3)))
        .build();
  }
  // A victim may take its time here, and so may a start.
  static Policy make_policy() {
    Policy policy;
    policy.claim_timeout_ms = policy.start_deadline_ms = std::int64_t{365} * 86'400'000;
    return policy;
  }
  std::int64_t amount() { return static_cast<std::int64_t>(dice.roll(6)) * 1000; }

  JobRequest make_job() {
    JobRequest request = testing::job(next_job++, static_cast<std::uint32_t>(1 + dice.roll(dice.chance(30) ? 3 : 1)),
                                      dice.chance(20) ? 500 : 1000 * (1 + static_cast<std::int64_t>(dice.roll(3))));
    request.queue = dice.chance(50) ? "a" : "b";
    request.priority = static_cast<std::int32_t>(dice.roll(4));
    request.is_preemptible = dice.chance(90);
    request.min_run_time_ms = dice.chance(20) ? kMinute : 0;
    request.checkpoint_every_ms = dice.chance(30) ? 5 * kMinute : 0;
    if (dice.chance(20)) {
      request.topology = {.mode = model::TopologyRequest::Mode::kRequired, .level = "leaf"};
    }
    return request;
  }

  std::vector<model::JobId> running() const {
    std::vector<model::JobId> jobs;
    for (const model::JobId id : host.core.jobs()) {
      if (host.holds_cards(id.value)) jobs.push_back(id);
    }
    return jobs;
  }

  // What happens to nobody's harm: time, submissions, starts, checkpoints, good ends, and victims going.
  EventBody next() {
    host.now_ms += static_cast<TimeMs>(dice.roll(5 * kMinute));
    const auto jobs = running();
    if (jobs.empty() || dice.chance(40)) {
      return JobSubmitted{.job = make_job()};
    }
    const model::JobId id = jobs[dice.roll(jobs.size())];
    const JobView view = *host.core.find_job(id);
    switch (view.state) {
      case model::JobState::kStarting:
        return GangStarted{.attempt = view.attempt};
      case model::JobState::kStopping:
        return GangGone{.attempt = view.attempt};
      default:
        return dice.chance(40) ? EventBody(CheckpointReached{.attempt = view.attempt}) : EventBody(end(view));
    }
  }
  EventBody end(const JobView& view) {
    if (!exited.contains(view.attempt)) exited[view.attempt] = 0;
    const std::uint32_t rank = exited[view.attempt]++;
    if (rank == view.placement->tasks.size()) return GangGone{.attempt = view.attempt};
    return TaskExited{.task = {.attempt = view.attempt, .rank = rank}};
  }

  void note(const EventBody& body, const std::vector<Decision>& decisions) {
    if (const auto* started = std::get_if<GangStarted>(&body)) saved[started->attempt.job] = host.now_ms;
    if (const auto* reached = std::get_if<CheckpointReached>(&body)) {
      if (saved.contains(reached->attempt.job)) saved[reached->attempt.job] = host.now_ms;
    }
    for (const Decision& decision : decisions) {
      if (const auto* stop = std::get_if<Stop>(&decision)) {
        RC_ASSERT(stop->reason == StopReason::kPreempted);
        if (const auto last = evicted.find(stop->attempt.job); last != evicted.end()) {
          RC_ASSERT(host.now_ms - last->second >= Policy{}.eviction_interval_ms);
        }
        evicted[stop->attempt.job] = host.now_ms;
      }
      if (const auto* place = std::get_if<Place>(&decision)) saved.erase(place->attempt.job);
    }
  }

  std::int64_t lost(const JobView& view) const {
    const auto at = saved.find(view.request.id);
    if (at == saved.end()) return 0;
    std::int64_t milli = 0;
    for (const model::TaskPlacement& task : view.placement->tasks) {
      milli += static_cast<std::int64_t>(task.cards.size()) * task.per_card.value;
    }
    const std::int64_t most = view.request.checkpoint_every_ms > 0 ? view.request.checkpoint_every_ms : kCreditMs;
    return milli * std::min(host.now_ms - at->second, most);
  }

  Dice dice;
  Host host;
  std::uint64_t next_job = 1;
  std::map<model::JobId, TimeMs> saved;
  std::map<model::JobId, TimeMs> evicted;
  std::map<model::AttemptId, std::uint32_t> exited;
};

/// One eviction as decided: for whom, and who goes.
struct Eviction {
  model::JobId job = {};
  std::vector<model::JobId> victims = {};
};

std::vector<Eviction> evictions_in(const std::vector<Decision>& decisions) {
  std::vector<Eviction> evictions;
  for (const Decision& decision : decisions) {
    if (const auto* claim = std::get_if<Claim>(&decision); claim != nullptr && !claim->placement.tasks.empty()) {
      evictions.push_back({.job = claim->job});
    }
    if (const auto* stop = std::get_if<Stop>(&decision)) evictions.back().victims.push_back(stop->attempt.job);
  }
  return evictions;
}

// Everybody else that waits is out of the way, and the jobs that are ending and `ended` are gone: does it start?
bool starts_without(const Core& before, const Event& event, model::JobId job, const std::vector<model::JobId>& ended) {
  Core fork = before.fork();
  for (const model::JobId id : before.jobs()) {
    const auto view = fork.find_job(id);
    if (view.has_value() && id != job && !view->placement.has_value()) {
      RC_ASSERT(fork.apply({.time_ms = event.time_ms, .body = JobCancelled{.job = id}}).has_value());
    }
  }
  for (const model::JobId id : ended) {
    RC_ASSERT(fork.apply({.time_ms = event.time_ms, .body = JobCancelled{.job = id}}).has_value());
    RC_ASSERT(
        fork.apply({.time_ms = event.time_ms, .body = GangGone{.attempt = fork.find_job(id)->attempt}}).has_value());
  }
  if (!fork.find_job(job).has_value()) {
    RC_ASSERT(fork.apply(event).has_value());
  }
  return fork.find_job(job)->placement.has_value();
}

// Absent failures, an eviction starts its preemptor: when the last victim is gone, at once.
RC_GTEST_PROP(PreemptProperty, AnEvictionAlwaysStartsItsPreemptor, (std::uint64_t seed)) {
  Crowd crowd(seed);
  for (int i = 0; i < 150; ++i) {
    const EventBody body = crowd.next();
    const auto decisions = crowd.host.send(body);
    crowd.note(body, decisions);
    for (const Decision& decision : decisions) {
      if (const auto* claim = std::get_if<Claim>(&decision)) RC_ASSERT(!claim->placement.tasks.empty());
    }
    for (const model::JobId id : crowd.host.core.jobs()) {
      const JobView view = *crowd.host.core.find_job(id);
      if (!view.claim.has_value()) continue;
      const auto jobs = crowd.running();
      RC_ASSERT(std::any_of(jobs.begin(), jobs.end(), [&](model::JobId other) {
        const JobView in_the_way = *crowd.host.core.find_job(other);
        const auto& tasks = in_the_way.placement->tasks;
        return in_the_way.state == model::JobState::kStopping || tasks.size() == crowd.exited[in_the_way.attempt];
      }));
    }
  }
}

// A fresh cluster full of jobs of one queue and one that is more urgent: against all sets of victims.
RC_GTEST_PROP(PreemptProperty, TheVictimsAreTheBestSet, (std::uint64_t seed)) {
  Dice dice(seed);
  Host host(Crowd::make_nodes(dice));
  std::vector<model::JobId> running;
  std::map<model::JobId, TimeMs> started;
  for (std::uint64_t id = 1; id <= 9; ++id) {
    JobRequest request = testing::job(id, static_cast<std::uint32_t>(1 + dice.roll(2)),
                                      1000 * (1 + static_cast<std::int64_t>(dice.roll(2))));
    request.is_preemptible = !dice.chance(15);
    host.submit(request);
    if (!host.holds_cards(id)) {
      if (host.state(id).has_value()) host.cancel(id);  // It was refused if it can never fit.
      continue;
    }
    host.start(id);
    started[{id}] = host.now_ms;
    if (request.is_preemptible) running.push_back({id});
    host.now_ms += static_cast<TimeMs>(dice.roll(10 * kMinute));
  }
  JobRequest urgent = testing::job(100, static_cast<std::uint32_t>(1 + dice.roll(3)),
                                   1000 * (1 + static_cast<std::int64_t>(dice.roll(3))));
  urgent.priority = 5;
  if (dice.chance(30)) urgent.topology = {.mode = model::TopologyRequest::Mode::kRequired, .level = "leaf"};
  const Core before = host.core.fork();
  const Event submit = {.time_ms = host.now_ms, .body = JobSubmitted{.job = urgent}};
  const auto decisions = host.send(submit.body);
  if (!host.state(100).has_value()) return;  // Infeasible.

  const auto cost_of = [&](const std::vector<model::JobId>& set) {
    std::int64_t lost = 0;
    for (const model::JobId id : set) {
      const std::vector<model::TaskPlacement> tasks = before.find_job(id)->placement->tasks;
      std::int64_t milli = 0;
      for (const auto& task : tasks) milli += static_cast<std::int64_t>(task.cards.size()) * 1000;
      lost += milli * std::min(host.now_ms - started[id], kCreditMs);
    }
    return std::tuple(lost, set.size());
  };
  std::optional<std::tuple<std::int64_t, std::size_t>> best;
  for (std::uint32_t bits = 0; bits < (1U << running.size()); ++bits) {
    std::vector<model::JobId> set;
    for (std::size_t i = 0; i < running.size(); ++i) {
      if ((bits >> i & 1U) != 0) set.push_back(running[i]);
    }
    if ((!best.has_value() || cost_of(set) < *best) && starts_without(before, submit, {100}, set)) best = cost_of(set);
  }
  const auto evictions = evictions_in(decisions);
  if (!best.has_value()) {
    RC_ASSERT(evictions.empty() && !host.holds_cards(100));
  } else if (std::get<1>(*best) == 0) {
    RC_ASSERT(evictions.empty() && host.holds_cards(100));
  } else {
    RC_ASSERT(evictions.size() == 1U);
    RC_ASSERT(cost_of(evictions[0].victims) == *best);
    RC_TAG(evictions[0].victims.size());
  }
}

// Also among queues, and with jobs that are ending: without any one of its victims the job would not start.
RC_GTEST_PROP(PreemptProperty, EveryVictimIsNeeded, (std::uint64_t seed)) {
  Crowd crowd(seed);
  for (int i = 0; i < 120; ++i) {
    const EventBody body = crowd.next();
    const Core before = crowd.host.core.fork();
    const bool has_claims = [&] {
      const auto jobs = before.jobs();
      return std::any_of(jobs.begin(), jobs.end(),
                         [&](model::JobId id) { return before.find_job(id)->claim.has_value(); });
    }();
    const auto decisions = crowd.host.send(body);
    crowd.note(body, decisions);
    const auto evictions = evictions_in(decisions);
    // Only the plain case can be told from outside: one eviction, at a submission, nothing else in flight.
    const bool is_plain = evictions.size() == 1 && !has_claims && std::holds_alternative<JobSubmitted>(body) &&
                          std::get<JobSubmitted>(body).job.id == evictions[0].job;
    if (!is_plain) continue;
    const Event event = {.time_ms = crowd.host.now_ms, .body = body};
    for (std::size_t spared = 0; spared < evictions[0].victims.size(); ++spared) {
      std::vector<model::JobId> fewer = evictions[0].victims;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(spared));
      RC_ASSERT(!starts_without(before, event, evictions[0].job, fewer));
    }
    for (const model::JobId victim : evictions[0].victims) {
      const JobRequest request = before.find_job(victim)->request;
      RC_ASSERT(request.is_preemptible);
      RC_ASSERT(request.queue != std::get<JobSubmitted>(body).job.queue ||
                request.priority < std::get<JobSubmitted>(body).job.priority);
    }
  }
}

}  // namespace
}  // namespace busbar::sched
