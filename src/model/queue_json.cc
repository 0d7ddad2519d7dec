#include <limits>
#include <utility>

#include "model/internal/object_reader.h"
#include "model/job_json.h"

namespace busbar::model {
namespace {

using internal::milli_to_json;
using internal::ObjectReader;

constexpr std::string_view kAll = "all";

Json amounts_to_json(const CardAmounts& amounts) {
  if (amounts.chips.empty()) {
    return milli_to_json(amounts.all.value);
  }
  Json json = Json::object();
  if (amounts.all.value >= 0) {
    json.set(std::string(kAll), milli_to_json(amounts.all.value));
  }
  for (const auto& [chip, milli] : amounts.chips) {
    json.set(chip, milli_to_json(milli.value));
  }
  return json;
}

Json weights_to_json(const QueueWeights& weights) {
  if (weights.chips.empty()) {
    return Json(weights.all);
  }
  Json json = Json::object({{std::string(kAll), weights.all}});
  for (const auto& [chip, weight] : weights.chips) {
    json.set(chip, weight);
  }
  return json;
}

// "64,H100=8" from a number, a text of that form, or an object {"all": 64, "H100": 8}: one parser for all.
std::string amounts_text(const Json& json) {
  if (!json.is_object()) {
    return json.is_string() ? json.as_string() : json.dump();
  }
  std::string text;
  for (const auto& [chip, value] : json.members()) {
    const std::string number = value.is_string() ? value.as_string() : value.dump();
    text += (text.empty() ? "" : ",") + (chip == kAll ? "" : chip + "=") + number;
  }
  return text;
}

template <class Value, class Parse>
Value read_amounts(ObjectReader& reader, std::string_view key, Parse parse) {
  const Json* member = reader.take(key);
  if (member == nullptr) {
    return {};
  }
  Result<Value> value = parse(amounts_text(*member));
  if (!value) {
    reader.fail(key, value.error().message);
    return {};
  }
  return *std::move(value);
}

}  // namespace

Json to_json(const Queue& queue) {
  Json json = Json::object({{"name", queue.name}});
  if (!queue.parent.empty()) {
    json.set("parent", queue.parent);
  }
  if (queue.guarantee.is_given()) {
    json.set("guarantee", amounts_to_json(queue.guarantee));
  }
  if (queue.limit.is_given()) {
    json.set("limit", amounts_to_json(queue.limit));
  }
  json.set("weight", weights_to_json(queue.weight));
  json.set("priority", queue.priority);
  json.set("reclaim_bound_ms", queue.reclaim_bound_ms);
  json.set("enforce", enforce_name(queue.enforce));
  return json;
}

Result<Queue> queue_from_json(const Json& json) {
  ObjectReader reader(json, "queue");
  Queue queue{.name = reader.text("name"),
              .parent = reader.text("parent"),
              .guarantee = read_amounts<CardAmounts>(reader, "guarantee", parse_card_amounts),
              .limit = read_amounts<CardAmounts>(reader, "limit", parse_card_amounts),
              .weight = read_amounts<QueueWeights>(reader, "weight", parse_queue_weights),
              .priority = static_cast<std::int32_t>(reader.integer("priority", std::numeric_limits<std::int32_t>::min(),
                                                                   std::numeric_limits<std::int32_t>::max(), 0)),
              .reclaim_bound_ms = reader.integer("reclaim_bound_ms", 0, std::numeric_limits<std::int64_t>::max(),
                                                 Queue{}.reclaim_bound_ms),
              .enforce = reader.named("enforce", Enforce::kLater, enforce_from_name)};
  TRY(reader.finish());
  return queue;
}

}  // namespace busbar::model
