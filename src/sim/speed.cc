#include "sim/speed.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/hash.h"
#include "sched/core.h"
#include "sim/fabric_model.h"

namespace busbar::sim {
namespace {

constexpr std::uint32_t kCardsPerNode = 8;
constexpr std::uint32_t kLeavesPerSpine = 16;
constexpr std::uint32_t kQueues = 8;
constexpr std::array<double, 2> kOversubscription = {1.0, 2.0};  // Leaf to spine, spine to core.

/// How often a gang of this many cards is submitted, of 1,000.
struct Share {
  std::uint32_t cards = 0;
  std::uint32_t per_mille = 0;
};
constexpr std::array<Share, 11> kMix = {
    {{1, 300}, {2, 120}, {4, 140}, {8, 200}, {16, 90}, {32, 60}, {64, 40}, {128, 25}, {256, 13}, {512, 7}, {1024, 5}}};

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(mix64(seed)) {}
  std::uint64_t roll(std::uint64_t sides) { return mix64(state_++) % sides; }

 private:
  std::uint64_t state_;
};

/// Leaves of 12 to 20 nodes below spines of sixteen: unequal, as real ones are.
std::vector<model::Node> make_nodes(std::uint32_t count) {
  std::vector<model::Node> nodes;
  std::uint32_t leaf = 0;
  for (std::uint32_t in_leaf = 0; nodes.size() < count;) {
    model::Node node = {.id = {nodes.size() + 1}};
    node.name = fmt::format("n{}", node.id.value);
    node.cpus = {128'000};
    node.memory = {std::int64_t{1} << 40};
    node.fabric = {fmt::format("leaf-{}", leaf), fmt::format("spine-{}", leaf / kLeavesPerSpine)};
    for (std::uint16_t i = 0; i < kCardsPerNode; ++i) {
      node.cards.push_back({.index = i,
                            .chip = leaf % 5 == 4 ? "a100" : "h100",
                            .numa_node = static_cast<std::int16_t>(i / 4),
                            .link_group = static_cast<std::uint16_t>(i / 4)});
    }
    nodes.push_back(std::move(node));
    if (++in_leaf == 12 + leaf % 9) {
      in_leaf = 0;
      ++leaf;
    }
  }
  return nodes;
}

double percentile_us(std::vector<std::int64_t>& times_ns, std::size_t percent) {
  if (times_ns.empty()) {
    return 0;
  }
  const std::size_t at = std::min(times_ns.size() - 1, times_ns.size() * percent / 100);
  std::nth_element(times_ns.begin(), times_ns.begin() + static_cast<std::ptrdiff_t>(at), times_ns.end());
  return static_cast<double>(times_ns[at]) / 1000;
}

/// The same gangs placed without looking at the fabric, to compare with.
class PlainCluster {
 public:
  /// Nodes are tried in this order.
  explicit PlainCluster(std::vector<std::uint32_t> order, std::size_t nodes)
      : order_(std::move(order)), free_(nodes, kCardsPerNode) {}

  void place(model::JobId job, std::uint32_t tasks, std::uint32_t cards) {
    GangNodes gang;
    for (std::size_t i = 0; i < order_.size() && gang.size() < tasks; ++i) {
      for (std::uint32_t left = free_[order_[i]]; left >= cards && gang.size() < tasks; left -= cards) {
        gang.push_back(order_[i]);
      }
    }
    if (gang.size() == tasks) {
      for (const std::uint32_t node : gang) free_[node] -= cards;
      gangs_[job] = {std::move(gang), cards};
    }
  }
  void end(model::JobId job) {
    if (const auto at = gangs_.find(job); at != gangs_.end()) {
      for (const std::uint32_t node : at->second.first) free_[node] += at->second.second;
      gangs_.erase(at);
    }
  }
  /// Begins elsewhere the next time.
  void shuffle(Dice& dice) {
    for (std::size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[dice.roll(i)]);
  }
  const GangNodes* find(model::JobId job) const {
    const auto at = gangs_.find(job);
    return at == gangs_.end() ? nullptr : &at->second.first;
  }

 private:
  std::vector<std::uint32_t> order_;
  std::vector<std::uint32_t> free_;
  std::map<model::JobId, std::pair<GangNodes, std::uint32_t>> gangs_;
};

class SpeedRun {
 public:
  SpeedRun(const SpeedOptions& options, const SpeedProbes& probes);
  SpeedReport run();

 private:
  struct Running {
    model::JobId job = {};
    std::uint32_t cards = 0;
  };
  struct Measured {
    std::uint64_t placed = 0;
    std::vector<std::int64_t> times_ns = {};
  };

  std::vector<sched::Decision> apply(sched::EventBody body);
  sched::JobRequest make_job(std::uint32_t cards);
  std::uint32_t draw_cards();
  void end_one();
  void submit(std::uint32_t cards, bool is_timed);
  double fork_us() const;
  std::vector<PredictedRow> predict() const;

  const SpeedOptions& options_;
  const SpeedProbes& probes_;
  Dice dice_;
  std::vector<model::Node> nodes_;
  std::int64_t heap_before_;
  sched::Core core_{sched::Policy{}};
  PlainCluster count_only_;
  PlainCluster random_;
  std::uint64_t next_job_ = 1;
  std::uint32_t used_ = 0;
  std::vector<Running> running_;
  std::map<std::uint32_t, Measured> measured_;
  std::vector<std::int64_t> release_ns_;
};

// Names say nothing of the fabric: neighbours by name stand in different
// leaves, as machines racked in turn do.
std::vector<std::uint32_t> by_name(std::size_t nodes) {
  std::vector<std::uint32_t> order;
  constexpr std::size_t kStride = 16;
  for (std::size_t first = 0; first < kStride; ++first) {
    for (std::size_t i = first; i < nodes; i += kStride) order.push_back(static_cast<std::uint32_t>(i));
  }
  return order;
}

SpeedRun::SpeedRun(const SpeedOptions& options, const SpeedProbes& probes)
    : options_(options),
      probes_(probes),
      dice_(options.seed),
      nodes_(make_nodes(options.cards / kCardsPerNode)),
      heap_before_(probes.heap_bytes()),
      count_only_(by_name(nodes_.size()), nodes_.size()),
      random_(by_name(nodes_.size()), nodes_.size()) {
  for (std::uint32_t queue = 0; queue < kQueues; ++queue) {
    apply(sched::QueueChanged{
        .queue = {.name = fmt::format("team-{}", queue), .limit = {std::int64_t{options.cards} * 1000}}});
  }
  for (const model::Node& node : nodes_) {
    apply(sched::NodeJoined{.node = node});
  }
}

std::vector<sched::Decision> SpeedRun::apply(sched::EventBody body) {
  auto decisions = core_.apply({.time_ms = core_.now_ms() + 1, .body = std::move(body)});
  CHECK(decisions.has_value(), "the core refused an event of its own host");
  return *std::move(decisions);
}

std::uint32_t SpeedRun::draw_cards() {
  std::uint64_t roll = dice_.roll(1000);
  for (const Share& share : kMix) {
    if (roll < share.per_mille) {
      return share.cards;
    }
    roll -= share.per_mille;
  }
  return 1;
}

sched::JobRequest SpeedRun::make_job(std::uint32_t cards) {
  const std::uint32_t tasks = std::max<std::uint32_t>(1, cards / kCardsPerNode);
  const std::uint32_t per_task = cards / tasks;
  sched::JobRequest job = {.id = {next_job_++}, .min_nodes = tasks, .max_nodes = tasks};
  job.name = "train";
  job.user = "someone";
  job.queue = fmt::format("team-{}", dice_.roll(kQueues));
  job.accelerators = {{.chip = "h100", .per_node = {std::int64_t{per_task} * 1000}},
                      {.chip = "a100", .per_node = {std::int64_t{per_task} * 1000}}};
  job.cpus = {std::int64_t{per_task} * 12'000};
  job.memory = {(std::int64_t{1} << 35) * per_task};
  job.topology = {.mode = model::TopologyRequest::Mode::kPreferred, .level = "leaf"};
  return job;
}

void SpeedRun::end_one() {
  const std::size_t at = dice_.roll(running_.size());
  const Running ended = running_[at];
  running_[at] = running_.back();
  running_.pop_back();
  used_ -= ended.cards;
  const model::AttemptId attempt = {.job = ended.job, .number = 1};
  apply(sched::JobCancelled{.job = ended.job});
  const std::int64_t begun = probes_.now_ns();
  apply(sched::GangGone{.attempt = attempt});
  release_ns_.push_back(probes_.now_ns() - begun);
  count_only_.end(ended.job);
  random_.end(ended.job);
}

void SpeedRun::submit(std::uint32_t cards, bool is_timed) {
  sched::JobRequest job = make_job(cards);
  const model::JobId id = job.id;
  const std::uint32_t tasks = job.min_nodes;
  const sched::Event event = {.time_ms = core_.now_ms() + 1, .body = sched::JobSubmitted{.job = std::move(job)}};
  const std::int64_t begun = probes_.now_ns();
  const auto decisions = core_.apply(event);
  const std::int64_t took = probes_.now_ns() - begun;
  const bool is_placed =
      decisions.has_value() && !decisions->empty() && std::holds_alternative<sched::Place>(decisions->front());
  if (is_placed) {
    running_.push_back({.job = id, .cards = cards});
    used_ += cards;
    count_only_.place(id, tasks, cards / tasks);
    random_.shuffle(dice_);
    random_.place(id, tasks, cards / tasks);
  } else {
    apply(sched::JobCancelled{.job = id});
  }
  if (is_timed) {
    measured_[cards].placed += is_placed ? 1 : 0;
    measured_[cards].times_ns.push_back(took);
  }
}

double SpeedRun::fork_us() const {
  std::vector<std::int64_t> times_ns;
  for (int i = 0; i < 101; ++i) {
    const std::int64_t begun = probes_.now_ns();
    {
      const sched::Core copy = core_.fork();
    }
    times_ns.push_back(probes_.now_ns() - begun);
  }
  return percentile_us(times_ns, 50);
}

std::vector<PredictedRow> SpeedRun::predict() const {
  std::vector<std::vector<std::string>> paths;
  for (const model::Node& node : nodes_) paths.push_back(node.fabric);
  const ModelFabric fabric = ModelFabric::make(paths, kOversubscription);
  std::vector<GangNodes> ours;
  std::vector<GangNodes> counted;
  std::vector<GangNodes> drawn;
  for (const Running& running : running_) {
    const GangNodes* by_count = count_only_.find(running.job);
    const GangNodes* by_chance = random_.find(running.job);
    if (running.cards <= kCardsPerNode || by_count == nullptr || by_chance == nullptr) {
      continue;
    }
    const std::optional<sched::JobView> job = core_.find_job(running.job);
    GangNodes nodes;
    for (const model::TaskPlacement& task : job->placement->tasks) {
      nodes.push_back(static_cast<std::uint32_t>(task.node.value - 1));
    }
    ours.push_back(std::move(nodes));
    counted.push_back(*by_count);
    drawn.push_back(*by_chance);
  }
  const auto row = [&](std::string name, const std::vector<GangNodes>& gangs) {
    const auto mean = [&](Collective collective) {
      double sum = 0;
      for (const double one : predict_efficiency(fabric, gangs, collective)) sum += one;
      return gangs.empty() ? 0 : sum / static_cast<double>(gangs.size());
    };
    return PredictedRow{.placement = std::move(name),
                        .gangs = gangs.size(),
                        .ring = mean(Collective::kRing),
                        .tree = mean(Collective::kTree)};
  };
  return {row("busbar", ours), row("count_only", counted), row("random", drawn)};
}

SpeedReport SpeedRun::run() {
  const auto target = static_cast<std::uint32_t>(std::uint64_t{options_.cards} * options_.load_percent / 100);
  // A gang larger than the load itself is never drawn.
  const auto draw = [&] {
    std::uint32_t cards = draw_cards();
    while (cards > target) cards = draw_cards();
    return cards;
  };
  for (std::uint32_t i = 0; used_ < target - target / 50 && i < options_.cards; ++i) {
    const std::uint32_t cards = draw();
    if (used_ + cards <= target) submit(cards, false);
  }
  for (std::uint32_t i = 0; i < options_.decisions; ++i) {
    const std::uint32_t cards = draw();
    while (used_ + cards > target) end_one();
    submit(cards, true);
  }
  const std::int64_t heap_after = probes_.heap_bytes();
  SpeedReport report = {.cards = options_.cards,
                        .nodes = static_cast<std::uint32_t>(nodes_.size()),
                        .load_percent = static_cast<std::uint32_t>(std::uint64_t{used_} * 100 / options_.cards),
                        .seed = options_.seed,
                        .running = running_.size(),
                        .fork_us = fork_us(),
                        .release_p50_us = percentile_us(release_ns_, 50),
                        .bytes_per_card = static_cast<double>(heap_after - heap_before_) / options_.cards,
                        .predicted = predict()};
  std::map<std::string, int> leaves;
  std::map<std::string, int> spines;
  for (const model::Node& node : nodes_) {
    ++leaves[node.fabric[0]];
    ++spines[node.fabric[1]];
  }
  report.leaves = static_cast<std::uint32_t>(leaves.size());
  report.spines = static_cast<std::uint32_t>(spines.size());
  for (auto& [cards, measured] : measured_) {
    report.rows.push_back({.cards = cards,
                           .count = measured.times_ns.size(),
                           .placed = measured.placed,
                           .p50_us = percentile_us(measured.times_ns, 50),
                           .p99_us = percentile_us(measured.times_ns, 99)});
  }
  return report;
}

}  // namespace

Result<SpeedReport> measure_speed(const SpeedOptions& options, const SpeedProbes& probes) {
  constexpr std::uint32_t kMostCards = 1'000'000;
  if (options.cards < kCardsPerNode || options.cards > kMostCards || options.cards % kCardsPerNode != 0) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{} cards: give a multiple of {} from {} to {}", options.cards, kCardsPerNode,
                                  kCardsPerNode, kMostCards));
  }
  if (options.load_percent < 1 || options.load_percent > 99 || options.cards * options.load_percent / 100 < 1) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("load of {} %: give 1 to 99", options.load_percent));
  }
  return SpeedRun(options, probes).run();
}

Json to_json(const SpeedReport& report) {
  Json sizes = Json::array();
  for (const SpeedRow& row : report.rows) {
    sizes.push(Json::object({{"cards", row.cards},
                             {"count", row.count},
                             {"placed", row.placed},
                             {"p50_us", row.p50_us},
                             {"p99_us", row.p99_us}}));
  }
  Json predicted = Json::array();
  for (const PredictedRow& row : report.predicted) {
    predicted.push(
        Json::object({{"placement", row.placement}, {"gangs", row.gangs}, {"ring", row.ring}, {"tree", row.tree}}));
  }
  return Json::object({{"cards", report.cards},
                       {"nodes", report.nodes},
                       {"leaves", report.leaves},
                       {"spines", report.spines},
                       {"load_percent", report.load_percent},
                       {"seed", report.seed},
                       {"running", report.running},
                       {"fork_us", report.fork_us},
                       {"release_p50_us", report.release_p50_us},
                       {"bytes_per_card", report.bytes_per_card},
                       {"sizes", std::move(sizes)},
                       {"predicted_all_reduce", std::move(predicted)}});
}

}  // namespace busbar::sim
