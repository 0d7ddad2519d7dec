#include "sched/fairshare/order.h"

#include <algorithm>

namespace busbar::sched::fairshare {
namespace {

using internal::State;

std::uint64_t fraction(Wide part, Wide whole) {
  if (whole == 0) {
    return 0;
  }
  const Wide share = part / whole >= Wide{1} << 30 ? Wide{1} << 62 : (part << 32) / whole;
  return static_cast<std::uint64_t>(std::min(share, Wide{1} << 62));
}

// Every declared part of the promise is in use.
bool has_all_of(const model::CardAmounts& promised, const CardSums& used) {
  if (promised.all.value >= 0) {
    return used.total() >= promised.all.value;
  }
  return std::all_of(promised.chips.begin(), promised.chips.end(),
                     [&](const auto& chip) { return used.of(chip.first) >= chip.second.value; });
}

std::uint64_t dominant_share(const State& state, const internal::QueueEntry& entry) {
  std::uint64_t share = 0;
  for (const auto& [chip, milli] : entry.account.used.chips()) {
    const Wide whole = static_cast<Wide>(state.declared_cards().of(chip)) * entry.queue.weight.of(chip);
    share = std::max(share, fraction(static_cast<Wide>(milli), whole));
  }
  return share;
}

const internal::QueueEntry& entry_of(const State& state, std::uint32_t index) {
  return *state.queues().find(state.tree().node(index).name);
}

Wide settled_below(const State& state, std::uint32_t index) {
  Wide sum = entry_of(state, index).account.history.settled;
  for (const std::uint32_t child : state.tree().node(index).children) {
    sum += settled_below(state, child);
  }
  return sum;
}

}  // namespace

std::vector<Share> shares_of(const State& state) {
  Wide capacity = 0;
  for (const auto& [chip, milli] : state.declared_cards().chips()) {
    capacity += static_cast<Wide>(milli) * static_cast<Wide>(internal::chip_weight(state.policy(), chip));
  }
  const Wide weight = state.decay().weight_at(epoch_of(state.now_ms()));
  std::vector<Share> shares;
  for (std::uint32_t i = 0; i < state.tree().nodes().size(); ++i) {
    const internal::QueueEntry& entry = entry_of(state, i);
    shares.push_back({.now = dominant_share(state, entry),
                      .past = fraction(settled_below(state, i) / weight, capacity * entry.queue.weight.all)});
  }
  return shares;
}

ServingOrder::ServingOrder(const State& state)
    : state_(state),
      shares_(shares_of(state)),
      heads_(state.tree().nodes().size(), 0),
      active_(state.tree().nodes().size(), 0) {
  for (std::uint32_t i = 0; i < active_.size(); ++i) {
    keys_.push_back(key_of(i));
  }
}

ServingOrder::Key ServingOrder::key_of(std::uint32_t index) const {
  const Tree& tree = state_.tree();
  const internal::QueueEntry& entry = entry_of(state_, index);
  return {.has_its_guarantee = tree.has_guarantees() && has_all_of(tree.node(index).promised, entry.account.used),
          .negated_priority = -std::int64_t{entry.queue.priority},
          .share = state_.policy().order == Order::kLearned ? ~heads_[index] : shares_[index].total()};
}

void ServingOrder::count(std::uint32_t leaf, int by) {
  for (std::optional<std::uint32_t> at = leaf; at.has_value(); at = state_.tree().node(*at).parent) {
    active_[*at] += static_cast<std::uint32_t>(by);
  }
}

void ServingOrder::set_head(std::uint32_t leaf, std::uint64_t urgency) {
  if (state_.policy().order != Order::kLearned) {
    return;
  }
  heads_[leaf] = urgency;
  keys_[leaf] = key_of(leaf);
  for (std::optional<std::uint32_t> at = state_.tree().node(leaf).parent; at.has_value();
       at = state_.tree().node(*at).parent) {
    heads_[*at] = 0;
    for (const std::uint32_t child : state_.tree().node(*at).children) {
      heads_[*at] = std::max(heads_[*at], active_[child] > 0 ? heads_[child] : 0);
    }
    keys_[*at] = key_of(*at);
  }
}

void ServingOrder::charged(std::uint32_t leaf) {
  for (std::optional<std::uint32_t> at = leaf; at.has_value(); at = state_.tree().node(*at).parent) {
    shares_[*at].now = dominant_share(state_, entry_of(state_, *at));
    keys_[*at] = key_of(*at);
  }
}

std::optional<std::uint32_t> ServingOrder::next() const {
  const std::vector<std::uint32_t>* level = &state_.tree().tops();
  std::optional<std::uint32_t> chosen;
  while (!level->empty()) {
    std::optional<std::uint32_t> best;
    for (const std::uint32_t child : *level) {
      if (active_[child] > 0 && (!best.has_value() || keys_[child] < keys_[*best])) {
        best = child;
      }
    }
    if (!best.has_value()) {
      return std::nullopt;
    }
    chosen = best;
    level = &state_.tree().node(*best).children;
  }
  return chosen;
}

}  // namespace busbar::sched::fairshare
