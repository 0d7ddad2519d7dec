#include "sched/fairshare/tree.h"

#include <algorithm>

namespace busbar::sched::fairshare {

Tree::Tree(const std::vector<model::Queue>& queues) {
  for (const model::Queue& queue : queues) {
    nodes_.push_back({.name = queue.name, .promised = model::effective_guarantee(queues, queue)});
    has_guarantees_ = has_guarantees_ || queue.guarantee.is_given();
  }
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    nodes_[i].parent = find(queues[i].parent);
    (nodes_[i].parent.has_value() ? nodes_[*nodes_[i].parent].children : tops_).push_back(i);
  }
}

std::optional<std::uint32_t> Tree::find(std::string_view name) const {
  const auto at = std::lower_bound(nodes_.begin(), nodes_.end(), name,
                                   [](const Node& node, std::string_view wanted) { return node.name < wanted; });
  return at == nodes_.end() || at->name != name ? std::nullopt
                                                : std::optional(static_cast<std::uint32_t>(at - nodes_.begin()));
}

bool Tree::is_at_or_above(std::uint32_t above, std::uint32_t below) const {
  for (std::optional<std::uint32_t> at = below; at.has_value(); at = nodes_[*at].parent) {
    if (*at == above) {
      return true;
    }
  }
  return false;
}

}  // namespace busbar::sched::fairshare
