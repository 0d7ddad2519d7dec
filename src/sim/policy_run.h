#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/cluster.h"
#include "sim/core_run.h"
#include "sim/recorder.h"
#include "sim/room.h"
#include "sim/trace.h"

namespace busbar::sim {

/// What busbar is compared with, each as published. docs/simulator.md says more of each.
enum class PolicyKind {
  kFifo,      ///< By submission; the first that finds no room blocks all behind it.
  kFirstFit,  ///< By submission; whoever finds room starts.
  kEasy,      ///< EASY (Lifka 1995; Mu'alem and Feitelson 2001): FIFO, one reservation, backfill on true run times.
  kFair,      ///< The queue that holds the least by its number goes first; EASY's reservation and backfill.
  kSjf,       ///< Clairvoyant: the shortest job first, never stopped.
  kSrtf,      ///< Clairvoyant: the shortest remaining time first, stops others.
  kLearned,   ///< By what ended before in the same queue and size (sched::learn::Habits); knows no run times, stops
              ///< others.
  kLas,       ///< Least attained service in two levels (Tiresias' 2D-LAS, Gu et al. 2019): card time below a threshold.
};
std::optional<PolicyKind> policy_kind_from_name(std::string_view name);
std::string_view policy_kind_name(PolicyKind kind);

struct PolicySpec {
  PolicyKind kind = PolicyKind::kFifo;
  /// kLas: jobs that were served less come first; card-milliseconds (one card for an hour: 3,600,000).
  std::int64_t las_threshold_card_ms = 3'600'000;
  /// kLearned: how many times as urgent another must be to stop one that runs.
  std::uint64_t learned_favour = 4;
};

/// Runs a load under one of these policies, at the same costs as the core: `machine`. Preemptive ones need
/// RoomKind::kCount: publications count cards. Cost: O(waiting jobs) an event, with one search for room each.
Result<RunResult> run_policy(const Trace& trace, const std::vector<model::Node>& nodes, RoomKind room,
                             const PolicySpec& policy, const MachineModel& machine, const RunControl& control);

}  // namespace busbar::sim
