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
  return record.granted->placement.tasks.size() <= smallest ? nullptr : part_beyond(record, smallest);
}

std::vector<std::uint32_t> smaller_sizes(const JobRecord& record) {
  const JobRequest& request = record.request();
  const auto now = static_cast<std::uint32_t>(record.granted->placement.tasks.size());
  std::vector<std::uint32_t> sizes;
  for (std::uint32_t size = request.min_nodes; size < now; ++size) {
    if (accepted_size(request, size) == size) sizes.push_back(size);
  }
  return sizes;
}

std::shared_ptr<const internal::Granted> part_beyond(const JobRecord& record, std::uint32_t kept) {
  model::Placement part = record.granted->placement;
  part.tasks.erase(part.tasks.begin(), part.tasks.begin() + kept);
  return internal::make_granted(std::move(part), {});
}

namespace {

// Gives back the last of `kept`, which `map` has claimed, until the job accepts their number and its quota allows it
// beside what `freed` says. False: nothing of it can go on, or all of it.
bool cut_to_size(const State& state, const JobRecord& record, model::Placement& kept, place::FreeMap& map,
                 const fairshare::Freed& freed) {
  const JobRequest& request = record.request();
  const std::size_t had = record.granted->placement.tasks.size();
  const auto each = record.granted->milli_cards / static_cast<std::int64_t>(had);
  const fairshare::Room room = fairshare::room_for(
      state, request, kept.chip, {.each = each, .most = static_cast<std::int64_t>(kept.tasks.size()), .freed = &freed});
  const std::uint32_t size = accepted_size(request, static_cast<std::uint32_t>(room.tasks));
  while (kept.tasks.size() > size) {
    map.release({.tasks = {kept.tasks.back()}, .chip = kept.chip});
    kept.tasks.pop_back();
  }
  if (size == 0 || size == had) {
    map.release(kept);
    return false;
  }
  return true;
}

}  // namespace

std::optional<model::Placement> keep_part(const State& state, const JobRecord& record, place::FreeMap& map,
                                          fairshare::Freed& freed) {
  const model::Placement& had = record.granted->placement;
  model::Placement kept = {.chip = had.chip};
  for (const model::TaskPlacement& task : had.tasks) {
    const model::Placement alone = {.tasks = {task}, .chip = had.chip};
    if (map.can_claim(alone)) {
      map.claim(alone);
      kept.tasks.push_back(task);
    }
  }
  if (!cut_to_size(state, record, kept, map, freed)) {
    return std::nullopt;
  }
  for (std::uint32_t rank = 0; rank < kept.tasks.size(); ++rank) {
    kept.tasks[rank].rank = rank;
  }
  freed.remove(state, record.request(), *internal::make_granted(kept, {}));
  return kept;
}

std::optional<std::uint32_t> keep_first(const State& state, const JobRecord& record, place::FreeMap& map,
                                        fairshare::Freed& freed) {
  const model::Placement& had = record.granted->placement;
  model::Placement kept = {.chip = had.chip};
  for (const model::TaskPlacement& task : had.tasks) {
    const model::Placement alone = {.tasks = {task}, .chip = had.chip};
    if (!map.can_claim(alone)) break;
    map.claim(alone);
    kept.tasks.push_back(task);
  }
  if (!cut_to_size(state, record, kept, map, freed)) {
    return std::nullopt;
  }
  const auto size = static_cast<std::uint32_t>(kept.tasks.size());
  freed.remove(state, record.request(), *internal::make_granted(std::move(kept), {}));
  return size;
}

}  // namespace busbar::sched::elastic
