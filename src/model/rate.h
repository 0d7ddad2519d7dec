#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace busbar::model {

/// How much may go by: a bucket that holds `count` and fills evenly, once in each period. count 0: no bound.
struct Rate {
  std::uint64_t count = 0;
  std::int64_t period_ms = 1'000;
  bool is_bounded() const { return count > 0; }
  friend bool operator==(const Rate&, const Rate&) = default;
};

/// What one caller, or all callers of a service together, may use.
struct RateLimits {
  Rate requests = {};
  Rate tokens = {};  ///< Of language models: prompt and completion.
  bool is_bounded() const { return requests.is_bounded() || tokens.is_bounded(); }
  friend bool operator==(const RateLimits&, const RateLimits&) = default;
};

inline constexpr std::uint64_t kMaxRateCount = 1'000'000'000;

/// "10/s", "600/m", "1000/h", "5000/d"; "none": no bound. kInvalidArgument names the forms.
Result<Rate> parse_rate(std::string_view text);
std::string format_rate(const Rate& rate);

}  // namespace busbar::model
