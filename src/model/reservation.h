#pragma once

#include <string>
#include <vector>

#include "base/units.h"
#include "model/ids.h"

namespace busbar::model {

/// Nodes that an operator keeps for some jobs, or for nobody (maintenance), during a window of time.
struct Reservation {
  std::string name = {};
  std::vector<NodeId> nodes = {};  ///< Ascending.
  TimeMs from_ms = 0;
  TimeMs until_ms = 0;  ///< The first moment after it.
  /// Whose jobs may use the nodes within the window: those of one of these users, or in one of these queues.
  std::vector<std::string> users = {};
  std::vector<std::string> queues = {};
  friend bool operator==(const Reservation&, const Reservation&) = default;
};

}  // namespace busbar::model
