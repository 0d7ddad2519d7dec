#include "sim/fgd.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "sim/fgd_policies.h"
#include "sim/random.h"

namespace busbar::sim {
namespace {

double mean_of(const std::vector<double>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double stdev_of(const std::vector<double>& values) {
  if (values.size() < 2) {
    return 0;
  }
  const double mean = mean_of(values);
  double squares = 0;
  for (const double value : values) {
    squares += (value - mean) * (value - mean);
  }
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

// Nearest rank.
double percentile_us(const std::vector<std::int64_t>& sorted_ns, std::size_t percent) {
  const std::size_t rank = (sorted_ns.size() * percent + 99) / 100;
  return sorted_ns.empty() ? 0 : static_cast<double>(sorted_ns[std::max<std::size_t>(rank, 1) - 1]) / 1000;
}

double rounded(double value, double unit) {
  return std::round(value / unit) * unit;
}

}  // namespace

std::vector<std::uint32_t> draw_arrivals(const FgdCluster& cluster, const FgdPods& pods, const FgdProtocol& protocol,
                                         std::uint64_t seed) {
  Random random(seed);
  const auto milli_of = [&](std::uint32_t shape) { return pods.shapes[shape].shape.card_milli(); };
  std::vector<std::uint32_t> arrivals = pods.pods;
  std::int64_t asked = 0;
  for (const std::uint32_t shape : arrivals) {
    asked += milli_of(shape);
  }
  const std::int64_t target = cluster.card_milli * protocol.arrive_percent / 100;
  while (asked > target) {
    const std::size_t out = random.below(arrivals.size());
    asked -= milli_of(arrivals[out]);
    arrivals[out] = arrivals.back();
    arrivals.pop_back();
  }
  while (true) {
    const std::uint32_t shape = pods.pods[random.below(pods.pods.size())];
    if (asked + milli_of(shape) > target) {
      break;
    }
    asked += milli_of(shape);
    arrivals.push_back(shape);
  }
  shuffle(arrivals, random);
  return arrivals;
}

FgdRun run_fgd(const FgdCluster& cluster, const FgdPods& pods, const FgdProtocol& protocol, std::string_view policy,
               std::uint64_t seed, const NowNs& now_ns) {
  std::vector<sched::place::PackNode> nodes = cluster.nodes;
  Random random(~seed);
  shuffle(nodes, random);
  const std::vector<std::uint32_t> arrivals = draw_arrivals(cluster, pods, protocol, seed);
  FgdRun run;
  run.pods = arrivals.size();
  run.decision_ns.reserve(arrivals.size());
  const std::int64_t begun = now_ns();
  const auto packing = make_pack_policy(policy, {.nodes = nodes, .shapes = pods.shapes, .seed = seed});
  CHECK(packing != nullptr, "unknown packing policy");
  run.setup_ns = now_ns() - begun;
  std::int64_t allocated = 0;
  for (const std::uint32_t shape : arrivals) {
    const std::int64_t before = now_ns();
    const bool is_placed = packing->place(shape).has_value();
    run.decision_ns.push_back(now_ns() - before);
    run.moves += packing->moves().size();
    if (is_placed) {
      ++run.placed;
      allocated += pods.shapes[shape].shape.card_milli();
    }
  }
  run.allocated_percent = 100 * static_cast<double>(allocated) / static_cast<double>(cluster.card_milli);
  return run;
}

FgdSummary summarise_fgd(std::string policy, const std::vector<FgdRun>& runs) {
  FgdSummary summary = {.policy = std::move(policy)};
  std::vector<std::int64_t> decisions;
  std::size_t pods = 0;
  std::uint64_t moves = 0;
  std::int64_t setup_ns = 0;
  for (const FgdRun& run : runs) {
    summary.allocated_percent.push_back(run.allocated_percent);
    decisions.insert(decisions.end(), run.decision_ns.begin(), run.decision_ns.end());
    pods += run.pods;
    moves += run.moves;
    setup_ns += run.setup_ns;
  }
  const auto count = static_cast<double>(std::max<std::size_t>(runs.size(), 1));
  summary.pods = std::llround(static_cast<double>(pods) / count);
  summary.mean = mean_of(summary.allocated_percent);
  summary.stdev = stdev_of(summary.allocated_percent);
  const double busy_ns = std::accumulate(decisions.begin(), decisions.end(), 0.0);
  summary.pods_per_s = busy_ns > 0 ? static_cast<double>(pods) * 1e9 / busy_ns : 0;
  summary.setup_ms = static_cast<double>(setup_ns) / count / 1e6;
  summary.moves_per_hundred = 100 * static_cast<double>(moves) / static_cast<double>(std::max<std::size_t>(pods, 1));
  std::ranges::sort(decisions);
  summary.p50_us = percentile_us(decisions, 50);
  summary.p99_us = percentile_us(decisions, 99);
  return summary;
}

FgdDifference paired_difference(const FgdSummary& ours, const FgdSummary& theirs) {
  std::vector<double> differences;
  for (std::size_t i = 0; i < std::min(ours.allocated_percent.size(), theirs.allocated_percent.size()); ++i) {
    differences.push_back(ours.allocated_percent[i] - theirs.allocated_percent[i]);
  }
  const double count = static_cast<double>(std::max<std::size_t>(differences.size(), 1));
  return {.mean = mean_of(differences), .standard_error = stdev_of(differences) / std::sqrt(count)};
}

Json fgd_json(const FgdSummary& summary) {
  Json json = Json::object(
      {{"policy", summary.policy},
       {"pods", summary.pods},
       {"seeds", static_cast<std::int64_t>(summary.allocated_percent.size())},
       {"allocation_percent",
        Json::object({{"mean", rounded(summary.mean, 1e-4)}, {"stdev", rounded(summary.stdev, 1e-4)}})},
       {"pods_per_s", rounded(summary.pods_per_s, 1)},
       {"latency_us", Json::object({{"p50", rounded(summary.p50_us, 1e-3)}, {"p99", rounded(summary.p99_us, 1e-3)}})},
       {"setup_ms", rounded(summary.setup_ms, 1e-1)}});
  if (summary.moves_per_hundred > 0) json.set("moves_per_100_pods", rounded(summary.moves_per_hundred, 1e-2));
  return json;
}

}  // namespace busbar::sim
