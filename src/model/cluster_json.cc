#include <limits>
#include <utility>

#include "model/internal/object_reader.h"
#include "model/job_json.h"

namespace busbar::model {
namespace {

using internal::kMaxInt;
using internal::milli_to_json;
using internal::ObjectReader;

constexpr std::int64_t kMaxU16 = std::numeric_limits<std::uint16_t>::max();

Json texts_to_json(const std::vector<std::string>& texts) {
  Json json = Json::array();
  for (const std::string& text : texts) {
    json.push(text);
  }
  return json;
}

Json to_json(const Card& card) {
  Json json = Json::object({{"index", static_cast<int>(card.index)}, {"chip", card.chip}});
  if (!card.device.empty()) {
    json.set("device", card.device);
  }
  if (card.memory.value != 0) {
    json.set("memory", card.memory.value);
  }
  if (card.numa_node >= 0) {
    json.set("numa_node", static_cast<int>(card.numa_node));
  }
  json.set("link_group", static_cast<int>(card.link_group));
  json.set("health", card_health_name(card.health));
  if (!card.peak_gflops.empty()) {
    Json peaks = Json::object();
    for (const auto& [precision, gflops] : card.peak_gflops) {
      peaks.set(precision, gflops);
    }
    json.set("peak_gflops", std::move(peaks));
  }
  return json;
}

/// The members of an object whose values `read` accepts, in order.
template <class Value, class Read>
std::vector<std::pair<std::string, Value>> pairs(ObjectReader& reader, std::string_view key, Read read) {
  std::vector<std::pair<std::string, Value>> result;
  const Json* member = reader.take(key);
  if (member == nullptr) {
    return result;
  }
  if (!member->is_object()) {
    reader.fail(key, "not an object");
  }
  for (const auto& [name, value] : member->members()) {
    const std::optional<Value> item = read(value);
    if (!item) {
      reader.fail(key, "wrong value " + value.dump());
      return result;
    }
    result.emplace_back(name, *item);
  }
  return result;
}

Result<Card> card_from_json(const Json& json) {
  ObjectReader reader(json, "card");
  Card card{.index = static_cast<std::uint16_t>(reader.integer("index", 0, kMaxU16, 0)),
            .chip = reader.text("chip"),
            .device = reader.text("device"),
            .memory = {reader.integer("memory", 0, kMaxInt, 0)},
            .numa_node = static_cast<std::int16_t>(
                reader.integer("numa_node", -1, std::numeric_limits<std::int16_t>::max(), -1)),
            .link_group = static_cast<std::uint16_t>(reader.integer("link_group", 0, kMaxU16, 0)),
            .health = reader.named("health", CardHealth::kHealthy, card_health_from_name),
            .peak_gflops = pairs<std::int64_t>(reader, "peak_gflops", [](const Json& value) {
              return value.is_int() ? std::optional(value.as_int()) : std::nullopt;
            })};
  TRY(reader.finish());
  return card;
}

Json to_json(const TaskPlacement& task) {
  Json cards = Json::array();
  for (const std::uint16_t index : task.cards) {
    cards.push(static_cast<int>(index));
  }
  return Json::object({{"rank", task.rank},
                       {"node", task.node.value},
                       {"cards", std::move(cards)},
                       {"per_card", milli_to_json(task.per_card.value)},
                       {"cpus", milli_to_json(task.cpus.value)},
                       {"memory", task.memory.value}});
}

Result<std::uint16_t> card_index_from_json(const Json& json) {
  if (!json.is_int() || json.as_int() < 0 || json.as_int() > kMaxU16) {
    return make_error(ErrorCode::kInvalidArgument, "not a card index");
  }
  return static_cast<std::uint16_t>(json.as_int());
}

Result<TaskPlacement> task_from_json(const Json& json) {
  ObjectReader reader(json, "task");
  const std::vector<std::uint16_t> cards = reader.list<std::uint16_t>("cards", card_index_from_json);
  TaskPlacement task{
      .rank = static_cast<std::uint32_t>(reader.integer("rank", 0, std::numeric_limits<std::uint32_t>::max(), 0)),
      .node = {static_cast<std::uint64_t>(reader.integer("node", 0, kMaxInt, 0))},
      .cards = CardList(cards.begin(), cards.end()),
      .per_card = {reader.milli("per_card", 1000)},
      .cpus = {reader.milli("cpus", 0)},
      .memory = {reader.integer("memory", 0, kMaxInt, 0)}};
  TRY(reader.finish());
  return task;
}

}  // namespace

Json to_json(const Placement& placement) {
  Json tasks = Json::array();
  for (const TaskPlacement& task : placement.tasks) {
    tasks.push(to_json(task));
  }
  Json json = Json::object();
  if (!placement.chip.empty()) {
    json.set("chip", placement.chip);
  }
  json.set("tasks", std::move(tasks));
  return json;
}

Result<Placement> placement_from_json(const Json& json) {
  ObjectReader reader(json, "placement");
  Placement placement{.tasks = reader.list<TaskPlacement>("tasks", task_from_json), .chip = reader.text("chip")};
  TRY(reader.finish());
  return placement;
}

Json to_json(const Node& node) {
  Json cards = Json::array();
  for (const Card& card : node.cards) {
    cards.push(to_json(card));
  }
  Json labels = Json::object();
  for (const auto& [key, value] : node.labels) {
    labels.set(key, value);
  }
  return Json::object({{"id", node.id.value},
                       {"name", node.name},
                       {"state", node_state_name(node.state)},
                       {"cpus", milli_to_json(node.cpus.value)},
                       {"memory", node.memory.value},
                       {"cards", std::move(cards)},
                       {"fabric", texts_to_json(node.fabric)},
                       {"labels", std::move(labels)}});
}

Result<Node> node_from_json(const Json& json) {
  ObjectReader reader(json, "node");
  Node node{.id = {static_cast<std::uint64_t>(reader.integer("id", 0, kMaxInt, 0))},
            .name = reader.text("name"),
            .cards = reader.list<Card>("cards", card_from_json),
            .cpus = {reader.milli("cpus", 0)},
            .memory = {reader.integer("memory", 0, kMaxInt, 0)},
            .fabric = reader.texts("fabric"),
            .labels = pairs<std::string>(
                reader, "labels",
                [](const Json& value) { return value.is_string() ? std::optional(value.as_string()) : std::nullopt; }),
            .state = reader.named("state", NodeState::kReady, node_state_from_name)};
  TRY(reader.finish());
  return node;
}

}  // namespace busbar::model
