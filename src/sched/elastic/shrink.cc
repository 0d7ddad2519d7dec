#include "sched/elastic/shrink.h"

#include <algorithm>
#include <utility>

#include "sched/internal/codec.h"

namespace busbar::sched::elastic {
namespace {

using internal::JobRecord;
using internal::State;

// The largest accepted size of at most `most` tasks; 0: none.
std::uint32_t accepted_size(const JobRequest& request, std::uint32_t most) {
  if (request.sizes.empty()) {
    return most >= request.min_nodes ? std::min(most, request.max_nodes) : 0;
  }
  std::uint32_t best = 0;
  for (const std::uint32_t size : request.sizes) {
    best = size <= most ? size : best;
  }
  return best;
}

}  // namespace

std::shared_ptr<const internal::Granted> spare_of(const JobRecord& record) {
  const JobRequest& request = record.request();
  const std::uint32_t smallest = request.sizes.empty() ? request.min_nodes : request.sizes.front();
  model::Placement spare = record.granted->placement;
  if (spare.tasks.size() <= smallest) {
    return nullptr;
  }
  spare.tasks.erase(spare.tasks.begin(), spare.tasks.begin() + smallest);
  return internal::make_granted(std::move(spare), {});
}

std::optional<model::Placement> keep_part(const State& state, const JobRecord& record, place::FreeMap& map,
                                          fairshare::Freed& freed) {
  const JobRequest& request = record.request();
  const model::Placement& had = record.granted->placement;
  model::Placement kept = {.chip = had.chip};
  for (const model::TaskPlacement& task : had.tasks) {
    const model::Placement alone = {.tasks = {task}, .chip = had.chip};
    if (map.can_claim(alone)) {
      map.claim(alone);
      kept.tasks.push_back(task);
    }
  }
  const auto each = record.granted->milli_cards / static_cast<std::int64_t>(had.tasks.size());
  const fairshare::Room room = fairshare::room_for(
      state, request, had.chip, {.each = each, .most = static_cast<std::int64_t>(kept.tasks.size()), .freed = &freed});
  const std::uint32_t size = accepted_size(request, static_cast<std::uint32_t>(room.tasks));
  while (kept.tasks.size() > size) {
    map.release({.tasks = {kept.tasks.back()}, .chip = had.chip});
    kept.tasks.pop_back();
  }
  if (size == 0 || size == had.tasks.size()) {
    map.release(kept);
    return std::nullopt;
  }
  for (std::uint32_t rank = 0; rank < size; ++rank) {
    kept.tasks[rank].rank = rank;
  }
  freed.remove(state, request, *internal::make_granted(kept, {}));
  return kept;
}

}  // namespace busbar::sched::elastic
