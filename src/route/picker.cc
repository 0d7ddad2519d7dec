#include "route/picker.h"

#include <algorithm>

namespace busbar::route {

Picker::Picker(const Service& service) : concurrency_(service.limits.concurrency) {
  for (std::uint32_t index = 0; index < service.endpoints.size(); ++index) {
    const Endpoint& endpoint = service.endpoints[index];
    if (endpoint.is_draining || endpoint.weight == 0 || endpoint.role != Role::kAny) continue;
    auto group = std::find_if(groups_.begin(), groups_.end(),
                              [&endpoint](const Group& each) { return each.revision == endpoint.revision; });
    if (group == groups_.end()) group = groups_.insert(group, Group{.revision = endpoint.revision});
    group->weight = std::max<std::uint64_t>(group->weight, endpoint.weight);
    group->endpoints.push_back(index);
  }
  for (const Group& group : groups_) weight_sum_ += group.weight;
}

std::size_t Picker::draw_group(std::uint32_t random) const {
  if (groups_.size() == 1) return 0;
  std::uint64_t left = (static_cast<std::uint64_t>(random) * weight_sum_) >> 32;
  for (std::size_t index = 0; index < groups_.size(); ++index) {
    if (left < groups_[index].weight) return index;
    left -= groups_[index].weight;
  }
  return groups_.size() - 1;
}

}  // namespace busbar::route
