#include "sched/random_stream.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace busbar::sched::testing {
namespace {

constexpr std::array<const char*, 3> kChips = {"cpu", "h100", "a100"};
constexpr std::array<const char*, 3> kQueues = {"default", "vision", "speech"};

}  // namespace

RandomStream::RandomStream(std::uint64_t seed) : dice_(mix64(seed)) {}

std::vector<model::Node> RandomStream::first_nodes() {
  std::vector<model::Node> nodes;
  for (std::uint64_t i = 1 + dice_.roll(6); i > 0; --i) {
    nodes.push_back(make_node(++node_count_));
  }
  return nodes;
}

model::Node RandomStream::make_node(std::uint64_t id) {
  model::Node node = {.id = {id}};
  node.name = fmt::format("n{}", id);
  for (std::uint64_t i = dice_.roll(9); i > 0; --i) {
    const auto index = static_cast<std::uint16_t>(node.cards.size());
    node.cards.push_back({.index = index,
                          .chip = kChips[dice_.chance(80) ? id % kChips.size() : dice_.roll(kChips.size())],
                          .link_group = static_cast<std::uint16_t>(index / 4)});
  }
  node.cpus = {static_cast<std::int64_t>(dice_.roll(3) == 0 ? 0 : 1000 * (1 + dice_.roll(16)))};
  node.memory = {static_cast<std::int64_t>(dice_.roll(3) == 0 ? 0 : 100 + dice_.roll(400))};
  if (dice_.chance(80)) {
    node.fabric = {fmt::format("leaf-{}", dice_.roll(3))};
    if (dice_.chance(80)) node.fabric.push_back(fmt::format("spine-{}", dice_.roll(2)));
  }
  return node;
}

JobRequest RandomStream::make_job() {
  JobRequest job = {.id = {next_job_++}, .queue = kQueues[dice_.roll(kQueues.size())]};
  if (dice_.chance(30)) job.user = "ada";
  job.priority = static_cast<std::int32_t>(dice_.roll(3));
  job.min_nodes = static_cast<std::uint32_t>(1 + dice_.roll(dice_.chance(30) ? 4 : 1));
  job.max_nodes = job.min_nodes + static_cast<std::uint32_t>(dice_.chance(35) ? dice_.roll(4) : 0);
  for (std::uint64_t i = dice_.roll(3); i > 0; --i) {
    const std::int64_t milli = dice_.chance(30) ? 100 * (1 + static_cast<std::int64_t>(dice_.roll(9)))
                                                : 1000 * (1 + static_cast<std::int64_t>(dice_.roll(4)));
    job.accelerators.push_back(
        {.chip = dice_.chance(20) ? "" : kChips[dice_.roll(kChips.size())], .per_node = {milli}});
  }
  job.cpus = {static_cast<std::int64_t>(dice_.chance(30) ? 500 * dice_.roll(8) : 0)};
  job.memory = {static_cast<std::int64_t>(dice_.chance(30) ? dice_.roll(200) : 0)};
  if (dice_.chance(20)) {
    job.topology.mode =
        dice_.chance(50) ? model::TopologyRequest::Mode::kRequired : model::TopologyRequest::Mode::kPreferred;
    job.topology.level = std::array{"node", "leaf", "spine"}[dice_.roll(3)];
  }
  job.time_limit_ms = dice_.chance(60) ? static_cast<std::int64_t>(1'000 * (1 + dice_.roll(60))) : 0;
  job.restart.max = static_cast<std::uint32_t>(dice_.roll(3));
  if (dice_.chance(20)) {
    job.group = {1 + dice_.roll(3)};
    job.group_parallel = 2;
  }
  if (job.id.value > 1 && dice_.chance(15)) {
    job.after.push_back({.job = {1 + dice_.roll(job.id.value - 1)}, .must_succeed = dice_.chance(50)});
  }
  job.may_wait_infeasible = dice_.chance(50);
  job.is_preemptible = dice_.chance(85);
  job.min_run_time_ms = dice_.chance(20) ? static_cast<std::int64_t>(dice_.roll(30'000)) : 0;
  job.checkpoint_every_ms = dice_.chance(30) ? 5'000 : 0;
  if (job.max_nodes > job.min_nodes + 1 && dice_.chance(50)) {
    job.sizes = {job.min_nodes, job.max_nodes};
  }
  job.is_live = job.max_nodes > job.min_nodes && dice_.chance(80);
  const bool is_spread = dice_.chance(job.min_nodes > 1 ? 60 : 10);
  job.max_tasks_per_node = is_spread ? 1 + static_cast<std::uint32_t>(dice_.roll(2)) : 0;
  job.name = fmt::format("j{}", dice_.roll(5));
  if (dice_.chance(15)) {
    job.labels.emplace_back("tier", dice_.chance(50) ? "noisy" : "quiet");
  }
  if (dice_.chance(10)) {
    job.avoid.push_back(std::array{"label:tier=noisy", "name:j1", "group:2"}[dice_.roll(3)]);
  }
  return job;
}

EventBody RandomStream::exit_one(Running& running) {
  std::vector<std::uint32_t> alive;
  for (std::uint32_t rank = 0; rank < running.exited.size(); ++rank) {
    if (!running.exited[rank]) alive.push_back(rank);
  }
  const std::uint32_t rank = alive[dice_.roll(alive.size())];
  running.exited[rank] = true;
  TaskExited exited = {.task = {.attempt = running.attempt, .rank = rank}};
  // Gangs lose tasks often, so that what happens then is seen often.
  if (running.exited.size() > 1 && !running.is_stopping && dice_.chance(40)) {
    exited.exit_code = 1;
    exited.exit_class = model::ExitClass::kInfrastructure;
    return exited;
  }
  if (running.is_stopping || dice_.chance(20)) {
    exited.exit_code = 1 + static_cast<std::int32_t>(dice_.roll(200));
    exited.exit_class = std::array{model::ExitClass::kUser, model::ExitClass::kOutOfMemory,
                                   model::ExitClass::kInfrastructure}[dice_.roll(3)];
  }
  exited.ends_gang = dice_.chance(10);
  return exited;
}

// The next step of a random attempt: ready, started, exits, gone.
EventBody RandomStream::progress() {
  auto at = running_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(dice_.roll(running_.size())));
  Running& running = at->second;
  const bool is_over = std::all_of(running.exited.begin(), running.exited.end(), [](bool exited) { return exited; });
  if (is_over || (running.is_stopping && dice_.chance(30))) {
    const model::AttemptId attempt = running.attempt;
    running_.erase(at);
    return GangGone{.attempt = attempt};
  }
  if (running.staying > 0 && dice_.chance(40)) {
    running.exited.resize(running.staying);
    return TasksGone{.attempt = running.attempt, .kept = std::exchange(running.staying, 0)};
  }
  if (!running.is_ready && dice_.chance(90)) {
    running.is_ready = true;
    return GangReady{.attempt = running.attempt};
  }
  if (!running.is_started && dice_.chance(90)) {
    running.is_started = true;
    return GangStarted{.attempt = running.attempt};
  }
  if (dice_.chance(35)) {
    return CheckpointReached{.attempt = running.attempt};
  }
  return exit_one(running);
}

model::CardAmounts RandomStream::make_amounts(std::uint64_t most) {
  model::CardAmounts amounts;
  if (dice_.chance(70)) amounts.all = {static_cast<std::int64_t>(dice_.roll(most)) * 1000};
  if (dice_.chance(30)) {
    amounts.chips = {{kChips[dice_.roll(kChips.size())], {static_cast<std::int64_t>(dice_.roll(most)) * 500}}};
  }
  return amounts;
}

// A queue "top" may be above the others; it never has jobs of its own.
EventBody RandomStream::change_queue(const Core& core) {
  model::Queue queue = {.name = dice_.chance(30) ? "top" : kQueues[dice_.roll(kQueues.size())]};
  if (dice_.chance(60)) queue.limit = make_amounts(20);
  if (dice_.chance(50)) queue.guarantee = make_amounts(8);
  queue.weight.all = static_cast<std::uint32_t>(1 + dice_.roll(3));
  queue.priority = static_cast<std::int32_t>(dice_.chance(30) ? dice_.roll(3) : 0);
  std::vector<model::Queue> queues = core.queues();
  const auto is_same = [&](const model::Queue& other) { return other.name == queue.name; };
  const bool has_top =
      std::any_of(queues.begin(), queues.end(), [](const model::Queue& other) { return other.name == "top"; });
  if (queue.name != "top" && has_top && dice_.chance(50)) queue.parent = "top";
  std::erase_if(queues, is_same);
  queues.push_back(queue);
  if (!model::validate(queue) || !model::validate_tree(queues)) return Tick{};
  return QueueChanged{.queue = std::move(queue)};
}

EventBody RandomStream::change_policy(const Core& core) {
  Policy policy = core.policy();
  policy.may_backfill_yield = dice_.chance(50);
  policy.max_reservations = static_cast<std::uint32_t>(dice_.roll(4));
  policy.order = dice_.chance(30) ? Order::kLearned : Order::kAge;
  policy.learned_favour = static_cast<std::uint32_t>(1 + dice_.roll(4));
  policy.max_moves_per_hour = dice_.chance(50) ? 3 : 0;
  policy.restart_cost_ms = dice_.chance(80) ? 0 : 60'000;
  policy.live_resize_cost_ms = dice_.chance(80) ? 0 : 5'000;
  policy.live_resize_interval_ms = dice_.chance(80) ? 100 : 60'000;
  policy.eviction_interval_ms = dice_.chance(50) ? 1'000 : 3'600'000;
  policy.fair_share_half_life_ms = static_cast<std::int64_t>(1 + dice_.roll(4)) * 60'000;
  policy.chip_weights = {{"cpu", 10}, {"a100", static_cast<std::uint32_t>(dice_.roll(3000))}};
  return PolicyChanged{.policy = std::move(policy)};
}

EventBody RandomStream::trouble(const Core& core) {
  const model::NodeId node = {1 + dice_.roll(node_count_)};
  switch (dice_.roll(8)) {
    case 7:
      return change_policy(core);
    case 0: {
      const auto state = std::array{model::NodeState::kReady, model::NodeState::kDrained,
                                    model::NodeState::kUnreachable, model::NodeState::kFailed}[dice_.roll(4)];
      for (auto& [attempt, running] : running_) {
        const auto placement = core.find_job(attempt.job)->placement;
        for (const model::TaskPlacement& task : placement->tasks) {
          if (state == model::NodeState::kFailed && task.node == node) running.exited[task.rank] = true;
        }
      }
      return NodeStateChanged{.node = node, .state = state};
    }
    case 1: {
      const std::size_t cards = core.find_node(node)->cards.size();
      if (cards == 0) return Tick{};
      return CardHealthChanged{
          .card = {.node = node, .index = static_cast<std::uint16_t>(dice_.roll(cards))},
          .health = dice_.chance(60) ? model::CardHealth::kHealthy : model::CardHealth::kUnhealthy};
    }
    case 2:
      return change_queue(core);
    case 3:
      return NodeJoined{.node = dice_.chance(50) ? make_node(node_count_ + 1) : *core.find_node(node)};
    case 4: {
      const auto jobs = core.jobs();
      if (jobs.empty()) return Tick{};
      return JobCancelled{.job = jobs[dice_.roll(jobs.size())]};
    }
    case 5: {
      const auto reservations = core.reservations();
      if (!reservations.empty() && dice_.chance(50)) {
        return ReservationCancelled{.name = reservations[dice_.roll(reservations.size())].name};
      }
      model::Reservation made = {.name = fmt::format("r{}", dice_.roll(3)), .nodes = {node}};
      made.from_ms = now_ms_ + static_cast<TimeMs>(dice_.roll(60'000));
      made.until_ms = made.from_ms + 1 + static_cast<TimeMs>(dice_.roll(60'000));
      if (dice_.chance(50)) made.queues = {kQueues[dice_.roll(kQueues.size())]};
      if (dice_.chance(50)) made.users = {"ada"};
      return ReservationMade{.reservation = std::move(made)};
    }
    default:
      return Tick{};
  }
}

Event RandomStream::next(const Core& core) {
  now_ms_ += static_cast<TimeMs>(dice_.roll(4) == 0 ? dice_.roll(20'000) : dice_.roll(50));
  const std::uint64_t roll = dice_.roll(100);
  if (roll < 30) {
    return at_now(JobSubmitted{.job = make_job()});
  }
  if (roll < 80 && !running_.empty()) {
    return at_now(progress());
  }
  EventBody body = trouble(core);
  if (const NodeJoined* joined = std::get_if<NodeJoined>(&body)) {
    node_count_ = std::max(node_count_, joined->node.id.value);
  }
  return at_now(std::move(body));
}

Event RandomStream::next_to_end(const Core& core) {
  for (const model::NodeId id : core.nodes()) {
    if (core.find_node(id)->state != model::NodeState::kReady) {
      return at_now(NodeStateChanged{.node = id});
    }
    for (const model::Card& card : core.find_node(id)->cards) {
      if (card.health != model::CardHealth::kHealthy) {
        return at_now(CardHealthChanged{.card = {.node = id, .index = card.index}});
      }
    }
  }
  for (const model::Reservation& reservation : core.reservations()) {
    return at_now(ReservationCancelled{.name = reservation.name});
  }
  for (const model::Queue& queue : core.queues()) {
    if (queue != model::Queue{.name = queue.name}) {
      return at_now(QueueChanged{.queue = {.name = queue.name}});
    }
  }
  if (!running_.empty()) {
    return at_now(progress());
  }
  now_ms_ = std::max(now_ms_ + 1, core.next_wakeup().value_or(now_ms_));
  return at_now(Tick{});
}

void RandomStream::note(const std::vector<Decision>& decisions) {
  for (const Decision& decision : decisions) {
    if (const Place* place = std::get_if<Place>(&decision)) {
      running_[place->attempt] = {.attempt = place->attempt,
                                  .exited = std::vector<bool>(place->placement.tasks.size())};
    } else if (const Extend* extend = std::get_if<Extend>(&decision)) {
      std::vector<bool>& exited = running_[extend->attempt].exited;
      exited.resize(exited.size() + extend->added.tasks.size());
    } else if (const Shrink* shrink = std::get_if<Shrink>(&decision)) {
      running_[shrink->attempt].staying = shrink->kept;
    } else if (const Stop* stop = std::get_if<Stop>(&decision)) {
      running_[stop->attempt].is_stopping = true;
    }
  }
}

}  // namespace busbar::sched::testing
