#include "sim/cluster_shape.h"

#include <algorithm>

#include <fmt/format.h>

namespace busbar::sim {
namespace {

constexpr std::uint32_t kMaxCards = 1'000'000;
constexpr std::uint32_t kMaxCardsPerNode = 4096;

}  // namespace

Result<void> validate(const ClusterShape& shape) {
  if (shape.cards < 1 || shape.cards > kMaxCards) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("a cluster of {} cards; give 1 to {}", shape.cards, kMaxCards));
  }
  if (shape.cards_per_node < 1 || shape.cards_per_node > kMaxCardsPerNode) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("nodes of {} cards; give 1 to {}", shape.cards_per_node, kMaxCardsPerNode));
  }
  if (shape.nodes_per_leaf < 1 || shape.leaves_per_spine < 1) {
    return make_error(ErrorCode::kInvalidArgument, "a leaf needs at least 1 node, a spine at least 1 leaf");
  }
  return {};
}

std::vector<model::Node> make_nodes(const ClusterShape& shape) {
  std::vector<model::Node> nodes;
  nodes.reserve(shape.nodes());
  for (std::uint32_t i = 0; i < shape.nodes(); ++i) {
    const std::uint32_t leaf = i / shape.nodes_per_leaf;
    model::Node node{
        .id = {i + 1},
        .name = fmt::format("n{}", i + 1),
        .cpus = {shape.cpus_per_node_milli},
        .memory = {shape.memory_per_node},
        .fabric = {fmt::format("leaf-{}", leaf + 1), fmt::format("spine-{}", leaf / shape.leaves_per_spine + 1)}};
    const std::uint32_t count = std::min(shape.cards_per_node, shape.cards - i * shape.cards_per_node);
    for (std::uint32_t card = 0; card < count; ++card) {
      node.cards.push_back(
          {.index = static_cast<std::uint16_t>(card), .chip = shape.chip, .device = fmt::format("sim:{}", card)});
    }
    nodes.push_back(std::move(node));
  }
  return nodes;
}

}  // namespace busbar::sim
