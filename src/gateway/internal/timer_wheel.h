#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace busbar::gateway::internal {

/// Whose timer it is: the base of which struct in sockets.h.
enum class TimerOwner : std::uint8_t { kNone, kClient, kUpstream, kExchange, kErrand, kTrunk };

/// The base of what has a timer; the owner disarms before it goes.
struct TimerNode {
  TimerNode* previous = nullptr;
  TimerNode* next = nullptr;
  std::uint32_t deadline = 0;  ///< In ticks.
  TimerOwner owner = TimerOwner::kNone;
  bool is_armed() const { return next != nullptr; }
};

/// Coarse timers for very many connections: O(1) to arm, and a deadline that moves later costs one store, since the
/// node is moved only when its old place comes up. A timer fires at most two ticks late, never early. Not thread-safe.
class TimerWheel {
 public:
  static constexpr std::int64_t kTickMs = 64;
  static constexpr std::size_t kSlots = 1024;

  explicit TimerWheel(std::int64_t now_ms) : tick_(ticks(now_ms)) {
    for (TimerNode& slot : slots_) slot.previous = slot.next = &slot;
  }
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  void arm(TimerNode& node, std::int64_t deadline_ms) {
    const std::uint32_t deadline = ticks(deadline_ms) + 1;
    if (node.is_armed()) {
      if (deadline >= node.deadline) {
        node.deadline = deadline;
        return;
      }
      disarm(node);
    }
    node.deadline = deadline;
    link(node);
    ++armed_;
  }
  void disarm(TimerNode& node) {
    if (!node.is_armed()) return;
    unlink(node);
    --armed_;
  }
  /// Calls `expired(node)` for each node whose time has come, disarmed before; it may arm and disarm any node.
  template <class Expired>
  void advance(std::int64_t now_ms, Expired expired) {
    const std::uint32_t now = ticks(now_ms);
    while (tick_ < now) {
      ++tick_;
      TimerNode& slot = slots_[tick_ % kSlots];
      TimerNode due;
      // The slot's nodes move to a list of their own: those that stay are linked again, perhaps into this same slot.
      if (slot.next == &slot) continue;
      due.next = slot.next;
      due.previous = slot.previous;
      due.next->previous = due.previous->next = &due;
      slot.previous = slot.next = &slot;
      while (due.next != &due) {
        TimerNode& node = *due.next;
        unlink(node);
        if (node.deadline > tick_) {
          link(node);
          continue;
        }
        --armed_;
        expired(node);
      }
    }
  }
  /// How long a poll may sleep; -1 where nothing is armed.
  int wait_ms() const { return armed_ == 0 ? -1 : static_cast<int>(kTickMs); }

 private:
  static std::uint32_t ticks(std::int64_t ms) { return static_cast<std::uint32_t>(ms / kTickMs); }
  static void unlink(TimerNode& node) {
    node.previous->next = node.next;
    node.next->previous = node.previous;
    node.previous = node.next = nullptr;
  }
  void link(TimerNode& node) {
    // Beyond one turn of the wheel: the last slot to come up, where it is looked at again.
    const std::uint32_t distance = node.deadline > tick_ ? node.deadline - tick_ : 1;
    TimerNode& slot = slots_[(tick_ + (distance < kSlots ? distance : kSlots - 1)) % kSlots];
    node.previous = slot.previous;
    node.next = &slot;
    slot.previous->next = &node;
    slot.previous = &node;
  }

  std::array<TimerNode, kSlots> slots_ = {};
  std::uint32_t tick_;
  std::size_t armed_ = 0;
};

}  // namespace busbar::gateway::internal
