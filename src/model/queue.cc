#include "model/queue.h"

#include <algorithm>

#include "base/text.h"
#include "model/cluster.h"

namespace busbar::model {
namespace {

// Far above any cluster; sums of all queues stay within 64 bits.
constexpr std::int64_t kMaxMilliCards = 1'000'000'000'000;
constexpr std::uint32_t kMaxWeight = 1'000'000;
constexpr std::int64_t kMaxReclaimBoundMs = std::int64_t{365} * 86'400'000;

tl::unexpected<Error> wrong(const Queue& queue, const std::string& what) {
  return make_error(ErrorCode::kInvalidArgument, "queue \"" + queue.name + "\": " + what);
}

std::string cards_of(std::string_view chip, std::int64_t milli) {
  return format_milli(milli) + (chip.empty() ? "" : " " + std::string(chip)) + " cards";
}

template <class Value>
bool are_in_order(const std::vector<std::pair<std::string, Value>>& chips) {
  return std::adjacent_find(chips.begin(), chips.end(),
                            [](const auto& a, const auto& b) { return a.first >= b.first; }) == chips.end() &&
         std::none_of(chips.begin(), chips.end(), [](const auto& chip) { return chip.first.empty(); });
}

Result<void> check_amounts(const Queue& queue, std::string_view what, const CardAmounts& amounts) {
  if (!are_in_order(amounts.chips)) {
    return wrong(queue, "chips of " + std::string(what) + " must be sorted by name, each once");
  }
  bool is_sane = amounts.all.value <= kMaxMilliCards;
  for (const auto& [chip, milli] : amounts.chips) {
    is_sane = is_sane && milli.value >= 0 && milli.value <= kMaxMilliCards;
  }
  return is_sane ? Result<void>{} : wrong(queue, std::string(what) + " is out of range; at most 1000000000 cards");
}

/// The most that a guarantee can come to in all cards; negative: nothing is promised.
std::int64_t promised_in_all(const CardAmounts& amounts) {
  if (amounts.all.value >= 0 || amounts.chips.empty()) {
    return amounts.all.value;
  }
  std::int64_t sum = 0;
  for (const auto& [chip, milli] : amounts.chips) {
    sum += milli.value;
  }
  return sum;
}

const Queue* find_queue(std::span<const Queue> queues, std::string_view name) {
  const auto at = std::find_if(queues.begin(), queues.end(), [&](const Queue& queue) { return queue.name == name; });
  return at == queues.end() ? nullptr : &*at;
}

Result<void> check_ancestors(std::span<const Queue> queues, const Queue& queue) {
  const Queue* above = &queue;
  for (std::size_t steps = 0; !above->parent.empty(); ++steps) {
    if (steps == queues.size()) {
      return wrong(queue, "is below itself; give one queue of the circle another parent");
    }
    const Queue* parent = find_queue(queues, above->parent);
    if (parent == nullptr) {
      return wrong(*above, "parent \"" + above->parent + "\" does not exist; make it first");
    }
    above = parent;
  }
  return {};
}

void add_amounts(CardAmounts& sum, const CardAmounts& more) {
  const std::int64_t all = promised_in_all(more);
  if (all >= 0) {
    sum.all.value = std::max<std::int64_t>(sum.all.value, 0) + all;
  }
  for (const auto& [chip, milli] : more.chips) {
    const auto at = std::lower_bound(sum.chips.begin(), sum.chips.end(), chip,
                                     [](const auto& entry, const std::string& name) { return entry.first < name; });
    if (at != sum.chips.end() && at->first == chip) {
      at->second += milli;
    } else {
      sum.chips.insert(at, {chip, milli});
    }
  }
}

CardAmounts promised_below(std::span<const Queue> queues, const Queue& queue) {
  CardAmounts sum;
  for (const Queue& child : queues) {
    if (child.parent == queue.name) {
      add_amounts(sum, effective_guarantee(queues, child));
    }
  }
  return sum;
}

Result<void> check_guarantees_below(std::span<const Queue> queues, const Queue& queue) {
  if (!queue.guarantee.is_given()) {
    return {};
  }
  const CardAmounts below = promised_below(queues, queue);
  const auto fits = [&](std::string_view chip, std::int64_t promised, std::int64_t own) -> Result<void> {
    if (promised <= own) {
      return {};
    }
    return wrong(queue, "the queues below it are guaranteed " + cards_of(chip, promised) + " of its " +
                            cards_of(chip, own) + "; raise its guarantee or lower theirs");
  };
  for (const auto& [chip, milli] : below.chips) {
    const std::int64_t own = queue.guarantee.of(chip).value;
    if (own >= 0 || queue.guarantee.all.value < 0) {
      TRY(fits(chip, milli.value, std::max<std::int64_t>(own, 0)));
    }
  }
  return fits("", below.all.value, promised_in_all(queue.guarantee));
}

/// Splits "64,H100=8" into ("", "64"), ("H100", "8").
std::vector<std::pair<std::string, std::string>> parts_of(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> parts;
  for (const std::string_view part : split(text, ',')) {
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) {
      parts.emplace_back("", trim(part));
    } else {
      parts.emplace_back(trim(part.substr(0, equals)), trim(part.substr(equals + 1)));
    }
  }
  return parts;
}

template <class Value>
bool insert_chip(std::vector<std::pair<std::string, Value>>& chips, const std::string& chip, Value value) {
  const auto at = std::lower_bound(chips.begin(), chips.end(), chip,
                                   [](const auto& entry, const std::string& name) { return entry.first < name; });
  if (at != chips.end() && at->first == chip) {
    return false;
  }
  chips.insert(at, {chip, value});
  return true;
}

}  // namespace

MilliCards CardAmounts::of(std::string_view chip) const {
  const auto at =
      std::find_if(chips.begin(), chips.end(), [&name = chip](const auto& entry) { return entry.first == name; });
  return at == chips.end() ? MilliCards{-1} : at->second;
}

std::uint32_t QueueWeights::of(std::string_view chip) const {
  const auto at =
      std::find_if(chips.begin(), chips.end(), [&name = chip](const auto& entry) { return entry.first == name; });
  return at == chips.end() ? all : at->second;
}

std::string_view enforce_name(Enforce enforce) {
  return enforce == Enforce::kNow ? "now" : "later";
}

std::optional<Enforce> enforce_from_name(std::string_view name) {
  return name == "now" ? std::optional(Enforce::kNow) : name == "later" ? std::optional(Enforce::kLater) : std::nullopt;
}

Result<CardAmounts> parse_card_amounts(std::string_view text) {
  CardAmounts amounts;
  if (text == "none") {
    return amounts;
  }
  for (const auto& [chip, number] : parts_of(text)) {
    const auto milli = parse_milli(number);
    const bool is_repeated =
        milli && (chip.empty() ? amounts.all.value >= 0
                               : amounts.chips.end() !=
                                     std::find_if(amounts.chips.begin(), amounts.chips.end(),
                                                  [&name = chip](const auto& entry) { return entry.first == name; }));
    if (!milli || *milli < 0 || is_repeated) {
      return make_error(ErrorCode::kInvalidArgument,
                        "\"" + std::string(text) + "\" is no amount of cards; write 64, 64,H100=8, H100=8 or none");
    }
    if (chip.empty()) {
      amounts.all = {*milli};
    } else {
      insert_chip(amounts.chips, chip, MilliCards{*milli});
    }
  }
  return amounts;
}

std::string format_card_amounts(const CardAmounts& amounts) {
  std::vector<std::string> parts;
  if (amounts.all.value >= 0) {
    parts.push_back(format_milli(amounts.all.value));
  }
  for (const auto& [chip, milli] : amounts.chips) {
    parts.push_back(chip + "=" + format_milli(milli.value));
  }
  return parts.empty() ? "none" : join(parts, ",");
}

Result<QueueWeights> parse_queue_weights(std::string_view text) {
  QueueWeights weights;
  bool has_all = false;
  for (const auto& [chip, number] : parts_of(text)) {
    const auto value = parse_int(number);
    const bool is_sane = value && *value >= 1 && *value <= kMaxWeight;
    const bool is_new =
        is_sane && (chip.empty() ? !has_all : insert_chip(weights.chips, chip, static_cast<std::uint32_t>(*value)));
    if (!is_new) {
      return make_error(
          ErrorCode::kInvalidArgument,
          "\"" + std::string(text) + "\" is no weight; write a whole number from 1 to 1000000, or 2,H100=3");
    }
    if (chip.empty()) {
      weights.all = static_cast<std::uint32_t>(*value);
      has_all = true;
    }
  }
  return weights;
}

std::string format_queue_weights(const QueueWeights& weights) {
  std::vector<std::string> parts = {std::to_string(weights.all)};
  for (const auto& [chip, weight] : weights.chips) {
    parts.push_back(chip + "=" + std::to_string(weight));
  }
  return join(parts, ",");
}

Result<void> validate_amounts(const Queue& queue) {
  TRY(check_amounts(queue, "guarantee", queue.guarantee));
  TRY(check_amounts(queue, "limit", queue.limit));
  bool are_weights_sane = are_in_order(queue.weight.chips) && queue.weight.all >= 1 && queue.weight.all <= kMaxWeight;
  for (const auto& [chip, weight] : queue.weight.chips) {
    are_weights_sane = are_weights_sane && weight >= 1 && weight <= kMaxWeight;
  }
  if (!are_weights_sane) {
    return wrong(queue, "weights are whole numbers from 1 to 1000000, each chip once");
  }
  if (queue.reclaim_bound_ms < 0 || queue.reclaim_bound_ms > kMaxReclaimBoundMs) {
    return wrong(queue, "the reclaim bound is between 0 and 365 days");
  }
  const std::int64_t promised = promised_in_all(queue.guarantee);
  if (queue.limit.all.value >= 0 && promised > queue.limit.all.value) {
    return wrong(queue,
                 "guarantees " + cards_of("", promised) + ", but its limit is " + cards_of("", queue.limit.all.value));
  }
  for (const auto& [chip, limit] : queue.limit.chips) {
    if (queue.guarantee.of(chip) > limit) {
      return wrong(queue, "guarantees " + cards_of(chip, queue.guarantee.of(chip).value) + ", but its limit is " +
                              cards_of(chip, limit.value));
    }
  }
  return {};
}

Result<void> validate(const Queue& queue) {
  if (!is_valid_name(queue.name)) {
    return wrong(queue, "a name has 1 to 63 characters of a-z 0-9 - _ . and begins with a letter or digit");
  }
  return validate_amounts(queue);
}

CardAmounts effective_guarantee(std::span<const Queue> queues, const Queue& queue) {
  return queue.guarantee.is_given() ? queue.guarantee : promised_below(queues, queue);
}

Result<void> validate_tree(std::span<const Queue> queues) {
  for (const Queue& queue : queues) {
    TRY(check_ancestors(queues, queue));
  }
  for (const Queue& queue : queues) {
    TRY(check_guarantees_below(queues, queue));
  }
  return {};
}

}  // namespace busbar::model
