// Requests that wait for a replica: served in turns of their tenants, bounded, shed when it makes no sense to wait.

#include <algorithm>

#include "gateway/internal/worker.h"

namespace busbar::gateway::internal {
namespace {

/// A tenant that has fewer than this waiting is let wait also where all together are too many: so that those who flood
/// a service cannot keep others out of it.
constexpr std::uint32_t kAlwaysWaiting = 4;
constexpr std::int64_t kLongestWaitUs = 3'600'000'000;

std::uint32_t slot_of(const Exchange& exchange) {
  return exchange.key == nullptr ? 0 : exchange.key->tenant->state->slot;
}

std::uint32_t weight_of(const Exchange& exchange) {
  return exchange.key == nullptr ? 1 : exchange.key->tenant->value.weight;
}

std::uint64_t bit_of(std::size_t worker) {
  return std::uint64_t{1} << (worker % 64);
}

}  // namespace

void Worker::start_waiting(Exchange& exchange) {
  WorkerService& service = *exchange.service;
  ServiceState& state = *service.entry->state;
  const route::Service& value = service.entry->value;
  const std::int64_t retry_after_s = std::max<std::int64_t>(1, value.start_ms / 1000);
  const auto shed = [&](int status, std::string_view text) {
    service.counters->shed.add(1);
    fail(exchange, status, text, retry_after_s);
  };
  if (value.endpoints.empty() && !value.can_start) {
    return shed(503, "the service has no replica and may not start one");
  }
  const std::uint32_t slot = slot_of(exchange);
  std::atomic<std::uint32_t>& of_tenant = state.waiting_by_tenant[slot % state.waiting_by_tenant.size()];
  const std::uint32_t mine = of_tenant.load(std::memory_order_relaxed);
  std::size_t waiting = 0;
  for (const auto& counters : state.counters) waiting += counters->waiting.load(std::memory_order_relaxed);
  if (exchange.key != nullptr && value.limits.waiting_each > 0 && mine >= value.limits.waiting_each) {
    return shed(429, "too many requests of this tenant wait for this service");
  }
  const bool is_full = value.limits.waiting > 0 && waiting >= value.limits.waiting;
  if (is_full && (exchange.key == nullptr || mine >= kAlwaysWaiting)) {
    return shed(503, "too many requests wait for this service");
  }
  std::int64_t wait_us = value.limits.wait_ms > 0 ? value.limits.wait_ms * 1000 : kLongestWaitUs;
  if (exchange.deadline_us > 0) {
    const std::int64_t left_us = exchange.deadline_us - now_us_;
    if (left_us <= 0 || (value.endpoints.empty() && value.start_ms * 1000 > left_us)) {
      return shed(503, "no replica can be ready before the request's deadline");
    }
    wait_us = std::min(wait_us, left_us);
  }
  exchange.is_waiting = true;
  exchange.cost = std::max<std::uint64_t>(1, exchange.tokens);
  route::FairFlow& flow = service.flows[slot];
  flow.weight = weight_of(exchange);
  service.waiting.push(flow, exchange);
  of_tenant.fetch_add(1, std::memory_order_relaxed);
  timers_.disarm(exchange);
  timers_.arm(exchange, (now_us_ + wait_us) / 1000);
  service.counters->waiting.fetch_add(1, std::memory_order_relaxed);
  state.waiting_workers.fetch_or(bit_of(index_));
  // A place that another worker gave up before it could see this bit is found by looking once more.
  if (board_.wakers.size() > 1) mark_ready(service);
  if (value.endpoints.empty() || waiting == 0) board_.demand->set();
}

void Worker::stop_waiting(Exchange& exchange, Waited how) {
  WorkerService& service = *exchange.service;
  ServiceState& state = *service.entry->state;
  exchange.is_waiting = false;
  if (how == Waited::kServed) {
    service.waiting.pop();
  } else {
    service.waiting.remove(exchange);
  }
  state.waiting_by_tenant[slot_of(exchange) % state.waiting_by_tenant.size()].fetch_sub(1, std::memory_order_relaxed);
  service.counters->waiting.fetch_sub(1, std::memory_order_relaxed);
  if (service.waiting.empty()) state.waiting_workers.fetch_and(~bit_of(index_));
  timers_.disarm(exchange);
}

void Worker::serve_waiting(WorkerService& service) {
  if (service.waiting.empty()) return;
  while (!service.waiting.empty()) {
    auto& exchange = static_cast<Exchange&>(service.waiting.front());
    const route::Service& value = service.entry->value;
    if (value.endpoints.empty() && !value.can_start) {
      stop_waiting(exchange, Waited::kInVain);
      service.counters->shed.add(1);
      fail(exchange, 503, "the service has no replica and may not start one", 1);
      continue;
    }
    if (!choose_endpoint(exchange)) return;
    stop_waiting(exchange, Waited::kServed);
    connect(exchange);
  }
  // There may be places left that were offered here.
  wake_others(service);
}

void Worker::mark_ready(WorkerService& service) {
  if (service.is_ready) return;
  service.is_ready = true;
  ready_services_.push_back(&service);
}

// A place at a replica is free. Workers that have requests waiting get such places in turns: the one that gave it up
// has no right to it, or the tenants whose connections it has would starve those of the others.
void Worker::offer_place(WorkerService& service) {
  ServiceState& state = *service.entry->state;
  const std::uint64_t waiting = state.waiting_workers.load();
  if (waiting == 0) return;
  const std::size_t workers = board_.wakers.size();
  for (std::size_t step = 1; step <= workers; ++step) {
    const std::size_t next = (service.last_offered + step) % workers;
    if ((waiting & bit_of(next)) == 0) continue;
    if (next == index_ && service.waiting.empty()) continue;  // the bit is another worker's
    service.last_offered = next;
    if (next == index_) {
      mark_ready(service);
    } else {
      state.offered_to.store(static_cast<int>(next), std::memory_order_relaxed);
      board_.wakers[next]->set();
    }
    return;
  }
}

void Worker::wake_others(const WorkerService& service) {
  const std::uint64_t waiting = service.entry->state->waiting_workers.load();
  if (waiting == 0) return;
  for (std::size_t index = 0; index < board_.wakers.size(); ++index) {
    if (index != index_ && (waiting & bit_of(index)) != 0) board_.wakers[index]->set();
  }
}

}  // namespace busbar::gateway::internal
