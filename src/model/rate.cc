#include "model/rate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"

namespace busbar::model {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t period_ms;
};
constexpr std::array<Unit, 4> kRateUnits = {{{"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};

}  // namespace

Result<Rate> parse_rate(std::string_view text) {
  const std::string_view trimmed = trim(text);
  if (trimmed == "none") return Rate{};
  const std::size_t slash = trimmed.find('/');
  const auto count = parse_int(trim(trimmed.substr(0, slash)));
  const std::string_view name = slash == std::string_view::npos ? std::string_view() : trim(trimmed.substr(slash + 1));
  const auto* unit =
      std::find_if(kRateUnits.begin(), kRateUnits.end(), [name](const Unit& each) { return each.name == name; });
  if (!count || *count < 1 || *count > static_cast<std::int64_t>(kMaxRateCount) || unit == kRateUnits.end()) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("\"{}\" is no rate; write a number from 1 to {} for each s, m, h or d, like 10/s or "
                                  "50000/m, or none",
                                  text, kMaxRateCount));
  }
  return Rate{.count = static_cast<std::uint64_t>(*count), .period_ms = unit->period_ms};
}

std::string format_rate(const Rate& rate) {
  if (!rate.is_bounded()) return "none";
  const auto* unit = std::find_if(kRateUnits.begin(), kRateUnits.end(),
                                  [&rate](const Unit& each) { return each.period_ms == rate.period_ms; });
  return fmt::format("{}/{}", rate.count, unit == kRateUnits.end() ? kRateUnits[0].name : unit->name);
}

}  // namespace busbar::model
