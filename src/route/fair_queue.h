#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace busbar::route {

struct FairFlow;

/// The base of what waits in a FairQueue; owned by the caller.
struct FairItem {
  FairItem* previous_item = nullptr;
  FairItem* next_item = nullptr;
  FairFlow* flow = nullptr;  ///< nullptr: it does not wait.
  std::uint64_t cost = 1;
};

/// Those of one tenant that wait at one queue, first come first served; owned by the caller. Stays where it is and is
/// kept while anything of it waits; one that is kept longer remembers what it has had.
struct FairFlow {
  std::uint32_t weight = 1;
  std::size_t size = 0;
  FairItem* first = nullptr;
  FairItem* last = nullptr;
  std::uint64_t start = 0;   ///< Tag of the first item.
  std::uint64_t finish = 0;  ///< Tag at which the last that was served ends.
  std::size_t place = 0;     ///< In the queue's heap.
};

/// Start-time fair queueing (Goyal, Vin and Cheng 1996): whoever waits is served in the order of virtual start tags, so
/// that flows get service by weight whatever they ask for, and a flow that comes new waits for at most one item of each
/// of the others. Allocates only when there are more flows than ever before. Not thread-safe. Cost: O(log flows).
class FairQueue {
 public:
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  /// Who is next. The queue must not be empty.
  FairItem& front() const { return *heap_.front()->first; }

  void push(FairFlow& flow, FairItem& item);
  /// The front has been served: its flow pays its cost.
  void pop();
  /// It waits no more, unserved.
  void remove(FairItem& item);

 private:
  /// Of a cost of 1 at weight 1: so weights up to ten thousand are told apart.
  static constexpr std::uint64_t kScale = 1 << 16;
  static constexpr std::uint64_t kMostCost = 1'000'000;

  /// Tags may wrap: what counts is which is ahead.
  static bool is_before(const FairFlow& left, const FairFlow& right) {
    return static_cast<std::int64_t>(left.start - right.start) < 0;
  }
  void unlink(FairItem& item);
  void put(FairFlow& flow, std::size_t place);
  void sift_up(std::size_t place);
  void sift_down(std::size_t place);
  void leave_heap(FairFlow& flow);

  std::vector<FairFlow*> heap_ = {};
  std::size_t size_ = 0;
  std::uint64_t now_ = 0;  ///< Start tag of what was served last.
};

}  // namespace busbar::route
