#include "sim/fgd_core.h"

#include <algorithm>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "base/check.h"
#include "sched/core.h"
#include "sim/random.h"

namespace busbar::sim {
namespace {

using sched::place::PackNode;
using sched::place::PackShape;

constexpr unsigned kMibBits = 20;

std::string chip_of(std::size_t kind) {
  return fmt::format("kind-{:02}", kind);
}

model::Node make_node(std::uint64_t id, const PackNode& from) {
  model::Node node = {.id = {id}};
  node.name = fmt::format("n{}", id);
  node.cpus = {from.cpus};
  node.memory = {from.memory << kMibBits};
  for (std::uint16_t i = 0; i < from.cards.size(); ++i) {
    node.cards.push_back({.index = i, .chip = chip_of(from.kind)});
  }
  return node;
}

sched::JobRequest make_request(const PackShape& shape, std::uint64_t kinds) {
  sched::JobRequest request = {.user = "openb"};
  request.cpus = {shape.cpus};
  request.memory = {shape.memory << kMibBits};
  if (shape.cards == 0) {
    return request;
  }
  const MilliCards each = {shape.card_milli()};
  if ((shape.kinds & kinds) == kinds) {
    request.accelerators = {{.chip = "", .per_node = each}};
    return request;
  }
  for (std::size_t kind = 0; kind < 64; ++kind) {
    if ((shape.kinds & kinds) >> kind & 1U) {
      request.accelerators.push_back({.chip = chip_of(kind), .per_node = each});
    }
  }
  return request;
}

class CorePolicy : public PackPolicy {
 public:
  CorePolicy(const PackWorld& world, bool has_seen_the_list) {
    std::uint64_t kinds = 0;
    for (const PackNode& node : world.nodes) {
      kinds |= std::uint64_t{1} << node.kind;
    }
    for (const sched::place::ExpectedShape& expected : world.shapes) {
      requests_.push_back(make_request(expected.shape, kinds));
    }
    if (has_seen_the_list) {
      show(world);
    }
    for (const PackNode& node : world.nodes) {
      apply(sched::NodeJoined{.node = make_node(++nodes_, node)});
    }
  }

  std::optional<Choice> place(std::size_t shape) override {
    const auto decisions = submit(shape);
    const auto* placed = decisions.empty() ? nullptr : std::get_if<sched::Place>(&decisions.front());
    if (placed == nullptr) {
      if (decisions.empty()) {
        apply(sched::JobCancelled{.job = {last_job_}});
      }
      return std::nullopt;
    }
    const model::TaskPlacement& task = placed->placement.tasks.front();
    return Choice{.node = task.node.value - 1, .card = task.cards.empty() ? std::uint16_t{0} : task.cards.front()};
  }

 private:
  std::vector<sched::Decision> apply(sched::EventBody body) {
    auto decisions = core_.apply({.time_ms = core_.now_ms() + 1, .body = std::move(body)});
    CHECK(decisions.has_value(), "the core refused an event of its own host");
    return *std::move(decisions);
  }

  std::vector<sched::Decision> submit(std::size_t shape) {
    sched::JobRequest request = requests_[shape];
    request.id = {++last_job_};
    return apply(sched::JobSubmitted{.job = std::move(request)});
  }

  // Without a node all are refused, but counted.
  void show(const PackWorld& world) {
    std::vector<std::size_t> pods;
    for (std::size_t shape = 0; shape < world.shapes.size(); ++shape) {
      pods.insert(pods.end(), static_cast<std::size_t>(world.shapes[shape].weight), shape);
    }
    Random random(world.seed + 1);
    shuffle(pods, random);
    for (const std::size_t shape : pods) {
      submit(shape);
    }
  }

  sched::Core core_{sched::Policy{}};
  std::vector<sched::JobRequest> requests_;
  std::uint64_t last_job_ = 0;
  std::uint64_t nodes_ = 0;
};

}  // namespace

std::unique_ptr<PackPolicy> make_core_policy(const PackWorld& world, bool has_seen_the_list) {
  return std::make_unique<CorePolicy>(world, has_seen_the_list);
}

}  // namespace busbar::sim
