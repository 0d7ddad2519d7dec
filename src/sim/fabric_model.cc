#include "sim/fabric_model.h"

#include <algorithm>
#include <map>
#include <string>

namespace busbar::sim {
namespace {

/// From one node to another, this much of what a node's link carries when the
/// collective runs at full speed.
struct Flow {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  double size = 1;
};

std::vector<Flow> ring_flows(const GangNodes& nodes) {
  std::vector<Flow> flows;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    flows.push_back({.from = nodes[i], .to = nodes[(i + 1) % nodes.size()]});
  }
  return flows;
}

// The in-order binary tree over ranks 1 .. n: the parent of a rank with lowest
// bit b is the one beside it with that bit cleared and the next set, or cleared
// alone where there is no such rank. Rank 0 hangs below the root.
std::uint32_t tree_parent(std::uint32_t rank, std::uint32_t count) {
  std::uint32_t bit = 1;
  while ((rank & bit) == 0) {
    bit <<= 1U;
  }
  const std::uint32_t up = (rank ^ bit) | (bit << 1U);
  return up < count ? up : rank ^ bit;
}

// Half of the data on each of two trees; the second is the first with every
// rank moved on by one, so that inner ranks of one are mostly leaves of the
// other. A node's link is full with two units a direction.
std::vector<Flow> tree_flows(const GangNodes& nodes) {
  const auto count = static_cast<std::uint32_t>(nodes.size());
  std::vector<Flow> flows;
  for (const std::uint32_t shift : {0U, 1U}) {
    for (std::uint32_t rank = 1; rank < count; ++rank) {
      const std::uint32_t child = nodes[(rank + shift) % count];
      const std::uint32_t parent = nodes[(tree_parent(rank, count) + shift) % count];
      flows.push_back({.from = child, .to = parent, .size = 0.25});
      flows.push_back({.from = parent, .to = child, .size = 0.25});
    }
  }
  return flows;
}

/// Load in both directions of every link, and the worst that a flow meets.
class Links {
 public:
  Links(const ModelFabric& fabric, std::size_t nodes) : fabric_(fabric), out_(fabric.levels.size() + 1), in_(out_) {
    out_[0].resize(nodes);
    in_[0].resize(nodes);
    for (std::size_t i = 0; i < fabric.levels.size(); ++i) {
      out_[i + 1].resize(fabric.levels[i].capacity.size());
      in_[i + 1].resize(fabric.levels[i].capacity.size());
    }
  }

  void add(const Flow& flow) {
    visit(flow, [&](std::size_t level, std::uint32_t from, std::uint32_t to) {
      out_[level][from] += flow.size;
      in_[level][to] += flow.size;
    });
  }

  double worst(const Flow& flow) const {
    double worst = 0;
    visit(flow, [&](std::size_t level, std::uint32_t from, std::uint32_t to) {
      const auto capacity = [&](std::uint32_t domain) {
        return level == 0 ? 1.0 : fabric_.levels[level - 1].capacity[domain];
      };
      worst = std::max({worst, out_[level][from] / capacity(from), in_[level][to] / capacity(to)});
    });
    return worst;
  }

 private:
  // The flow leaves every domain that does not hold both ends.
  template <class F>
  void visit(const Flow& flow, const F& use) const {
    if (flow.from == flow.to) {
      return;
    }
    use(0, flow.from, flow.to);
    for (std::size_t i = 0; i < fabric_.levels.size(); ++i) {
      const std::uint32_t from = fabric_.levels[i].domain_of_node[flow.from];
      const std::uint32_t to = fabric_.levels[i].domain_of_node[flow.to];
      if (from == to) {
        return;
      }
      use(i + 1, from, to);
    }
  }

  const ModelFabric& fabric_;
  std::vector<std::vector<double>> out_;
  std::vector<std::vector<double>> in_;
};

}  // namespace

ModelFabric ModelFabric::make(std::span<const std::vector<std::string>> paths,
                              std::span<const double> oversubscription) {
  ModelFabric fabric;
  for (std::size_t i = 0; i < oversubscription.size(); ++i) {
    std::map<std::vector<std::string>, std::uint32_t> known;
    Level level;
    for (const std::vector<std::string>& path : paths) {
      // A domain is named by its whole path from the root.
      const std::vector<std::string> name(path.begin() + static_cast<std::ptrdiff_t>(i), path.end());
      const auto at = known.emplace(name, static_cast<std::uint32_t>(known.size())).first;
      level.domain_of_node.push_back(at->second);
      level.capacity.resize(known.size());
      level.capacity[at->second] += 1 / oversubscription[i];
    }
    fabric.levels.push_back(std::move(level));
  }
  return fabric;
}

std::vector<double> predict_efficiency(const ModelFabric& fabric, std::span<const GangNodes> gangs,
                                       Collective collective) {
  std::size_t nodes = fabric.levels.empty() ? 0 : fabric.levels.front().domain_of_node.size();
  for (const GangNodes& gang : gangs) {
    for (const std::uint32_t node : gang) nodes = std::max<std::size_t>(nodes, node + std::size_t{1});
  }
  Links links(fabric, nodes);
  std::vector<std::vector<Flow>> flows;
  for (const GangNodes& gang : gangs) {
    flows.push_back(collective == Collective::kRing ? ring_flows(gang) : tree_flows(gang));
    for (const Flow& flow : flows.back()) links.add(flow);
  }
  std::vector<double> efficiency;
  for (const std::vector<Flow>& of_gang : flows) {
    double worst = 1;
    for (const Flow& flow : of_gang) worst = std::max(worst, links.worst(flow));
    efficiency.push_back(1 / worst);
  }
  return efficiency;
}

}  // namespace busbar::sim
