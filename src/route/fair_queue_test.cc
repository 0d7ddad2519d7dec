#include "route/fair_queue.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <string>

namespace busbar::route {
namespace {

struct Item : FairItem {
  std::string name = {};
};

class FairQueueTest : public ::testing::Test {
 protected:
  void push(FairFlow& flow, const std::string& name, std::uint64_t cost = 1) {
    Item& item = items_.emplace_back();
    item.name = name;
    item.cost = cost;
    queue_.push(flow, item);
  }
  std::string serve(std::size_t count) {
    std::string order;
    for (; count > 0 && !queue_.empty(); --count) {
      order += static_cast<Item&>(queue_.front()).name;
      queue_.pop();
    }
    return order;
  }
  std::deque<Item> items_ = {};
  FairQueue queue_ = {};
};

TEST_F(FairQueueTest, AFloodDoesNotKeepOthersWaiting) {
  FairFlow flood;
  FairFlow quiet;
  for (int count = 0; count < 1'000; ++count) push(flood, "f");
  serve(500);
  push(quiet, "q");
  // At most one of each other flow goes first.
  const std::string next = serve(2);
  EXPECT_NE(next.find('q'), std::string::npos) << next;
}

TEST_F(FairQueueTest, ServesByWeight) {
  FairFlow heavy{.weight = 3};
  FairFlow light;
  for (int count = 0; count < 100; ++count) {
    push(heavy, "h");
    push(light, "l");
  }
  const std::string order = serve(40);
  EXPECT_EQ(std::count(order.begin(), order.end(), 'h'), 30);
}

TEST_F(FairQueueTest, ServesByCost) {
  FairFlow large;
  FairFlow small;
  for (int count = 0; count < 100; ++count) {
    push(large, "L", 10);
    push(small, "s", 1);
  }
  const std::string order = serve(22);
  EXPECT_NEAR(static_cast<double>(std::count(order.begin(), order.end(), 's')), 20, 2) << order;
}

TEST_F(FairQueueTest, KeepsTheOrderOfAFlowAndForgetsWhoGivesUp) {
  FairFlow a;
  FairFlow b;
  push(a, "1");
  push(a, "2");
  push(b, "3");
  push(a, "4");
  queue_.remove(items_[1]);
  EXPECT_EQ(items_[1].flow, nullptr);
  EXPECT_EQ(a.size, 2U);
  const std::string order = serve(9);
  EXPECT_LT(order.find('1'), order.find('4'));
  EXPECT_EQ(order.find('2'), std::string::npos);
  EXPECT_EQ(order.size(), 3U);
  push(b, "5");
  queue_.remove(items_.back());
  EXPECT_TRUE(queue_.empty());
}

TEST_F(FairQueueTest, WhoWasAwayHasNoCreditForIt) {
  FairFlow busy;
  FairFlow away;
  for (int count = 0; count < 100; ++count) push(busy, "b");
  serve(50);
  for (int count = 0; count < 20; ++count) push(away, "a");
  const std::string order = serve(20);
  EXPECT_NEAR(static_cast<double>(std::count(order.begin(), order.end(), 'a')), 10, 1) << order;
}

RC_GTEST_PROP(FairQueue, BackloggedFlowsNeverDriftApart, ()) {
  FairQueue queue;
  const auto weights = *rc::gen::container<std::vector<std::uint32_t>>(4, rc::gen::inRange<std::uint32_t>(1, 20));
  std::deque<FairFlow> flows;
  std::map<FairFlow*, double> served;
  std::deque<Item> items;
  for (const std::uint32_t weight : weights) flows.push_back({.weight = weight});
  const auto push = [&](FairFlow& flow) {
    Item& item = items.emplace_back();
    item.cost = *rc::gen::inRange<std::uint64_t>(1, 50);
    queue.push(flow, item);
  };
  for (FairFlow& flow : flows) {
    for (int count = 0; count < 3; ++count) push(flow);
  }
  for (int round = 0; round < 200; ++round) {
    FairItem& front = queue.front();
    FairFlow& flow = *front.flow;
    served[&flow] += static_cast<double>(front.cost) / flow.weight;
    queue.pop();
    push(flow);
    for (FairFlow& one : flows) {
      for (FairFlow& other : flows) {
        // The bound of start-time fair queueing: one item of each.
        RC_ASSERT(std::abs(served[&one] - served[&other]) <= 50.0 / one.weight + 50.0 / other.weight + 0.01);
      }
    }
  }
}

RC_GTEST_PROP(FairQueue, LosesNothingWhateverHappens, ()) {
  FairQueue queue;
  std::deque<FairFlow> flows(5);
  std::deque<Item> items;
  std::size_t waiting = 0;
  for (int round = 0; round < 300; ++round) {
    const int what = *rc::gen::inRange(0, 4);
    if (what < 2) {
      queue.push(flows[*rc::gen::inRange<std::size_t>(0, 5)], items.emplace_back());
      ++waiting;
    } else if (what == 2 && waiting > 0) {
      queue.pop();
      --waiting;
    } else if (!items.empty()) {
      Item& item = items[*rc::gen::inRange<std::size_t>(0, items.size())];
      if (item.flow == nullptr) continue;
      queue.remove(item);
      --waiting;
    }
    RC_ASSERT(queue.size() == waiting);
    std::size_t in_flows = 0;
    for (const FairFlow& flow : flows) in_flows += flow.size;
    RC_ASSERT(in_flows == waiting);
  }
}

}  // namespace
}  // namespace busbar::route
