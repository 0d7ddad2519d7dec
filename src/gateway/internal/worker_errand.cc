// What a worker sends to replicas beside its clients' requests: copies of them for another service, and health checks.
// An errand has a connection of its own that is closed behind it, so its answer need not be understood to its end.

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "gateway/internal/worker.h"

namespace busbar::gateway::internal {
namespace {

/// Copies under way at once, of each worker: beyond, requests are not copied.
constexpr std::size_t kMaxMirrors = 64;
constexpr std::int64_t kMirrorMs = 60'000;
constexpr std::uint32_t kFailuresToBeSick = 3;
constexpr std::size_t kStatusLineBytes = 12;
constexpr std::size_t kKeptErrandBytes = 8 << 10;

}  // namespace

// Once, when all of it has come; what has gone to a replica of it is still here too, unless it was too much.
void Worker::mirror(const Exchange& exchange) {
  const model::Mirror& wanted = exchange.service->entry->value.traffic.mirror;
  if (draw() % 100 >= wanted.percent) return;
  const int index = directory_->by_name(wanted.to);
  const bool is_whole = exchange.is_whole && !exchange.is_upgrade;
  if (index < 0 || !is_whole || mirrors_ >= kMaxMirrors || exchange.request.size() > kMaxMirrorBytes) {
    exchange.service->counters->mirrors_dropped.add(1);
    return;
  }
  WorkerService& service = *services_[static_cast<std::size_t>(index)];
  const auto load = [&service, this](std::size_t at) -> route::EndpointLoad {
    const EndpointState& state = *service.endpoints[at]->entry.state;
    const std::uint32_t outstanding = state.outstanding.load(std::memory_order_relaxed);
    return {.outstanding = outstanding, .work = outstanding, .is_usable = state.is_well(now_us_)};
  };
  const auto chosen = service.entry->picker.pick(draw(), load);
  Errand* errand = chosen ? start_errand(*service.endpoints[*chosen], kMirrorMs) : nullptr;
  if (errand == nullptr) {
    exchange.service->counters->mirrors_dropped.add(1);
    return;
  }
  errand->is_mirror = true;
  ++mirrors_;
  errand->state->outstanding.fetch_add(1);
  exchange.service->counters->mirrors.add(1);
  // The same request, which asks for the connection to be closed.
  const std::string_view request = exchange.request.view();
  const std::size_t head_end = std::min(request.find("\r\n\r\n"), request.size());
  errand->request.append(request.substr(0, head_end));
  errand->request.append("\r\nX-Busbar-Mirror: ");
  errand->request.append(exchange.service->entry->value.name);
  errand->request.append("\r\nConnection: close");
  errand->request.append(request.substr(head_end));
  if (service.endpoints[*chosen]->entry.speaks_http2) frame_errand(*errand);
}

// Asks the replicas of services that have a health check; the first worker does it for all.
void Worker::probe_replicas() {
  next_probe_us_ = kNeverUs;
  for (WorkerService* service : services_) {
    const route::HealthProbe& health = service->entry->value.health;
    if (health.path.empty()) continue;
    const bool is_due = now_us_ >= service->next_probe_us;
    if (is_due) service->next_probe_us = now_us_ + std::max<std::int64_t>(health.every_ms, 10) * 1'000;
    next_probe_us_ = std::min(next_probe_us_, service->next_probe_us);
    if (!is_due) continue;
    for (WorkerEndpoint* endpoint : service->endpoints) {
      if (endpoint->entry.state->is_probed) continue;
      Errand* errand = start_errand(*endpoint, health.timeout_ms);
      if (errand == nullptr) continue;
      endpoint->entry.state->is_probed = true;
      errand->request.append("GET ");
      errand->request.append(health.path);
      errand->request.append(" HTTP/1.1\r\nHost: busbar\r\nUser-Agent: busbar-gateway\r\nConnection: close\r\n\r\n");
      if (endpoint->entry.speaks_http2) frame_errand(*errand);
    }
  }
}

// nullptr: no descriptor, or it cannot be reached at all.
Errand* Worker::start_errand(const WorkerEndpoint& endpoint, std::int64_t timeout_ms) {
  const int fd = socket(endpoint.entry.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return nullptr;
  if (free_errands_.empty()) free_errands_.push_back(&errands_.emplace_back());
  Errand& errand = *free_errands_.back();
  const auto* address = reinterpret_cast<const sockaddr*>(&endpoint.entry.address);
  const bool is_going = ::connect(fd, address, endpoint.entry.address_size) == 0 || errno == EINPROGRESS;
  errand.fd = fd;
  if (!is_going || !add_to_epoll(errand)) {
    close(fd);
    errand.fd = -1;
    return nullptr;
  }
  free_errands_.pop_back();
  errand.state = endpoint.entry.state;
  errand.is_mirror = false;
  errand.status_line.clear();
  timers_.arm(errand, now_us_ / 1000 + timeout_ms);
  return &errand;
}

// The same request for a replica that speaks HTTP/2.
void Worker::frame_errand(Errand& errand) {
  errand.http2 = std::make_shared<Http2Errand>();
  Http2Errand& own = *errand.http2;
  own.exchange.request.append(errand.request.view());
  errand.request.clear();
  own.exchange.upstream = &own.stream;
  own.exchange.request_phase = RequestPhase::kComplete;
  own.exchange.takes_trailers = true;
  own.stream.exchange = &own.exchange;
  own.session.add(own.stream);
  const std::string_view request = own.exchange.request.view();
  own.exchange.request_sent = HeadParser::head_size(request, 0);
  const bool is_fine = !parser_.parse_request(request.substr(0, own.exchange.request_sent)).is_fault();
  own.stream.is_closed = !is_fine || !own.session.begin(own.stream, parser_.request());
}

void Worker::serve_framed_errand(Errand& errand, std::uint32_t events) {
  Http2Errand& own = *errand.http2;
  while ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    const ssize_t count = recv(errand.fd, scratch_.get(), kScratchBytes, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count <= 0) return finish_errand(errand);
    const bool goes_on = own.session.feed(std::string_view(scratch_.get(), static_cast<std::size_t>(count)));
    own.session.consume(own.stream, own.stream.body.size());
    own.stream.body.clear();
    if (own.stream.has_head) errand.status_line.assign(own.stream.head, 0, kStatusLineBytes);
    const bool knows_enough = !errand.is_mirror && own.stream.has_head;
    if (!goes_on || knows_enough || own.stream.has_ended) return finish_errand(errand);
  }
  while (!own.stream.is_closed && own.session.fill() && !own.session.output().empty()) {
    const std::string_view bytes = own.session.output();
    const ssize_t count = send(errand.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) return finish_errand(errand);
    own.session.sent(static_cast<std::size_t>(count));
  }
  if (own.stream.is_closed) finish_errand(errand);
}

void Worker::serve_errand(Errand& errand, std::uint32_t events) {
  if (errand.http2 != nullptr) return serve_framed_errand(errand, events);
  if ((events & EPOLLOUT) != 0) {
    while (!errand.request.empty()) {
      const std::string_view bytes = errand.request.view();
      const ssize_t count = send(errand.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EAGAIN) break;
      if (count < 0) return finish_errand(errand);
      errand.request.consume(static_cast<std::size_t>(count));
    }
  }
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) return;
  while (true) {
    const ssize_t count = recv(errand.fd, scratch_.get(), kScratchBytes, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return finish_errand(errand);
    if (errand.is_mirror) continue;
    errand.status_line.append(scratch_.get(), std::min(static_cast<std::size_t>(count), kStatusLineBytes));
    if (errand.status_line.size() >= kStatusLineBytes) return finish_errand(errand);
  }
}

// Whatever came of it. A mirrored answer says nothing to anybody; a health check judges the replica.
void Worker::finish_errand(Errand& errand) {
  EndpointState& state = *errand.state;
  if (errand.is_mirror) {
    --mirrors_;
    state.outstanding.fetch_sub(1);
    // Who waits for a place at that replica may have it.
    for (WorkerService* service : services_) {
      if (!service->waiting.empty()) mark_ready(*service);
      wake_others(*service);
    }
  } else {
    const std::string_view line = errand.status_line;
    const bool is_well = line.size() >= kStatusLineBytes && line.starts_with("HTTP/1.") && line[9] == '2';
    state.is_probed = false;
    state.failed_probes = is_well ? 0 : state.failed_probes + 1;
    state.is_sick.store(state.failed_probes >= kFailuresToBeSick, std::memory_order_relaxed);
    // It answers again: no need to wait until its ejection is over.
    if (is_well) state.ejected_until_us.store(0, std::memory_order_relaxed);
  }
  timers_.disarm(errand);
  close(errand.fd);
  errand.fd = -1;
  errand.state.reset();
  errand.http2.reset();
  errand.request.trim(kKeptErrandBytes);
  closed_errands_.push_back(&errand);
}

}  // namespace busbar::gateway::internal
