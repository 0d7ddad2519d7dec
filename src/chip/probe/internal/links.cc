#include "chip/probe/internal/links.h"

#include <algorithm>
#include <cstddef>
#include <map>

namespace busbar::chip::probe {
namespace {

/// Union-find over names.
class Clusters {
 public:
  void join(const std::string& a, const std::string& b) { parent_[find(a)] = find(b); }

  std::string find(const std::string& name) {
    std::string root = name;
    for (auto next = parent_.find(root); next != parent_.end() && next->second != root; next = parent_.find(root)) {
      root = next->second;
    }
    return root;
  }

 private:
  std::map<std::string, std::string> parent_;
};

/// The nearest bridge that the card shares with another one; empty: none below the host bridge.
std::string shared_switch(const LinkEnds& card, const std::vector<LinkEnds>& cards) {
  std::ptrdiff_t deepest = 0;
  for (const LinkEnds& other : cards) {
    if (&other == &card) continue;
    const auto end =
        std::mismatch(card.upstream.begin(), card.upstream.end(), other.upstream.begin(), other.upstream.end()).first;
    deepest = std::max(deepest, end - card.upstream.begin());
  }
  // The first is the host bridge: what only meets there meets in the processor.
  return deepest < 2 ? std::string() : card.upstream[static_cast<std::size_t>(deepest - 1)];
}

std::string near_memory(const LinkEnds& card) {
  if (card.numa_node >= 0) return "numa " + std::to_string(card.numa_node);
  return card.upstream.empty() ? std::string("anywhere") : card.upstream.front();
}

}  // namespace

std::vector<std::uint16_t> link_groups(const std::vector<LinkEnds>& cards,
                                       const std::vector<std::vector<std::string>>& operator_groups) {
  Clusters clusters;
  for (const LinkEnds& card : cards) {
    for (const std::string& peer : card.peers) clusters.join(card.address, peer);
  }
  for (const std::vector<std::string>& group : operator_groups) {
    for (const std::string& address : group) clusters.join(address, group.front());
  }
  std::map<std::string, std::size_t> sizes;
  for (const LinkEnds& card : cards) ++sizes[clusters.find(card.address)];
  std::map<std::string, std::uint16_t> numbers;
  std::vector<std::uint16_t> groups;
  for (const LinkEnds& card : cards) {
    const std::string own = clusters.find(card.address);
    const std::string bridge = shared_switch(card, cards);
    const std::string name = sizes[own] > 1 ? "link " + own : !bridge.empty() ? "switch " + bridge : near_memory(card);
    groups.push_back(numbers.emplace(name, static_cast<std::uint16_t>(numbers.size())).first->second);
  }
  return groups;
}

}  // namespace busbar::chip::probe
