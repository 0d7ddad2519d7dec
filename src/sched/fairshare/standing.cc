#include "sched/fairshare/standing.h"

#include <algorithm>
#include <tuple>

namespace busbar::sched::fairshare {
namespace {

/// What is left of a guarantee.
class Remainder {
 public:
  explicit Remainder(const model::CardAmounts& guarantee) : left_(guarantee) {}

  bool fits(std::string_view chip, std::int64_t milli) const {
    const std::int64_t of_chip = left_.of(chip).value;
    if (of_chip < 0 && left_.all.value < 0) {
      return milli == 0;
    }
    return (of_chip < 0 || milli <= of_chip) && (left_.all.value < 0 || milli <= left_.all.value);
  }
  // What is promised below may exceed what is left once a guarantee was lowered: nothing is left then.
  void take(std::string_view chip, std::int64_t milli) {
    if (left_.all.value >= 0) {
      left_.all.value = std::max<std::int64_t>(left_.all.value - milli, 0);
    }
    for (auto& [name, amount] : left_.chips) {
      if (name == chip) amount.value = std::max<std::int64_t>(amount.value - milli, 0);
    }
  }

 private:
  model::CardAmounts left_;
};

}  // namespace

Standing::Standing(const internal::State& state) : state_(state), borrowed_(state.tree().nodes().size(), 0) {
  if (!state.tree().has_guarantees()) {
    return;
  }
  std::vector<Claimant> claimants = live_claimants();
  std::vector<std::vector<Claimant*>> by_leaf(borrowed_.size());
  for (Claimant& claimant : claimants) {
    by_leaf[claimant.leaf].push_back(&claimant);
  }
  for (const std::uint32_t top : state.tree().tops()) {
    std::uint32_t height = 0;
    judge(top, by_leaf, height);
  }
  for (const Claimant& claimant : claimants) {
    protectors_[claimant.record->id()] = claimant.protector;
    for (std::optional<std::uint32_t> at = claimant.leaf; at.has_value() && at != claimant.protector;
         at = state.tree().node(*at).parent) {
      borrowed_[*at] += claimant.record->granted->milli_cards;
    }
  }
}

std::vector<Standing::Claimant> Standing::live_claimants() const {
  std::vector<Claimant> claimants;
  for (const auto& [id, nothing] : state_.live()) {
    const internal::JobRecord& record = *state_.jobs().find(id);
    claimants.push_back({.record = &record, .leaf = *state_.tree().find(record.request().queue)});
  }
  return claimants;
}

std::vector<Standing::Claimant*> Standing::judge(std::uint32_t queue, std::vector<std::vector<Claimant*>>& by_leaf,
                                                 std::uint32_t& height) {
  const Tree::Node& node = state_.tree().node(queue);
  std::vector<Claimant*> jobs = std::move(by_leaf[queue]);
  for (const std::uint32_t child : node.children) {
    std::uint32_t below = 0;
    const std::vector<Claimant*> more = judge(child, by_leaf, below);
    jobs.insert(jobs.end(), more.begin(), more.end());
    height = std::max(height, below + 1);
  }
  protect(queue, jobs, height);
  return jobs;
}

void Standing::protect(std::uint32_t queue, std::vector<Claimant*>& jobs, std::uint32_t height) const {
  const model::CardAmounts& guarantee = state_.queues().find(state_.tree().node(queue).name)->queue.guarantee;
  if (!guarantee.is_given()) {
    return;
  }
  const auto key = [](const Claimant* claimant) {
    const internal::JobRecord& record = *claimant->record;
    return std::tuple(claimant->height, record.request().is_preemptible, -std::int64_t{record.request().priority},
                      record.placed_ms, record.id());
  };
  std::sort(jobs.begin(), jobs.end(), [&](const Claimant* a, const Claimant* b) { return key(a) < key(b); });
  Remainder left(guarantee);
  for (Claimant* claimant : jobs) {
    const internal::Granted& granted = *claimant->record->granted;
    if (!claimant->protector.has_value() && left.fits(granted.placement.chip, granted.milli_cards)) {
      claimant->protector = queue;
      claimant->height = height;
    }
    if (claimant->protector.has_value()) {
      left.take(granted.placement.chip, granted.milli_cards);
    }
  }
}

bool Standing::is_borrowed_against(model::JobId job, std::uint32_t queue) const {
  const auto at = protectors_.find(job);
  if (at == protectors_.end()) {
    return false;
  }
  return !at->second.has_value() || state_.tree().is_at_or_above(*at->second, queue);
}

}  // namespace busbar::sched::fairshare
