// Replicas: choosing one, connecting, sending the request.

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "gateway/internal/worker.h"

namespace busbar::gateway::internal {
namespace {

constexpr std::uint8_t kMaxAttempts = 3;
constexpr double kRetryTokensPerRequest = 0.2;
constexpr double kMaxRetryTokens = 100;
constexpr std::uint32_t kFailuresToEject = 3;
constexpr std::int64_t kFirstEjectionUs = 1'000'000;
constexpr std::uint32_t kMaxEjectionDoublings = 5;
constexpr std::size_t kRepeatableBytes = 64 << 10;

// A burst is told when it comes, not at the next message's time: at twice the target, where the autoscaler stops
// averaging, and at each multiple beyond.
bool is_worth_telling(std::uint32_t outstanding, std::uint32_t target) {
  return target > 0 && outstanding >= 2 * target && outstanding % target == 0;
}

}  // namespace

// xorshift64* (Vigna 2016): good enough to draw replicas by.
std::uint64_t Worker::draw() {
  random_ ^= random_ >> 12;
  random_ ^= random_ << 25;
  random_ ^= random_ >> 27;
  return random_ * 0x2545f4914f6cdd1dU;
}

void Worker::bind_service(Exchange& exchange, std::size_t index) {
  WorkerService& service = *services_[index];
  exchange.service = &service;
  ++service.exchanges;
  service.counters->running.fetch_add(1, std::memory_order_relaxed);
  retry_tokens_ = std::min(retry_tokens_ + kRetryTokensPerRequest, kMaxRetryTokens);
}

void Worker::dispatch(Exchange& exchange) {
  // Whoever waits is served first; who of them, the queue says.
  if (exchange.service->waiting.empty() && choose_endpoint(exchange)) {
    connect(exchange);
  } else {
    start_waiting(exchange);
  }
}

bool Worker::choose_endpoint(Exchange& exchange) {
  const WorkerService& service = *exchange.service;
  bool has_healthy = false;
  bool minds_ejection = true;
  const bool wants_adapter = !exchange.adapter.empty();
  const route::Wish wish{.revision = exchange.wanted_revision,
                         .session = exchange.session,
                         .prefix = exchange.prefix,
                         .prefixes = std::as_const(*service.entry->state).prefixes(),
                         .cost = std::max<std::uint64_t>(1, exchange.tokens),
                         .bound_permille = service.entry->value.traffic.affinity.bound_permille};
  const auto load = [&](std::size_t index) -> route::EndpointLoad {
    const WorkerEndpoint& endpoint = *service.endpoints[index];
    const EndpointState& state = *endpoint.entry.state;
    const bool is_ejected = !state.is_well(now_us_);
    const bool was_tried = &endpoint == exchange.last_endpoint && service.endpoints.size() > 1;
    has_healthy = has_healthy || (!is_ejected && !was_tried);
    const std::uint32_t outstanding = state.outstanding.load(std::memory_order_relaxed);
    return {
        .outstanding = outstanding,
        .work = outstanding + state.elsewhere.load(std::memory_order_relaxed) +
                state.more_work.load(std::memory_order_relaxed),
        .is_usable = !was_tried && !(is_ejected && minds_ejection) && (!wants_adapter || has_adapter(exchange, index))};
  };
  std::optional<std::size_t> chosen = service.entry->picker.pick(draw(), load, wish);
  if (!chosen && !has_healthy) {
    // All others are ejected: one that may be broken is better than none.
    minds_ejection = false;
    chosen = service.entry->picker.pick(draw(), load, wish);
  }
  if (!chosen) return false;
  std::atomic<std::uint32_t>& outstanding = service.endpoints[*chosen]->entry.state->outstanding;
  const std::uint32_t limit = service.entry->value.limits.concurrency;
  const std::uint32_t before = outstanding.fetch_add(1);
  if (before >= limit && limit > 0) {
    // Another worker took the last place since we looked.
    outstanding.fetch_sub(1);
    return false;
  }
  if (is_worth_telling(before + 1, service.entry->value.target)) board_.demand->set();
  exchange.endpoint = service.endpoints[*chosen];
  if (exchange.tokens > 1) exchange.endpoint->entry.state->more_work.fetch_add(exchange.tokens - 1);
  if (!exchange.prefix.empty()) note_prefix(exchange);
  exchange.given_us = now_us_;
  ++exchange.attempts;
  return true;
}

void Worker::connect(Exchange& exchange) {
  if (exchange.attempts == 1) earn_hedge(*exchange.service);
  if (exchange.request_phase == RequestPhase::kComplete) {
    if (exchange.attempts == 1 && is_mirrored(exchange)) mirror(exchange);
    arm_response(exchange);
  } else {
    arm(exchange, body_timeout_ms(exchange));
  }
  reach_endpoint(exchange);
}

void Worker::reach_endpoint(Exchange& exchange) {
  Upstream* upstream = open_upstream(*exchange.endpoint);
  if (upstream == nullptr) {
    leave_endpoint(exchange, false);
    fail(exchange, 503, "the gateway has no descriptor left for a connection to a replica", 1);
    return;
  }
  upstream->exchange = &exchange;
  exchange.upstream = upstream;
  if (upstream->is_refused) {
    upstream_failed(exchange, "the replica cannot be reached");
  } else if (upstream->is_connected && flush_request(exchange)) {
    read_on(exchange);
  }
}

// One of the pool, or a new one that connects; nullptr: no descriptor.
Upstream* Worker::open_upstream(WorkerEndpoint& endpoint) {
  if (endpoint.entry.speaks_http2) return open_stream(endpoint);
  if (endpoint.idle != nullptr) {
    Upstream& upstream = *endpoint.idle;
    unlink_idle(upstream);
    upstream.is_reused = true;
    return &upstream;
  }
  const int fd = socket(endpoint.entry.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return nullptr;
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (free_upstreams_.empty()) free_upstreams_.push_back(&upstreams_.emplace_back());
  Upstream& upstream = *free_upstreams_.back();
  free_upstreams_.pop_back();
  upstream = Upstream{};
  upstream.fd = fd;
  upstream.is_writable = false;
  upstream.endpoint = &endpoint;
  ++endpoint.connections;
  counters_.upstreams.fetch_add(1, std::memory_order_relaxed);
  const int result =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&endpoint.entry.address), endpoint.entry.address_size);
  upstream.is_refused = (result != 0 && errno != EINPROGRESS) || !add_to_epoll(upstream);
  timers_.arm(upstream, now_us_ / 1000 + settings_.connect_timeout_ms);
  return &upstream;
}

// The request's body goes on once the replica has taken what there was.
void Worker::read_on(Exchange& exchange) {
  if (exchange.request_phase != RequestPhase::kComplete) read_request(exchange);
}

void Worker::serve_upstream(Upstream& upstream, std::uint32_t events) {
  constexpr std::uint32_t kGone = EPOLLERR | EPOLLHUP | EPOLLRDHUP;
  Exchange* exchange = upstream.exchange;
  if (exchange == nullptr) {
    char byte = 0;
    const bool is_quiet = (events & kGone) == 0 && recv(upstream.fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
    if (!is_quiet) close_upstream(upstream);
    return;
  }
  if (exchange->hedge == &upstream) return serve_hedge(*exchange, events);
  if (!upstream.is_connected) {
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
      upstream_failed(*exchange, "the replica refused the connection");
      return;
    }
    upstream.is_connected = true;
    timers_.disarm(upstream);
  }
  upstream.is_readable = upstream.is_readable || (events & (kGone | EPOLLIN)) != 0;
  upstream.is_writable = upstream.is_writable || (events & EPOLLOUT) != 0;
  upstream.has_hangup = upstream.has_hangup || (events & kGone) != 0;
  if (exchange->pending.empty()) pump_response(*exchange);
  if (upstream.exchange != exchange || exchange->upstream != &upstream) return;
  const bool has_unsent = exchange->request_sent < exchange->request.size();
  if (has_unsent && upstream.is_writable && !flush_request(*exchange)) return;
  read_on(*exchange);
}

// False when the replica failed: then the exchange is elsewhere, or ended.
bool Worker::flush_request(Exchange& exchange) {
  Upstream& upstream = *exchange.upstream;
  if (upstream.kind == SocketKind::kUpstreamStream) {
    if (!flush_stream(exchange, static_cast<UpstreamStream&>(upstream))) return false;
    note_sent(exchange);
    return true;
  }
  while (upstream.is_writable && exchange.request_sent < exchange.request.size()) {
    const std::string_view bytes = exchange.request.view().substr(exchange.request_sent);
    const ssize_t count = send(upstream.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      upstream.is_writable = false;
      break;
    }
    if (count < 0) {
      // It may have answered before it closed: then that answer counts.
      upstream.is_writable = false;
      upstream.is_readable = true;
      upstream.has_hangup = true;
      pump_response(exchange);
      return false;
    }
    exchange.request_sent += static_cast<std::size_t>(count);
    if (static_cast<std::size_t>(count) < bytes.size()) upstream.is_writable = false;
  }
  note_sent(exchange);
  return true;
}

// What the replica has taken is kept only as long as it may have to be sent again, or copied.
void Worker::note_sent(Exchange& exchange) {
  const bool will_be_copied = exchange.request_phase != RequestPhase::kComplete && is_mirrored(exchange);
  const std::size_t kept_bytes = will_be_copied ? kMaxMirrorBytes : kRepeatableBytes;
  if (!exchange.is_whole || exchange.request.size() > kept_bytes) {
    exchange.is_whole = false;
    exchange.request.consume(exchange.request_sent);
    exchange.request_sent = 0;
  }
  if (exchange.request_phase == RequestPhase::kComplete && exchange.request_sent == exchange.request.size()) {
    arm_response(exchange);
  } else {
    arm(exchange, body_timeout_ms(exchange));
  }
}

void Worker::upstream_failed(Exchange& exchange, std::string_view text) {
  Upstream& upstream = *exchange.upstream;
  WorkerEndpoint* endpoint = exchange.endpoint;
  // A pooled connection that the replica closed just now says nothing about the replica.
  const bool is_stale = upstream.is_reused;
  close_upstream(upstream);
  leave_endpoint(exchange, !is_stale);
  // The second that was asked takes over.
  if (exchange.hedge != nullptr) return adopt_hedge(exchange);
  const bool may_try = exchange.response_phase == ResponsePhase::kHead && exchange.response_head.empty() &&
                       exchange.is_whole && (exchange.may_repeat || exchange.request_sent == 0);
  // Pooled connections that were closed are used up one by one: that is no attempt at the replica.
  if (is_stale) ++exchange.stale_attempts;
  const bool has_budget = exchange.attempts - exchange.stale_attempts < kMaxAttempts && retry_tokens_ >= 1;
  if (may_try && (is_stale || has_budget)) {
    if (!is_stale) {
      retry_tokens_ -= 1;
      exchange.last_endpoint = endpoint;
    }
    exchange.service->counters->retries.add(1);
    exchange.request_sent = 0;
    dispatch(exchange);
    return;
  }
  if (exchange.response_phase == ResponsePhase::kHead) {
    fail(exchange, 502, text);
    return;
  }
  exchange.has_failed = true;
  cut_answer(exchange, 502, text);
}

void Worker::close_upstream(Upstream& upstream) {
  if (upstream.kind == SocketKind::kUpstreamStream) {
    close_stream(static_cast<UpstreamStream&>(upstream));
    return;
  }
  if (upstream.exchange != nullptr) {
    // Not so for a hedge.
    if (upstream.exchange->upstream == &upstream) upstream.exchange->upstream = nullptr;
    upstream.exchange = nullptr;
  } else {
    unlink_idle(upstream);
  }
  timers_.disarm(upstream);
  close(upstream.fd);
  upstream.fd = -1;
  --upstream.endpoint->connections;
  if (!upstream.endpoint->is_listed) has_unlisted_ = true;
  counters_.upstreams.fetch_sub(1, std::memory_order_relaxed);
  closed_upstreams_.push_back(&upstream);
}

void Worker::park_upstream(Upstream& upstream) {
  WorkerEndpoint& endpoint = *upstream.endpoint;
  if (!endpoint.is_listed || endpoint.idle_count >= settings_.max_idle_upstreams || is_draining_) {
    close_upstream(upstream);
    return;
  }
  upstream.exchange->upstream = nullptr;
  upstream.exchange = nullptr;
  upstream.idle_previous = nullptr;
  upstream.idle_next = endpoint.idle;
  if (endpoint.idle != nullptr) endpoint.idle->idle_previous = &upstream;
  endpoint.idle = &upstream;
  ++endpoint.idle_count;
  timers_.arm(upstream, now_us_ / 1000 + idle_ms_of(upstream));
}

// Between half and all of the limit, always the same for one connection, which makes its next deadline a later one.
// What a burst opened would otherwise be closed in one moment, with all other requests waiting for it.
std::int64_t Worker::idle_ms_of(const Upstream& upstream) const {
  const std::uint32_t share =
      static_cast<std::uint32_t>(upstream.fd) * 0x9e3779b1U >> 16;  // Fibonacci hashing, 0..65535
  return settings_.upstream_idle_ms - ((settings_.upstream_idle_ms / 2 * share) >> 16);
}

void Worker::unlink_idle(Upstream& upstream) {
  WorkerEndpoint& endpoint = *upstream.endpoint;
  (upstream.idle_previous != nullptr ? upstream.idle_previous->idle_next : endpoint.idle) = upstream.idle_next;
  if (upstream.idle_next != nullptr) upstream.idle_next->idle_previous = upstream.idle_previous;
  upstream.idle_previous = upstream.idle_next = nullptr;
  --endpoint.idle_count;
}

bool Worker::has_adapter(const Exchange& exchange, std::size_t index) const {
  if (exchange.adapter.empty()) return true;
  const std::vector<std::string>& loaded = exchange.service->entry->value.endpoints[index].adapters;
  return std::find(loaded.begin(), loaded.end(), exchange.adapter) != loaded.end();
}

void Worker::take_place(const Exchange& exchange, WorkerEndpoint& endpoint) {
  EndpointState& state = *endpoint.entry.state;
  state.outstanding.fetch_add(1);
  if (exchange.tokens > 1) state.more_work.fetch_add(exchange.tokens - 1);
}

void Worker::give_place(const Exchange& exchange, WorkerEndpoint& endpoint) {
  EndpointState& state = *endpoint.entry.state;
  state.outstanding.fetch_sub(1);
  if (exchange.tokens > 1) state.more_work.fetch_sub(exchange.tokens - 1);
  if (!endpoint.is_listed) has_unlisted_ = true;
  offer_place(*exchange.service);
}

// The replica is done with this request, one way or the other.
void Worker::leave_endpoint(Exchange& exchange, bool has_failed) {
  if (exchange.endpoint == nullptr) return;
  WorkerEndpoint& endpoint = *std::exchange(exchange.endpoint, nullptr);
  EndpointState& state = *endpoint.entry.state;
  state.finished.fetch_add(1, std::memory_order_relaxed);
  if (has_failed) state.failed.fetch_add(1, std::memory_order_relaxed);
  const auto busy_us = static_cast<std::uint64_t>(now_us_ - exchange.given_us);
  state.busy_us.fetch_add(busy_us, std::memory_order_relaxed);
  exchange.service->counters->busy_us.add(busy_us);
  if (exchange.service->entry->has_revisions) {
    state.latency[route::LatencySketch::bucket_of(busy_us)].fetch_add(1, std::memory_order_relaxed);
  }
  judge(state, has_failed);
  give_place(exchange, endpoint);
}

// Outlier ejection: three failures in a row take a replica out for a second, then two, four ... up to 32.
void Worker::judge(EndpointState& endpoint, bool has_failed) {
  if (!has_failed) {
    if (endpoint.failures.load(std::memory_order_relaxed) != 0) {
      endpoint.failures.store(0, std::memory_order_relaxed);
      endpoint.ejections.store(0, std::memory_order_relaxed);
    }
    return;
  }
  if (endpoint.failures.fetch_add(1, std::memory_order_relaxed) + 1 < kFailuresToEject) return;
  const std::uint32_t doublings =
      std::min(endpoint.ejections.fetch_add(1, std::memory_order_relaxed), kMaxEjectionDoublings);
  endpoint.ejected_until_us.store(now_us_ + (kFirstEjectionUs << doublings), std::memory_order_relaxed);
}

}  // namespace busbar::gateway::internal
