#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "model/ids.h"
#include "model/queue.h"

namespace busbar::model {

enum class CardHealth { kHealthy, kUnhealthy };

/// One schedulable accelerator, or one CPU core offered as a card (chip "cpu").
struct Card {
  std::uint16_t index = 0;       ///< Place on the node; dense from 0.
  std::string chip = {};         ///< Id in the chip catalogue; "cpu" for CPU cards.
  std::string device = {};       ///< What the engine needs to find it: "cpu:3", "pci:0000:3b:00.0".
  Bytes memory = {};             ///< Of the card itself; 0 for CPU cards.
  std::int16_t numa_node = -1;   ///< -1: unknown.
  std::uint16_t link_group = 0;  ///< Cards of one group talk to each other fastest.
  CardHealth health = CardHealth::kHealthy;
  /// Dense peak in GFLOP/s by precision ("fp32", "bf16", ...), for MFU; empty if unknown.
  std::vector<std::pair<std::string, std::int64_t>> peak_gflops = {};
  friend bool operator==(const Card&, const Card&) = default;
};

enum class NodeState { kReady, kDrained, kUnreachable, kFailed };

/// A machine with cards. `fabric` is the path from the node's leaf switch upwards: {"leaf-3", "spine-1"}.
struct Node {
  NodeId id = {};
  std::string name = {};
  std::vector<Card> cards = {};
  MilliCpus cpus = {};
  Bytes memory = {};
  std::vector<std::string> fabric = {};
  std::vector<std::pair<std::string, std::string>> labels = {};
  NodeState state = NodeState::kReady;
  friend bool operator==(const Node&, const Node&) = default;
};

std::string_view node_state_name(NodeState state);
std::optional<NodeState> node_state_from_name(std::string_view name);
std::string_view card_health_name(CardHealth health);
std::optional<CardHealth> card_health_from_name(std::string_view name);

/// kInvalidArgument names the first thing that the rest of the system could not work with: an id or name that is
/// missing, card indices that are not 0, 1, 2, ..., a card without a chip, negative sizes.
Result<void> validate(const Node& node);

/// Names of jobs, queues, projects and nodes: 1 to 63 characters of a-z 0-9 - _ . that begin with a letter or digit.
bool is_valid_name(std::string_view name);

}  // namespace busbar::model
