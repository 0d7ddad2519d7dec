#pragma once

#include <boost/container/small_vector.hpp>
#include <cstdint>

namespace busbar::model {

/// Cards by their index on a node. The eight of a usual node lie within the list: gangs have hundreds of tasks, and
/// each decision makes, copies and drops their lists.
using CardList = boost::container::small_vector<std::uint16_t, 8>;

}  // namespace busbar::model
