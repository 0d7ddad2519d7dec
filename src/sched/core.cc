#include "sched/core.h"

#include "sched/explain/queue_view.h"
#include "sched/explain/when.h"
#include "sched/explain/why.h"
#include "sched/internal/snapshot.h"
#include "sched/internal/state.h"
#include "sched/internal/step.h"

namespace busbar::sched {

struct Core::State {
  internal::State inner;
};

Core::Core(Policy policy) : state_(new State{internal::State(policy)}) {}
Core::Core(std::unique_ptr<State> state) : state_(std::move(state)) {}
Core::~Core() = default;
Core::Core(Core&&) noexcept = default;
Core& Core::operator=(Core&&) noexcept = default;

Result<std::vector<Decision>> Core::apply(const Event& event) {
  return internal::step(state_->inner, event);
}

Result<void> Core::apply_recorded(const Event& event, std::span<const Decision> decisions) {
  return internal::step_recorded(state_->inner, event, decisions);
}

std::optional<TimeMs> Core::next_wakeup() const {
  return state_->inner.next_wakeup();
}

std::uint64_t Core::state_hash() const {
  return state_->inner.hash();
}
std::uint64_t Core::recompute_hash() const {
  return state_->inner.recompute_hash();
}
TimeMs Core::now_ms() const {
  return state_->inner.now_ms();
}
const Policy& Core::policy() const {
  return state_->inner.policy();
}

Core Core::fork() const {
  return Core(std::make_unique<State>(*state_));
}

std::string Core::snapshot() const {
  return internal::encode_snapshot(state_->inner);
}

Result<Core> Core::restore(std::string_view bytes) {
  TRY_ASSIGN(internal::State state, internal::decode_snapshot(bytes));
  return Core(std::make_unique<State>(State{std::move(state)}));
}

const model::Node* Core::find_node(model::NodeId id) const {
  const internal::NodeEntry* entry = state_->inner.nodes().find(id);
  return entry == nullptr ? nullptr : entry->node.get();
}

std::vector<model::NodeId> Core::nodes() const {
  std::vector<model::NodeId> ids;
  for (const auto& [id, entry] : state_->inner.nodes()) {
    ids.push_back(id);
  }
  return ids;
}

std::optional<JobView> Core::find_job(model::JobId id) const {
  const internal::JobRecord* record = state_->inner.jobs().find(id);
  if (record == nullptr) {
    return std::nullopt;
  }
  return JobView{.request = record->request(),
                 .state = record->state,
                 .attempt = record->attempt_id(),
                 .placement = record->granted ? std::optional(record->granted->placement) : std::nullopt,
                 .submitted_ms = record->submitted_ms,
                 .not_before_ms = record->not_before_ms,
                 .counted_restarts = record->counted_restarts,
                 .claim = record->claim ? std::optional(record->claim->placement) : std::nullopt,
                 .held = record->kept ? std::optional(record->kept->granted.placement) : std::nullopt,
                 .hold_until_ms = record->kept ? record->kept->until_ms : 0,
                 .excluded = record->excluded,
                 .promise = record->booking ? std::optional(Reserve{.job = id,
                                                                    .nodes = record->booking->nodes,
                                                                    .level = record->booking->level,
                                                                    .start_ms = record->booking->start_ms,
                                                                    .slips = record->booking->slips})
                                            : std::nullopt,
                 .stop = record->stop,
                 .staying = record->staying,
                 .yields = record->yields};
}

std::vector<model::JobId> Core::jobs() const {
  std::vector<model::JobId> ids;
  for (const auto& [id, record] : state_->inner.jobs()) {
    ids.push_back(id);
  }
  return ids;
}

std::vector<model::Queue> Core::queues() const {
  std::vector<model::Queue> queues;
  for (const auto& [name, entry] : state_->inner.queues()) {
    queues.push_back(entry.queue);
  }
  return queues;
}

std::vector<QueueView> Core::queue_views() const {
  return explain::view_queues(state_->inner);
}

std::vector<model::Reservation> Core::reservations() const {
  std::vector<model::Reservation> reservations;
  for (const auto& [name, entry] : state_->inner.reservations()) {
    reservations.push_back(*entry.reservation);
  }
  return reservations;
}

std::vector<MilliCards> Core::used_on(model::NodeId id) const {
  const place::NodeSlot* slot = state_->inner.free_map().find_node(id);
  std::vector<MilliCards> used;
  if (slot != nullptr) {
    for (const place::CardSlot& card : state_->inner.free_map().cards_of(*slot)) {
      used.push_back({card.used});
    }
    // What is kept for a job is not in use yet.
    for (const internal::Hold& hold : state_->inner.holds()) {
      for (const model::TaskPlacement& task : hold.part.placement.tasks) {
        for (const std::uint16_t card : task.node == id ? std::span(task.cards) : std::span<const std::uint16_t>()) {
          used[card].value -= task.per_card.value;
        }
      }
    }
  }
  return used;
}

Result<Why> Core::why(model::JobId id, WhyDepth depth) const {
  return explain::explain_job(state_->inner, id, depth);
}

Result<When> Core::when(model::JobId id) const {
  return explain::foresee_start(state_->inner, id);
}

}  // namespace busbar::sched
