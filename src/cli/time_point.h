#pragma once

#include <string_view>

#include "base/error.h"
#include "base/units.h"

namespace busbar::cli {

/// A moment: "now", a duration from now ("2h", "1d12h"), or "2031-05-17T08:00[:30]" in this machine's time zone, with a
/// "Z" in UTC. kInvalidArgument names the forms.
Result<TimeMs> parse_time_point(std::string_view text, TimeMs now_ms);

}  // namespace busbar::cli
