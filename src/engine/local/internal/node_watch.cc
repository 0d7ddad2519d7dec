#include "engine/local/internal/node_watch.h"

#include <algorithm>
#include <chrono>

#include "os/log.h"

namespace busbar::engine {

Result<NodeObserved> NodeWatch::look() {
  TRY_ASSIGN(const Inventory inventory, probe_.scan());
  log_problems(inventory.problems);
  return make_node(machine_, inventory);
}

void NodeWatch::log_problems(const std::vector<ProbeProblem>& problems) {
  const std::lock_guard lock(mutex_);
  for (const ProbeProblem& problem : problems) {
    if (std::find(logged_.begin(), logged_.end(), problem) == logged_.end()) {
      LOG(kWarning, "probe_problem", {{"path", problem.path}, {"problem", problem.message}});
    }
  }
  logged_ = problems;
}

Result<void> NodeWatch::begin() {
  TRY_ASSIGN(NodeObserved observed, look());
  {
    const std::lock_guard lock(mutex_);
    told_ = observed.node;
  }
  context_.deliver(context_.clock.now_ms(), std::move(observed));
  look_again();
  return {};
}

/// The timer only hands the work on: a vendor's library may take seconds to answer for a broken card.
void NodeWatch::look_again() {
  const std::int64_t period_ms = context_.options.probe_period_ms;
  if (period_ms <= 0) return;
  context_.reactor->after(std::chrono::milliseconds(period_ms), [this] {
    const auto accepted = context_.work->submit([this] {
      auto observed = look();
      if (!observed) {
        LOG(kWarning, "probe_failed", {{"error", observed.error().to_string()}});
      } else {
        bool is_news = false;
        {
          const std::lock_guard lock(mutex_);
          is_news = told_ != observed->node;
          if (is_news) told_ = observed->node;
        }
        if (is_news) context_.deliver(context_.clock.now_ms(), *std::move(observed));
      }
      look_again();
    });
    if (!accepted) LOG(kDebug, "probe_stopped", {{"reason", accepted.error().to_string()}});
  });
}

}  // namespace busbar::engine
