#pragma once

#include <string>
#include <string_view>

#include "sched/internal/state.h"

namespace busbar::sched::internal {

/// Magic "BBS1", format version, policy version, then the logical state in id order and its hash at the end. Derived
/// indexes are made again when it is read.
std::string encode_snapshot(const State& state);
/// Safe on any bytes. kUnsupported: another format or policy version; kDataCorrupt: anything else.
Result<State> decode_snapshot(std::string_view bytes);

}  // namespace busbar::sched::internal
