#pragma once

#include <mutex>
#include <string>
#include <utility>

#include "base/text.h"
#include "engine/device_probe.h"

namespace busbar::engine {

/// A probe that finds what a test tells it to find; CPU cards unless told otherwise. Thread-safe.
class FakeProbe final : public DeviceProbe {
 public:
  explicit FakeProbe(std::uint16_t cpus = 2) {
    for (std::uint16_t i = 0; i < cpus; ++i) {
      const std::string device = "cpu:" + std::to_string(i);
      inventory_.cards.push_back({.card = {.index = i, .chip = "cpu", .device = device}, .facts = {.device = device}});
    }
    inventory_.cpus = {cpus * 1000};
  }

  void set(Inventory inventory) {
    const std::lock_guard lock(mutex_);
    inventory_ = std::move(inventory);
  }
  Inventory inventory() const {
    const std::lock_guard lock(mutex_);
    return inventory_;
  }

  Result<Inventory> scan() override { return inventory(); }

  /// CPU cards by their number; other cards by the nodes that the test gave them.
  Result<chip::OciEdits> edits_for(const std::vector<model::Card>& granted, MilliCards) override {
    chip::OciEdits edits;
    for (const model::Card& card : granted) {
      for (const ProbedCard& found : inventory().cards) {
        if (found.card.device != card.device) continue;
        for (const std::string& node : found.facts.device_nodes) edits.devices.push_back({.path = node});
      }
      if (const auto cpu = card.device.starts_with("cpu:") ? parse_int(card.device.substr(4)) : std::nullopt) {
        edits.cpu_set.push_back(static_cast<std::uint32_t>(*cpu));
      }
    }
    return edits;
  }

 private:
  mutable std::mutex mutex_;
  Inventory inventory_ = {};
};

}  // namespace busbar::engine
