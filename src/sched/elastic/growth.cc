#include "sched/elastic/growth.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/units.h"
#include "sched/backfill/remaining.h"
#include "sched/fairshare/quota.h"
#include "sched/gang/affinity.h"
#include "sched/gang/near.h"

namespace busbar::sched::elastic {
namespace {

using internal::JobRecord;
using internal::State;

// The tasks keep the order of the fabric, as if they had been placed at once.
model::Placement join(const State& state, const place::FabricOrder& fabric, const model::Placement& had,
                      const model::Placement& added) {
  model::Placement whole = had;
  whole.tasks.insert(whole.tasks.end(), added.tasks.begin(), added.tasks.end());
  const auto position = [&](const model::TaskPlacement& task) {
    return fabric.position(state.free_map().find_node(task.node)->index);
  };
  std::stable_sort(
      whole.tasks.begin(), whole.tasks.end(),
      [&](const model::TaskPlacement& a, const model::TaskPlacement& b) { return position(a) < position(b); });
  for (std::size_t i = 0; i < whole.tasks.size(); ++i) {
    whole.tasks[i].rank = static_cast<std::uint32_t>(i);
  }
  return whole;
}

model::Placement append(const model::Placement& had, model::Placement& added) {
  model::Placement whole = had;
  for (model::TaskPlacement& task : added.tasks) {
    task.rank = static_cast<std::uint32_t>(whole.tasks.size());
    whole.tasks.push_back(task);
  }
  return whole;
}

// Sizes above `now` that it accepts, the largest first, as numbers of new tasks.
std::vector<std::uint32_t> steps_above(const JobRequest& request, std::uint32_t now, std::uint32_t most) {
  if (request.sizes.empty()) {
    return most > 0 ? std::vector{most} : std::vector<std::uint32_t>{};
  }
  std::vector<std::uint32_t> steps;
  for (auto size = request.sizes.rbegin(); size != request.sizes.rend() && *size > now; ++size) {
    if (*size - now <= most) steps.push_back(*size - now);
  }
  return steps;
}

}  // namespace

std::optional<Growth> find_growth(State& state, const JobRecord& record) {
  const JobRequest& request = record.request();
  const model::Placement& had = record.granted->placement;
  const auto now = static_cast<std::uint32_t>(had.tasks.size());
  std::optional<place::GangNeed> need = gang::need_like(state, request, had);
  if (!need.has_value() || now >= request.max_nodes) {
    return std::nullopt;
  }
  const fairshare::Room room = fairshare::room_for(state, request, had.chip,
                                                   {.each = need->task.milli_cards(), .most = request.max_nodes - now});
  need->allowed = gang::nodes_allowed(state, record, gang::full_nodes(request, had));
  // Fewer tasks side by side are what it would rather have.
  if (need->preferred_level.has_value()) {
    need->required_level = need->preferred_level;
  }
  need->min_tasks = 1;
  need->max_tasks = static_cast<std::uint32_t>(room.tasks);
  const std::uint32_t most = room.tasks == 0 ? 0 : gang::count_near(state, *need, had.tasks[0].node);
  for (const std::uint32_t step : steps_above(request, now, most)) {
    need->min_tasks = need->max_tasks = step;
    if (auto found = gang::place_near(state, *need, had.tasks[0].node)) {
      model::Placement added = std::move(found->placement);
      model::Placement whole =
          record.is_resizable_live() ? append(had, added) : join(state, state.fabric(), had, added);
      return Growth{.placement = std::move(whole), .added = std::move(added), .from_tasks = now};
    }
  }
  return std::nullopt;
}

std::optional<std::string> why_it_pays(const State& state, const JobRecord& record, const Growth& growth) {
  const auto from = std::int64_t{growth.from_tasks};
  const auto to = static_cast<std::int64_t>(growth.placement.tasks.size());
  const std::int64_t remaining_ms = backfill::expected_remaining_ms(state, record);
  const std::int64_t saved_ms = remaining_ms / to * (to - from);
  const bool is_live = record.is_resizable_live();
  const std::int64_t restart_ms =
      state.policy().restart_cost_ms + state.now_ms() - std::max(record.started_ms, record.saved_ms);
  const std::int64_t cost_ms = is_live ? state.policy().live_resize_cost_ms : restart_ms;
  if (saved_ms <= cost_ms) {
    return std::nullopt;
  }
  return fmt::format("{} tasks instead of {} save about {} of the {} that it may run still, {} costs {}", to, from,
                     format_duration_ms(saved_ms), format_duration_ms(remaining_ms),
                     is_live ? "meeting anew" : "a restart", format_duration_ms(cost_ms));
}

bool is_near_promised(State& state, const model::Placement& placement, model::JobId but) {
  std::vector<model::JobId> promised;
  for (const auto& [id, entry] : state.booked()) {
    if (id != but) promised.push_back(id);
  }
  return std::any_of(promised.begin(), promised.end(), [&](model::JobId id) {
    const auto domain = state.booked_domain(id);
    return std::any_of(placement.tasks.begin(), placement.tasks.end(), [&](const model::TaskPlacement& task) {
      return std::binary_search(domain->begin(), domain->end(), task.node);
    });
  });
}

bool may_resize(const State& state, const JobRecord& record) {
  if (record.is_resizable_live()) {
    return record.resized_ms == 0 || record.resized_ms + state.policy().live_resize_interval_ms <= state.now_ms();
  }
  const std::int64_t interval_ms = state.policy().eviction_interval_ms;
  const auto is_long_ago = [&](TimeMs at_ms) { return at_ms == 0 || at_ms + interval_ms <= state.now_ms(); };
  return is_long_ago(record.evicted_ms) && is_long_ago(record.resized_ms) &&
         internal::protected_until(state.policy(), record) <= state.now_ms();
}

}  // namespace busbar::sched::elastic
