#include "route/fair_queue.h"

#include <algorithm>

#include "base/check.h"

namespace busbar::route {

void FairQueue::push(FairFlow& flow, FairItem& item) {
  CHECK(item.flow == nullptr);
  item.flow = &flow;
  item.previous_item = flow.last;
  item.next_item = nullptr;
  (flow.last != nullptr ? flow.last->next_item : flow.first) = &item;
  flow.last = &item;
  ++size_;
  if (++flow.size > 1) return;
  // Who was away has no credit for it, who has had more than its share pays first.
  flow.start = static_cast<std::int64_t>(flow.finish - now_) > 0 ? flow.finish : now_;
  heap_.push_back(&flow);
  flow.place = heap_.size() - 1;
  sift_up(flow.place);
}

void FairQueue::pop() {
  FairFlow& flow = *heap_.front();
  FairItem& item = *flow.first;
  now_ = flow.start;
  const std::uint64_t cost = std::clamp<std::uint64_t>(item.cost, 1, kMostCost);
  flow.finish = flow.start + std::max<std::uint64_t>(1, cost * kScale / std::max(flow.weight, 1U));
  unlink(item);
  if (flow.size == 0) {
    leave_heap(flow);
  } else {
    flow.start = flow.finish;
    sift_down(0);
  }
  // Nobody waits: what was had until now is forgotten.
  if (size_ == 0) now_ = flow.finish;
}

void FairQueue::remove(FairItem& item) {
  FairFlow& flow = *item.flow;
  unlink(item);
  if (flow.size == 0) leave_heap(flow);
}

void FairQueue::unlink(FairItem& item) {
  FairFlow& flow = *item.flow;
  (item.previous_item != nullptr ? item.previous_item->next_item : flow.first) = item.next_item;
  (item.next_item != nullptr ? item.next_item->previous_item : flow.last) = item.previous_item;
  item.previous_item = item.next_item = nullptr;
  item.flow = nullptr;
  --flow.size;
  --size_;
}

void FairQueue::leave_heap(FairFlow& flow) {
  const std::size_t place = flow.place;
  FairFlow* last = heap_.back();
  heap_.pop_back();
  if (last == &flow) return;
  put(*last, place);
  sift_up(place);
  sift_down(last->place);
}

void FairQueue::put(FairFlow& flow, std::size_t place) {
  heap_[place] = &flow;
  flow.place = place;
}

void FairQueue::sift_up(std::size_t place) {
  FairFlow* flow = heap_[place];
  while (place > 0 && is_before(*flow, *heap_[(place - 1) / 2])) {
    put(*heap_[(place - 1) / 2], place);
    place = (place - 1) / 2;
  }
  put(*flow, place);
}

void FairQueue::sift_down(std::size_t place) {
  FairFlow* flow = heap_[place];
  while (true) {
    std::size_t child = 2 * place + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && is_before(*heap_[child + 1], *heap_[child])) ++child;
    if (!is_before(*heap_[child], *flow)) break;
    put(*heap_[child], place);
    place = child;
  }
  put(*flow, place);
}

}  // namespace busbar::route
