#include "sched/explain/queue_view.h"

#include "sched/fairshare/order.h"
#include "sched/fairshare/standing.h"

namespace busbar::sched::explain {
namespace {

std::int64_t millionths(std::uint64_t share) {
  return static_cast<std::int64_t>((static_cast<fairshare::Wide>(share) * 1'000'000) >> 32);
}

struct Jobs {
  std::uint32_t running = 0;
  std::uint32_t waiting = 0;
};

Jobs count_jobs(const internal::State& state, std::uint32_t queue, std::vector<Jobs>& jobs) {
  const fairshare::Account& own = state.queues().find(state.tree().node(queue).name)->account;
  jobs[queue] = {.running = own.holding, .waiting = own.waiting};
  for (const std::uint32_t child : state.tree().node(queue).children) {
    const Jobs below = count_jobs(state, child, jobs);
    jobs[queue].running += below.running;
    jobs[queue].waiting += below.waiting;
  }
  return jobs[queue];
}

}  // namespace

std::vector<QueueView> view_queues(const internal::State& state) {
  const std::vector<fairshare::Share> shares = fairshare::shares_of(state);
  const fairshare::Standing standing(state);
  std::vector<Jobs> jobs(shares.size());
  for (const std::uint32_t top : state.tree().tops()) {
    count_jobs(state, top, jobs);
  }
  std::vector<QueueView> views;
  for (std::uint32_t i = 0; i < state.tree().nodes().size(); ++i) {
    const internal::QueueEntry& entry = *state.queues().find(state.tree().node(i).name);
    QueueView view = {.queue = entry.queue,
                      .running_jobs = jobs[i].running,
                      .waiting_jobs = jobs[i].waiting,
                      .used = {entry.account.used.total()},
                      .borrowed = {standing.borrowed(i)},
                      .share_ppm = millionths(shares[i].now),
                      .past_share_ppm = millionths(shares[i].past)};
    for (const auto& [chip, milli] : entry.account.used.chips()) {
      view.used_by_chip.emplace_back(chip, MilliCards{milli});
    }
    views.push_back(std::move(view));
  }
  return views;
}

}  // namespace busbar::sched::explain
