#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "route/table.h"

namespace busbar::route {

/// How one endpoint stands at the moment of a choice.
struct EndpointLoad {
  std::uint32_t outstanding = 0;  ///< Requests it has been given, by everybody who is known.
  bool is_usable = true;          ///< Not ejected, not tried already for this request.
};

/// Chooses an endpoint for a request: a revision by weight (so a canary of weight 5 beside 95 gets 5 % however fast it
/// is), in it the less loaded of two drawn at random (Mitzenmacher 2001, "The power of two choices in randomized load
/// balancing"), and where neither can take more, the least loaded of all that can. Immutable, so thread-safe. Cost:
/// O(revisions), O(endpoints) only where the drawn ones are full.
class Picker {
 public:
  Picker() = default;
  explicit Picker(const Service& service);

  /// Index into the service's endpoints; nullopt if none can take a request now. `load(index)` gives an EndpointLoad;
  /// `random` is 64 fresh random bits.
  template <class Load>
  std::optional<std::size_t> pick(std::uint64_t random, Load load) const {
    if (groups_.empty()) return std::nullopt;
    const std::size_t first = draw_group(static_cast<std::uint32_t>(random));
    if (const auto found = pick_in(groups_[first], random >> 32, load)) return found;
    // The chosen revision is full: any other is better than to wait.
    for (std::size_t index = 0; index < groups_.size(); ++index) {
      if (index == first) continue;
      if (const auto found = pick_in(groups_[index], random >> 32, load)) return found;
    }
    return std::nullopt;
  }

 private:
  struct Group {
    std::uint32_t revision = 0;
    std::uint64_t weight = 0;  ///< Of one endpoint; a revision's share is that of its heaviest.
    std::vector<std::uint32_t> endpoints = {};
  };

  std::size_t draw_group(std::uint32_t random) const;

  template <class Load>
  std::optional<std::size_t> pick_in(const Group& group, std::uint64_t random, Load& load) const {
    const auto can_take = [this](const EndpointLoad& of) {
      return of.is_usable && (concurrency_ == 0 || of.outstanding < concurrency_);
    };
    const std::size_t count = group.endpoints.size();
    const std::size_t one = (random & 0xffff) % count;
    const std::size_t other = count == 1 ? one : (one + 1 + (random >> 16 & 0xffff) % (count - 1)) % count;
    const EndpointLoad of_one = load(group.endpoints[one]);
    const EndpointLoad of_other = load(group.endpoints[other]);
    if (can_take(of_one) && (!can_take(of_other) || of_one.outstanding <= of_other.outstanding)) {
      return group.endpoints[one];
    }
    if (can_take(of_other)) return group.endpoints[other];
    std::optional<std::size_t> best;
    std::uint32_t least = 0;
    for (const std::uint32_t index : group.endpoints) {
      const EndpointLoad of = load(index);
      if (!can_take(of) || (best && of.outstanding >= least)) continue;
      best = index;
      least = of.outstanding;
    }
    return best;
  }

  std::vector<Group> groups_ = {};
  std::uint64_t weight_sum_ = 0;
  std::uint32_t concurrency_ = 0;
};

}  // namespace busbar::route
