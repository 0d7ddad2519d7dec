// A second replica is asked where the first is slow: whoever answers first counts, the other is given up.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "gateway/internal/worker.h"

namespace busbar::gateway::internal {
namespace {

/// Hedges that may come at once after a quiet time.
constexpr double kMaxHedgeTokens = 10;

}  // namespace

// How long to wait for the answer's first byte before somebody else is asked; 0: for as long as it takes.
std::int64_t Worker::hedge_after_ms(const Exchange& exchange) const {
  const route::Service& service = exchange.service->entry->value;
  const std::int64_t after_ms = service.traffic.hedge.after_ms;
  if (after_ms == 0 || exchange.was_hedged || !exchange.may_repeat || !exchange.is_whole) return 0;
  if (exchange.request_phase != RequestPhase::kComplete) return 0;
  return service.limits.response_ms == 0 || after_ms < service.limits.response_ms ? after_ms : 0;
}

void Worker::earn_hedge(WorkerService& service) {
  const model::Hedge& hedge = service.entry->value.traffic.hedge;
  if (hedge.after_ms == 0) return;
  service.hedge_tokens = std::min(service.hedge_tokens + hedge.percent / 100.0, kMaxHedgeTokens);
}

void Worker::start_hedge(Exchange& exchange) {
  exchange.was_hedged = true;
  WorkerService& service = *exchange.service;
  if (service.hedge_tokens < 1) return;
  const WorkerEndpoint* first = exchange.endpoint;
  const auto load = [&](std::size_t index) -> route::EndpointLoad {
    const WorkerEndpoint& endpoint = *service.endpoints[index];
    const EndpointState& state = *endpoint.entry.state;
    const std::uint32_t outstanding = state.outstanding.load(std::memory_order_relaxed);
    return {.outstanding = outstanding,
            .work = outstanding + state.more_work.load(std::memory_order_relaxed),
            .is_usable = &endpoint != first && state.is_well(now_us_) && has_adapter(exchange, index)};
  };
  const auto chosen = service.entry->picker.pick(draw(), load);
  if (!chosen) return;
  Upstream* upstream = open_upstream(*service.endpoints[*chosen]);
  if (upstream == nullptr) return;
  service.hedge_tokens -= 1;
  service.counters->hedges.add(1);
  upstream->exchange = &exchange;
  exchange.hedge = upstream;
  exchange.hedge_sent = 0;
  take_place(exchange, *upstream->endpoint);
  if (upstream->is_refused) return drop_hedge(exchange);
  if (upstream->is_connected) flush_hedge(exchange);
}

// False when the hedge is over.
bool Worker::flush_hedge(Exchange& exchange) {
  Upstream& upstream = *exchange.hedge;
  if (upstream.kind == SocketKind::kUpstreamStream) {
    return flush_stream(exchange, static_cast<UpstreamStream&>(upstream));
  }
  while (upstream.is_writable && exchange.hedge_sent < exchange.request.size()) {
    const std::string_view bytes = exchange.request.view().substr(exchange.hedge_sent);
    const ssize_t count = send(upstream.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      upstream.is_writable = false;
      return true;
    }
    if (count < 0) {
      drop_hedge(exchange);
      return false;
    }
    exchange.hedge_sent += static_cast<std::size_t>(count);
  }
  return true;
}

void Worker::serve_hedge(Exchange& exchange, std::uint32_t events) {
  Upstream& upstream = *exchange.hedge;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && !upstream.is_connected) return drop_hedge(exchange);
  if (!upstream.is_connected) {
    upstream.is_connected = true;
    timers_.disarm(upstream);
  }
  upstream.is_writable = upstream.is_writable || (events & EPOLLOUT) != 0;
  if (!flush_hedge(exchange)) return;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) return;
  char byte = 0;
  const ssize_t count = recv(upstream.fd, &byte, 1, MSG_PEEK);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) return drop_hedge(exchange);
  upstream.is_readable = true;
  upstream.has_hangup = (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
  exchange.service->counters->hedges_won.add(1);
  take_hedge(exchange);
  pump_response(exchange);
}

// The second becomes the one that counts; the first is given up, which says nothing against it.
void Worker::take_hedge(Exchange& exchange) {
  WorkerEndpoint& first = *exchange.endpoint;
  if (exchange.upstream != nullptr) close_upstream(*exchange.upstream);
  give_place(exchange, first);
  adopt_hedge(exchange);
}

void Worker::adopt_hedge(Exchange& exchange) {
  exchange.upstream = std::exchange(exchange.hedge, nullptr);
  exchange.endpoint = exchange.upstream->endpoint;
  exchange.request_sent = exchange.hedge_sent;
  exchange.response_head.clear();
}

void Worker::drop_hedge(Exchange& exchange) {
  Upstream& upstream = *std::exchange(exchange.hedge, nullptr);
  WorkerEndpoint& endpoint = *upstream.endpoint;
  close_upstream(upstream);
  give_place(exchange, endpoint);
}

}  // namespace busbar::gateway::internal
