#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "base/id.h"

namespace busbar::model {

using JobId = Id<struct JobIdTag>;
using NodeId = Id<struct NodeIdTag>;

/// One start of a job. Attempts count from 1.
struct AttemptId {
  JobId job = {};
  std::uint32_t number = 0;
  /// "17.1"; also the name of the attempt's directory.
  std::string to_string() const { return job.to_string() + "." + std::to_string(number); }
  friend auto operator<=>(const AttemptId&, const AttemptId&) = default;
};

/// One task (container) of an attempt. `rank` is the place in the gang's order, from 0.
struct TaskId {
  AttemptId attempt = {};
  std::uint32_t rank = 0;
  /// "17.1.0"
  std::string to_string() const { return attempt.to_string() + "." + std::to_string(rank); }
  friend auto operator<=>(const TaskId&, const TaskId&) = default;
};

/// One card: the node and the card's index on it.
struct CardRef {
  NodeId node = {};
  std::uint16_t index = 0;
  friend auto operator<=>(const CardRef&, const CardRef&) = default;
};

}  // namespace busbar::model
