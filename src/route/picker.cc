#include "route/picker.h"

#include <algorithm>

namespace busbar::route {
namespace {

std::uint64_t name_hash(std::string_view name) {
  std::uint64_t hash = name.size();
  for (const char c : name) hash = mix(hash, static_cast<unsigned char>(c));
  return hash;
}

}  // namespace

Picker::Picker(const Service& service) : concurrency_(service.limits.concurrency) {
  const auto is_open = [](const Endpoint& endpoint) { return !endpoint.is_draining && endpoint.role == Role::kAny; };
  const auto group_of = [this](std::uint32_t revision) {
    return std::find_if(groups_.begin(), groups_.end(),
                        [revision](const Group& each) { return each.revision == revision; });
  };
  for (const Endpoint& endpoint : service.endpoints) {
    names_.push_back(name_hash(endpoint.replica));
    if (!is_open(endpoint)) continue;
    auto group = group_of(endpoint.revision);
    if (group == groups_.end()) group = groups_.insert(group, Group{.revision = endpoint.revision});
    group->weight = std::max<std::uint64_t>(group->weight, endpoint.weight);
  }
  for (std::uint32_t index = 0; index < service.endpoints.size(); ++index) {
    const Endpoint& endpoint = service.endpoints[index];
    if (!is_open(endpoint)) continue;
    Group& group = *group_of(endpoint.revision);
    // Of a revision that has weight, those that have none are switched off.
    if (endpoint.weight == 0 && group.weight > 0) continue;
    group.endpoints.push_back(index);
    group.by_tag.emplace_back(name_tag(endpoint.replica), index);
  }
  for (Group& group : groups_) {
    weight_sum_ += group.weight;
    std::sort(group.by_tag.begin(), group.by_tag.end());
  }
}

std::size_t Picker::first_group(std::uint32_t random, std::uint32_t revision) const {
  if (groups_.size() == 1 && weight_sum_ > 0) return 0;
  if (revision != 0) {
    const auto wanted = std::find_if(groups_.begin(), groups_.end(),
                                     [revision](const Group& each) { return each.revision == revision; });
    if (wanted != groups_.end()) return static_cast<std::size_t>(wanted - groups_.begin());
  }
  std::uint64_t left = (static_cast<std::uint64_t>(random) * weight_sum_) >> 32;
  for (std::size_t index = 0; index < groups_.size(); ++index) {
    if (left < groups_[index].weight) return index;
    left -= groups_[index].weight;
  }
  return groups_.size();
}

}  // namespace busbar::route
