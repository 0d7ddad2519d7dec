#include "model/spec_text.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/text.h"

namespace busbar::model {
namespace {

constexpr std::string_view kAcceleratorForms = "write CHIP:COUNT (H100:8, H100:0.5, cpu:2), CHIP or COUNT";
constexpr std::int64_t kMaxMilliCardsPerNode = 1024 * 1000;

bool is_chip_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.' || c == '/' || c == '+';
}

bool is_number_like(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

Result<MilliCards> parse_card_count(std::string_view text) {
  const auto milli = parse_milli(text);
  if (!milli || *milli <= 0 || *milli > kMaxMilliCardsPerNode) {
    return make_error(ErrorCode::kInvalidArgument,
                      "\"" + std::string(text) + "\" is no number of cards; use 1 to 1024, or a fraction like 0.5");
  }
  if (*milli > 1000 && *milli % 1000 != 0) {
    return make_error(
        ErrorCode::kInvalidArgument,
        "\"" + std::string(text) + "\" cards: a fraction is of one card, so below 1; else a whole number");
  }
  return MilliCards{*milli};
}

Result<std::uint32_t> parse_bounded(std::string_view text, std::int64_t low, std::int64_t high, std::string_view what) {
  const auto value = parse_int(trim(text));
  if (!value || *value < low || *value > high) {
    return make_error(ErrorCode::kInvalidArgument, "\"" + std::string(text) + "\" is no " + std::string(what) +
                                                       "; use " + std::to_string(low) + " to " + std::to_string(high));
  }
  return static_cast<std::uint32_t>(*value);
}

Result<std::string> parse_precision(std::string_view text) {
  std::string name = to_lower(text);
  const auto& names = precision_names();
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    const auto nearest = nearest_name(name, names);
    return make_error(ErrorCode::kInvalidArgument,
                      "\"" + std::string(text) + "\" is no precision" +
                          (nearest ? "; did you mean " + *nearest + "?" : "; use bf16, fp8, int8 or their like"));
  }
  return name;
}

/// One item of an array's list: "5", "5-9", "5-9:2".
Result<void> append_array_item(std::string_view item, std::vector<std::uint32_t>& indices) {
  std::uint32_t step = 1;
  const auto colon = item.find(':');
  if (colon != std::string_view::npos) {
    TRY_ASSIGN(step, parse_bounded(item.substr(colon + 1), 1, kMaxArrayIndex, "array step"));
    item = item.substr(0, colon);
  }
  const auto dash = item.find('-');
  if (dash == std::string_view::npos && colon != std::string_view::npos) {
    return make_error(ErrorCode::kInvalidArgument, "an array step needs a range, as in 0-9:2");
  }
  TRY_ASSIGN(const std::uint32_t first, parse_bounded(item.substr(0, dash), 0, kMaxArrayIndex, "array index"));
  std::uint32_t last = first;
  if (dash != std::string_view::npos) {
    TRY_ASSIGN(last, parse_bounded(item.substr(dash + 1), 0, kMaxArrayIndex, "array index"));
  }
  if (last < first) {
    return make_error(ErrorCode::kInvalidArgument, "array range \"" + std::string(item) + "\" runs backwards");
  }
  for (std::uint64_t index = first; index <= last; index += step) {
    indices.push_back(static_cast<std::uint32_t>(index));
    if (indices.size() > kMaxArrayMembers) {
      return make_error(ErrorCode::kInvalidArgument,
                        "the array has more than " + std::to_string(kMaxArrayMembers) + " members; split it");
    }
  }
  return {};
}

}  // namespace

const std::vector<std::string>& precision_names() {
  static const std::vector<std::string> kNames = {"fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "fp4", "int8", "int4"};
  return kNames;
}

Result<AcceleratorRequest> parse_accelerators(std::string_view text) {
  const std::string_view whole = trim(text);
  if (whole.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "empty; " + std::string(kAcceleratorForms));
  }
  AcceleratorRequest request{.per_node = {1000}};
  if (const auto at = whole.rfind('@'); at != std::string_view::npos) {
    TRY_ASSIGN(request, parse_accelerators(whole.substr(0, at)));
    TRY_ASSIGN(request.precision, parse_precision(trim(whole.substr(at + 1))));
    return request;
  }
  std::string_view chip = whole;
  const auto colon = whole.rfind(':');
  if (colon != std::string_view::npos) {
    chip = trim(whole.substr(0, colon));
    TRY_ASSIGN(request.per_node, parse_card_count(trim(whole.substr(colon + 1))));
  } else if (is_number_like(whole)) {
    chip = {};
    TRY_ASSIGN(request.per_node, parse_card_count(whole));
  }
  const bool is_named = colon != std::string_view::npos || !chip.empty();
  if (is_named && (chip.empty() || !std::all_of(chip.begin(), chip.end(), is_chip_character))) {
    return make_error(ErrorCode::kInvalidArgument,
                      "\"" + std::string(whole) + "\" is no request for cards; " + std::string(kAcceleratorForms));
  }
  request.chip = std::string(chip);
  return request;
}

std::string format_accelerators(const AcceleratorRequest& request) {
  const std::string count = format_milli(request.per_node.value);
  return (request.chip.empty() ? count : request.chip + ":" + count) +
         (request.precision.empty() ? "" : "@" + request.precision);
}

namespace {

/// "4" or "2..8".
Result<std::pair<std::uint32_t, std::uint32_t>> parse_span(std::string_view text, std::uint32_t least,
                                                           std::uint32_t most, const std::string& what) {
  const std::string_view whole = trim(text);
  const auto dots = whole.find("..");
  TRY_ASSIGN(const std::uint32_t low, parse_bounded(whole.substr(0, dots), least, most, what));
  std::uint32_t high = low;
  if (dots != std::string_view::npos) {
    TRY_ASSIGN(high, parse_bounded(whole.substr(dots + 2), least, most, what));
  }
  if (high < low) {
    return make_error(ErrorCode::kInvalidArgument,
                      "\"" + std::string(whole) + "\" runs backwards; write the smaller number first");
  }
  return std::pair{low, high};
}

}  // namespace

Result<std::pair<std::uint32_t, std::uint32_t>> parse_nodes(std::string_view text) {
  return parse_span(text, 1, kMaxNodes, "number of nodes");
}

Result<std::pair<std::uint32_t, std::uint32_t>> parse_replicas(std::string_view text) {
  return parse_span(text, 0, kMaxReplicas, "number of replicas");
}

std::string format_nodes(std::uint32_t min_nodes, std::uint32_t max_nodes) {
  const std::string low = std::to_string(min_nodes);
  return min_nodes == max_nodes ? low : low + ".." + std::to_string(max_nodes);
}

Result<GangSizes> parse_gang_sizes(std::string_view text) {
  GangSizes gang;
  if (text.find(',') == std::string_view::npos) {
    TRY_ASSIGN(const auto range, parse_nodes(text));
    return GangSizes{.min_nodes = range.first, .max_nodes = range.second};
  }
  for (const std::string_view item : split(text, ',')) {
    TRY_ASSIGN(const std::uint32_t size, parse_bounded(trim(item), 1, kMaxNodes, "number of nodes"));
    gang.sizes.push_back(size);
  }
  std::sort(gang.sizes.begin(), gang.sizes.end());
  gang.sizes.erase(std::unique(gang.sizes.begin(), gang.sizes.end()), gang.sizes.end());
  if (gang.sizes.size() > kMaxGangSizes) {
    return make_error(ErrorCode::kInvalidArgument, std::to_string(gang.sizes.size()) + " gang sizes; at most " +
                                                       std::to_string(kMaxGangSizes) + " are allowed");
  }
  gang.min_nodes = gang.sizes.front();
  gang.max_nodes = gang.sizes.back();
  if (gang.sizes.size() == 1) {
    gang.sizes.clear();
  }
  return gang;
}

std::string format_gang_sizes(const GangSizes& sizes) {
  if (sizes.sizes.empty()) {
    return format_nodes(sizes.min_nodes, sizes.max_nodes);
  }
  std::string text;
  for (const std::uint32_t size : sizes.sizes) {
    text += (text.empty() ? "" : ",") + std::to_string(size);
  }
  return text;
}

Result<ArrayRange> parse_array(std::string_view text) {
  ArrayRange range;
  std::string_view list = trim(text);
  const auto percent = list.find('%');
  if (percent != std::string_view::npos) {
    TRY_ASSIGN(range.parallel, parse_bounded(list.substr(percent + 1), 1, kMaxArrayIndex, "number of members at once"));
    list = trim(list.substr(0, percent));
  }
  if (const auto count = parse_int(list)) {
    TRY_ASSIGN(const std::uint32_t members, parse_bounded(list, 1, kMaxArrayMembers, "number of array members"));
    for (std::uint32_t index = 0; index < members; ++index) {
      range.indices.push_back(index);
    }
    return range;
  }
  for (const std::string_view item : split(list, ',')) {
    TRY(append_array_item(trim(item), range.indices));
  }
  std::sort(range.indices.begin(), range.indices.end());
  range.indices.erase(std::unique(range.indices.begin(), range.indices.end()), range.indices.end());
  return range;
}

std::string format_array(const ArrayRange& range) {
  std::string text;
  for (std::size_t begin = 0; begin < range.indices.size();) {
    std::size_t end = begin + 1;
    while (end < range.indices.size() && range.indices[end] == range.indices[end - 1] + 1) {
      ++end;
    }
    text += text.empty() ? "" : ",";
    text += std::to_string(range.indices[begin]);
    if (end - begin > 1 || range.indices.size() == 1) {
      // A single index is written "5-5": a bare number would be read as a count.
      text += "-" + std::to_string(range.indices[end - 1]);
    }
    begin = end;
  }
  return range.parallel == 0 ? text : text + "%" + std::to_string(range.parallel);
}

std::string format_exact_duration_ms(std::int64_t duration_ms) {
  struct Unit {
    std::int64_t ms;
    const char* suffix;
  };
  constexpr std::array kUnits = {Unit{86'400'000, "d"}, Unit{3'600'000, "h"}, Unit{60'000, "m"}, Unit{1000, "s"}};
  for (const Unit& unit : kUnits) {
    if (duration_ms != 0 && duration_ms % unit.ms == 0) {
      return std::to_string(duration_ms / unit.ms) + unit.suffix;
    }
  }
  return std::to_string(duration_ms) + "ms";
}

}  // namespace busbar::model
