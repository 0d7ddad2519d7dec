#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "sim/trace.h"

/// What tests of the simulator share.
namespace busbar::sim::testing {

inline constexpr std::int64_t kMinute = 60'000;

/// Two queues and a user.
inline Trace trace_of(std::vector<TraceJob> jobs) {
  return {.name = "test", .jobs = std::move(jobs), .queues = {"a", "b"}, .users = {"u"}};
}

}  // namespace busbar::sim::testing
