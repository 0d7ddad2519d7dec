#include "sched/test_cluster.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace busbar::sched::testing {

std::vector<model::Node> ClusterBuilder::build() const {
  std::vector<model::Node> nodes;
  for (int leaf = 1; leaf <= leaves_; ++leaf) {
    for (int i = 0; i < nodes_; ++i) {
      model::Node node = {.id = {first_id_ + nodes.size()}};
      node.name = fmt::format("n{}", node.id.value);
      node.fabric = {fmt::format("leaf-{}", leaf), "spine-1"};
      node.cpus = {cpus_ * 1000};
      node.memory = {memory_};
      for (int c = 0; c < cards_; ++c) {
        node.cards.push_back({.index = static_cast<std::uint16_t>(c), .chip = chip_});
        if (cards_per_link_group_ > 0) {
          node.cards.back().link_group = static_cast<std::uint16_t>(c / cards_per_link_group_);
        }
      }
      nodes.push_back(std::move(node));
    }
  }
  return nodes;
}

JobRequest job(std::uint64_t id, std::uint32_t nodes, std::int64_t milli, std::string chip) {
  JobRequest request = {.id = {id}, .min_nodes = nodes, .max_nodes = nodes};
  request.name = fmt::format("job-{}", id);
  if (milli > 0) {
    request.accelerators = {{.chip = std::move(chip), .per_node = {milli}}};
  }
  return request;
}

JobRequest limited(JobRequest request, std::int64_t limit_ms) {
  request.time_limit_ms = limit_ms;
  return request;
}

model::CardAmounts cards(std::int64_t count) {
  return {.all = {count * 1000}};
}

JobRequest in_queue(JobRequest request, std::string queue) {
  request.queue = std::move(queue);
  return request;
}

Host::Host(std::vector<model::Node> nodes, Policy policy) : core(policy) {
  for (model::Node& node : nodes) {
    send(NodeJoined{.node = std::move(node)});
  }
}

Result<std::vector<Decision>> Host::try_send(EventBody body) {
  return core.apply({.time_ms = now_ms, .body = std::move(body)});
}

std::vector<Decision> Host::send(EventBody body) {
  auto decisions = try_send(std::move(body));
  if (!decisions) {
    ADD_FAILURE() << decisions.error().to_string();
    return {};
  }
  EXPECT_EQ(core.state_hash(), core.recompute_hash());
  return *std::move(decisions);
}

void Host::run(JobRequest request) {
  const std::uint64_t id = request.id.value;
  submit(std::move(request));
  ASSERT_TRUE(holds_cards(id)) << "job " << id << " found no cards";
  start(id);
}

void Host::start(std::uint64_t id) {
  send(GangReady{.attempt = attempt(id)});
  send(GangStarted{.attempt = attempt(id)});
}

std::vector<Decision> Host::exit_task(std::uint64_t id, std::uint32_t rank, std::int32_t code,
                                      model::ExitClass exit_class, bool ends_gang) {
  return send(TaskExited{.task = {.attempt = attempt(id), .rank = rank},
                         .exit_class = code == 0 ? model::ExitClass::kSuccess : exit_class,
                         .exit_code = code,
                         .ends_gang = ends_gang});
}

std::vector<Decision> Host::succeed(std::uint64_t id) {
  const auto tasks = core.find_job({id})->placement->tasks.size();
  for (std::uint32_t rank = 0; rank < tasks; ++rank) {
    exit_task(id, rank, 0);
  }
  return gone(id);
}

std::vector<Decision> Host::tick_at(TimeMs time_ms) {
  now_ms = time_ms;
  return send(Tick{});
}

std::optional<model::JobState> Host::state(std::uint64_t id) const {
  const auto view = core.find_job({id});
  return view.has_value() ? std::optional(view->state) : std::nullopt;
}

bool Host::holds_cards(std::uint64_t id) const {
  const auto view = core.find_job({id});
  return view.has_value() && view->placement.has_value();
}

std::vector<std::uint64_t> Host::nodes_of(std::uint64_t id) const {
  std::vector<std::uint64_t> nodes;
  const std::optional<JobView> view = core.find_job({id});
  for (const model::TaskPlacement& task : view->placement->tasks) {
    nodes.push_back(task.node.value);
  }
  return nodes;
}

model::CardList Host::cards_of(std::uint64_t id, std::uint32_t rank) const {
  return core.find_job({id})->placement->tasks[rank].cards;
}

}  // namespace busbar::sched::testing
