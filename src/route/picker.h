#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "route/prefix.h"
#include "route/table.h"

namespace busbar::route {

/// How one endpoint stands at the moment of a choice.
struct EndpointLoad {
  std::uint32_t outstanding = 0;  ///< Requests it has been given, by everybody who is known.
  std::uint64_t work = 0;         ///< What those are expected to cost: tokens of calls of a model, else 1 each.
  bool is_usable = true;          ///< Not ejected, not tried already for this request, has what it needs.
};

/// What a request would like beyond a replica with room.
struct Wish {
  std::uint32_t revision = 0;               ///< 0: any, by weight. Else that one, others where it has no room.
  std::uint64_t session = 0;                ///< Hash of what it belongs to; 0: nothing.
  std::span<const std::uint64_t> prefix{};  ///< Of its prompt; see `hash_prefix`.
  const PrefixMap* prefixes = nullptr;      ///< Where such prefixes went; with `prefix`.
  std::uint64_t cost = 1;                   ///< In the unit of EndpointLoad::work.
  std::uint32_t bound_permille = 1'250;     ///< Of the mean work; beyond, a session goes elsewhere.
};

/// Chooses an endpoint for a request: a revision by weight (so a canary of weight 5 beside 95 gets 5 % however fast it
/// is; one of weight 0 only what wants it), in it
/// - for a session, the first by rendezvous hashing that is not beyond the bound (consistent hashing with bounded
/// loads,
///   Mirrokni et al. 2018): stateless, so all gateways choose alike;
/// - for a prompt, whoever is cheapest when each token of it that a replica has in memory counts against one token of
///   work that it has to do before;
/// - else the one with less work of two drawn at random (Mitzenmacher 2001, "The power of two choices in randomized
/// load
///   balancing").
/// Where the drawn ones can take no more: the one with the least work of all that can. Immutable, so thread-safe. Cost:
/// O(revisions), O(endpoints) for sessions and where the drawn ones are full.
class Picker {
 public:
  Picker() = default;
  explicit Picker(const Service& service);

  /// Index into the service's endpoints; nullopt if none can take a request now. `load(index)` gives an EndpointLoad;
  /// `random` is 64 fresh random bits.
  template <class Load>
  std::optional<std::size_t> pick(std::uint64_t random, Load load, const Wish& wish = {}) const {
    const std::size_t first = first_group(static_cast<std::uint32_t>(random), wish.revision);
    if (first == groups_.size()) return std::nullopt;
    if (const auto found = pick_in(groups_[first], random >> 32, load, wish)) return found;
    // The chosen revision is full: any other is better than to wait.
    for (std::size_t index = 0; index < groups_.size(); ++index) {
      if (index == first || groups_[index].weight == 0) continue;
      if (const auto found = pick_in(groups_[index], random >> 32, load, wish)) return found;
    }
    return std::nullopt;
  }

 private:
  struct Group {
    std::uint32_t revision = 0;
    std::uint64_t weight = 0;  ///< Of one endpoint; a revision's share is that of its heaviest.
    std::vector<std::uint32_t> endpoints = {};
    std::vector<std::pair<std::uint16_t, std::uint32_t>> by_tag = {};  ///< Name tags with endpoints, sorted.
  };

  /// groups_.size(): none.
  std::size_t first_group(std::uint32_t random, std::uint32_t revision) const;

  bool can_take(const EndpointLoad& of) const {
    return of.is_usable && (concurrency_ == 0 || of.outstanding < concurrency_);
  }

  template <class Load>
  std::optional<std::size_t> pick_in(const Group& group, std::uint64_t random, Load& load, const Wish& wish) const {
    if (wish.session != 0) {
      if (const auto found = pick_session(group, load, wish)) return found;
    }
    const auto drawn = pick_of_two(group, random, load);
    return drawn && !wish.prefix.empty() ? pick_prefix(group, *drawn, load, wish) : drawn;
  }

  template <class Load>
  std::optional<std::size_t> pick_of_two(const Group& group, std::uint64_t random, Load& load) const {
    const std::size_t count = group.endpoints.size();
    const std::size_t one = (random & 0xffff) % count;
    const std::size_t other = count == 1 ? one : (one + 1 + (random >> 16 & 0xffff) % (count - 1)) % count;
    const EndpointLoad of_one = load(group.endpoints[one]);
    const EndpointLoad of_other = load(group.endpoints[other]);
    if (can_take(of_one) && (!can_take(of_other) || of_one.work <= of_other.work)) return group.endpoints[one];
    if (can_take(of_other)) return group.endpoints[other];
    std::optional<std::size_t> best;
    std::uint64_t least = 0;
    for (const std::uint32_t index : group.endpoints) {
      const EndpointLoad of = load(index);
      if (!can_take(of) || (best && of.work >= least)) continue;
      best = index;
      least = of.work;
    }
    return best;
  }

  template <class Load>
  std::optional<std::size_t> pick_session(const Group& group, Load& load, const Wish& wish) const {
    std::uint64_t work = wish.cost;
    std::uint64_t usable = 0;
    for (const std::uint32_t index : group.endpoints) {
      const EndpointLoad of = load(index);
      if (!of.is_usable) continue;
      work += of.work;
      ++usable;
    }
    if (usable == 0) return std::nullopt;
    // A little beyond the bound, or two requests of one session would part where nothing else is under way.
    const std::uint64_t most = work * wish.bound_permille / (1'000 * usable) + 2 * wish.cost;
    std::optional<std::size_t> best;
    std::uint64_t highest = 0;
    for (const std::uint32_t index : group.endpoints) {
      const std::uint64_t score = mix(wish.session, names_[index]);
      if (best && score <= highest) continue;
      const EndpointLoad of = load(index);
      if (!can_take(of) || of.work > most) continue;
      best = index;
      highest = score;
    }
    return best;
  }

  template <class Load>
  std::size_t pick_prefix(const Group& group, std::size_t drawn, Load& load, const Wish& wish) const {
    auto least = static_cast<std::int64_t>(load(drawn).work);
    std::size_t best = drawn;
    std::size_t looked = 0;
    // From the longest match on: whoever has a shorter one as well is found there first.
    for (std::size_t depth = wish.prefix.size(); depth > 0 && looked < kMostMatches; --depth) {
      for (const std::uint16_t tag : wish.prefixes->find(wish.prefix[depth - 1])) {
        if (tag == 0) continue;
        const auto found = std::lower_bound(group.by_tag.begin(), group.by_tag.end(), std::pair(tag, std::uint32_t{0}));
        if (found == group.by_tag.end() || found->first != tag) continue;
        ++looked;
        const EndpointLoad of = load(found->second);
        if (!can_take(of)) continue;
        const std::int64_t cost =
            static_cast<std::int64_t>(of.work) - static_cast<std::int64_t>(depth * kPrefixBlockTokens);
        if (cost >= least) continue;
        least = cost;
        best = found->second;
      }
    }
    return best;
  }

  static constexpr std::size_t kMostMatches = 8;

  std::vector<Group> groups_ = {};
  std::vector<std::uint64_t> names_ = {};  ///< Hashes of replicas' names, by endpoint.
  std::uint64_t weight_sum_ = 0;
  std::uint32_t concurrency_ = 0;
};

}  // namespace busbar::route
