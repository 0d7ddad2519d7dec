// Replicas that speak HTTP/2: connections that requests share.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "gateway/internal/grpc.h"
#include "gateway/internal/worker.h"

namespace busbar::gateway::internal {
namespace {

constexpr int kReadsAtOnce = 16;
constexpr int kFlushesAtOnce = 16;
constexpr std::size_t kKeptStreamBytes = 8 << 10;
constexpr std::uint32_t kMaxGoodbyes = 3;
/// A replica that lets a request down and says nothing meanwhile is perhaps not there any more.
constexpr std::int64_t kSilenceUs = 1'000'000;

bool has_room(const Trunk& trunk) {
  return !trunk.is_retired && trunk.session->streams().size() < trunk.session->limit();
}

}  // namespace

// A place on a connection that there is, or on a new one; nullptr: no descriptor.
Upstream* Worker::open_stream(WorkerEndpoint& endpoint) {
  const auto found =
      std::find_if(endpoint.trunks.begin(), endpoint.trunks.end(), [](const Trunk* trunk) { return has_room(*trunk); });
  Trunk* const trunk = found != endpoint.trunks.end() ? *found : open_trunk(endpoint);
  if (trunk == nullptr) return nullptr;
  if (free_streams_.empty()) free_streams_.push_back(&streams_.emplace_back());
  UpstreamStream& stream = *free_streams_.back();
  free_streams_.pop_back();
  static_cast<Upstream&>(stream) = Upstream{};
  static_cast<UpstreamStreamState&>(stream) = {};
  stream.kind = SocketKind::kUpstreamStream;
  stream.endpoint = &endpoint;
  stream.trunk = trunk;
  stream.is_connected = trunk->is_ready;
  stream.is_reused = trunk->has_answered;
  stream.is_refused = trunk->is_retired;
  ++endpoint.connections;
  trunk->session->add(stream);
  if (trunk->is_ready) timers_.disarm(*trunk);
  return &stream;
}

Trunk* Worker::open_trunk(WorkerEndpoint& endpoint) {
  const int fd = socket(endpoint.entry.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return nullptr;
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (free_trunks_.empty()) free_trunks_.push_back(&trunks_.emplace_back());
  Trunk& trunk = *free_trunks_.back();
  free_trunks_.pop_back();
  trunk = Trunk{};
  trunk.fd = fd;
  trunk.is_writable = false;
  trunk.endpoint = &endpoint;
  trunk.session = std::make_unique<UpstreamSession>();
  endpoint.trunks.push_back(&trunk);
  ++endpoint.connections;
  counters_.upstreams.fetch_add(1, std::memory_order_relaxed);
  const int result =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&endpoint.entry.address), endpoint.entry.address_size);
  // Refused at once: it goes with the request that it was opened for.
  trunk.is_retired = (result != 0 && errno != EINPROGRESS) || !add_to_epoll(trunk);
  timers_.arm(trunk, now_us_ / 1000 + settings_.connect_timeout_ms);
  return &trunk;
}

void Worker::serve_trunk(Trunk& trunk, std::uint32_t events) {
  constexpr std::uint32_t kGone = EPOLLERR | EPOLLHUP | EPOLLRDHUP;
  if (!trunk.is_connected) {
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) return trunk_failed(trunk, "the replica refused the connection");
    trunk.is_connected = true;
  }
  trunk.is_readable = trunk.is_readable || (events & (kGone | EPOLLIN)) != 0;
  trunk.is_writable = trunk.is_writable || (events & EPOLLOUT) != 0;
  trunk.has_hangup = trunk.has_hangup || (events & kGone) != 0;
  read_trunk(trunk);
  if (trunk.fd >= 0) mark_dirty(trunk);
}

void Worker::read_trunk(Trunk& trunk) {
  for (int round = 0; trunk.fd >= 0 && trunk.is_readable; ++round) {
    if (round == kReadsAtOnce) {
      // Others want to be served too.
      mark_dirty(trunk);
      return;
    }
    const ssize_t count = recv(trunk.fd, scratch_.get(), kScratchBytes, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      trunk.is_readable = false;
      return;
    }
    if (count < 0) return trunk_failed(trunk, "the replica reset the connection");
    if (count == 0) return trunk_failed(trunk, "the replica closed the connection without an answer");
    if (static_cast<std::size_t>(count) < kScratchBytes && !trunk.has_hangup) trunk.is_readable = false;
    feed_trunk(trunk, std::string_view(scratch_.get(), static_cast<std::size_t>(count)));
  }
}

void Worker::feed_trunk(Trunk& trunk, std::string_view bytes) {
  trunk.heard_us = now_us_;
  const bool goes_on = trunk.session->feed(bytes);
  // Those that it leaves out with a goodbye must not come back to it.
  if (trunk.session->is_ending()) trunk.is_retired = true;
  serve_touched(trunk);
  if (trunk.fd < 0) return;
  if (!goes_on) return trunk_failed(trunk, "the replica broke the rules of HTTP/2");
  if (!trunk.is_ready && trunk.session->has_settings()) trunk_ready(trunk);
  if (trunk.fd >= 0 && trunk.is_retired) retire(trunk);
  if (trunk.fd >= 0) mark_dirty(trunk);
}

// Its settings have come: the requests that waited for them may go, as many as it lets in.
void Worker::trunk_ready(Trunk& trunk) {
  trunk.is_ready = true;
  timers_.disarm(trunk);
  const std::size_t limit = trunk.session->limit();
  if (limit == 0) return trunk_failed(trunk, "the replica lets no requests in");
  std::size_t begun = 0;
  for (UpstreamStream* stream : std::vector<UpstreamStream*>(trunk.session->streams())) {
    if (stream->trunk != &trunk || stream->exchange == nullptr) continue;
    if (begun == limit) {
      move_stream(*stream);
      continue;
    }
    ++begun;
    stream->is_connected = true;
    Exchange& exchange = *stream->exchange;
    if (exchange.hedge == stream) {
      flush_hedge(exchange);
    } else if (flush_request(exchange)) {
      read_on(exchange);
    }
  }
  if (trunk.fd >= 0) tend(trunk);
}

// It takes no more requests; those that have not begun go elsewhere.
void Worker::retire(Trunk& trunk) {
  trunk.is_retired = true;
  for (UpstreamStream* stream : std::vector<UpstreamStream*>(trunk.session->streams())) {
    if (stream->trunk == &trunk && stream->exchange != nullptr && stream->id == 0) move_stream(*stream);
  }
  if (trunk.fd >= 0) tend(trunk);
}

void Worker::move_stream(UpstreamStream& stream) {
  Exchange& exchange = *stream.exchange;
  if (exchange.hedge == &stream) return drop_hedge(exchange);
  close_upstream(stream);
  reach_endpoint(exchange);
}

// One that has no request is closed when it is not wanted, or not used for long.
void Worker::tend(Trunk& trunk) {
  if (!trunk.session->streams().empty()) return;
  if (trunk.is_retired || !trunk.endpoint->is_listed || is_draining_) {
    trunk.session->end();
    if (trunk.is_connected && trunk.is_writable && trunk.session->fill()) {
      const std::string_view output = trunk.session->output();
      static_cast<void>(send(trunk.fd, output.data(), output.size(), MSG_NOSIGNAL));
    }
    close_trunk(trunk);
  } else if (trunk.is_ready) {
    timers_.arm(trunk, now_us_ / 1000 + settings_.upstream_idle_ms);
  }
}

void Worker::close_trunk(Trunk& trunk) {
  timers_.disarm(trunk);
  close(trunk.fd);
  trunk.fd = -1;
  WorkerEndpoint& endpoint = *trunk.endpoint;
  std::erase(endpoint.trunks, &trunk);
  std::erase(dirty_trunks_, &trunk);
  --endpoint.connections;
  if (!endpoint.is_listed) has_unlisted_ = true;
  counters_.upstreams.fetch_sub(1, std::memory_order_relaxed);
  closed_trunks_.push_back(&trunk);
}

// All its requests fail, each by its own rules; what has come of their answers is still theirs.
void Worker::trunk_failed(Trunk& trunk, std::string_view text) {
  if (trunk.is_connected && !trunk.is_ready)
    text = "the replica does not speak HTTP/2, or closed the connection at once";
  const std::vector<UpstreamStream*> streams = trunk.session->streams();
  for (UpstreamStream* stream : streams) {
    stream->trunk = nullptr;
    stream->is_closed = true;
    stream->failure = text;
  }
  close_trunk(trunk);
  for (UpstreamStream* stream : streams) serve_stream(*stream);
}

void Worker::trunk_expired(Trunk& trunk) {
  if (!trunk.is_ready) {
    trunk_failed(trunk, "the replica did not accept the connection in time");
  } else if (trunk.session->streams().empty()) {
    trunk.is_retired = true;
    tend(trunk);
  }
}

void Worker::mark_dirty(Trunk& trunk) {
  if (trunk.is_dirty) return;
  trunk.is_dirty = true;
  dirty_trunks_.push_back(&trunk);
}

void Worker::flush_trunks() {
  const std::vector<Trunk*> dirty = std::exchange(dirty_trunks_, {});
  for (Trunk* trunk : dirty) trunk->is_dirty = false;
  for (Trunk* trunk : dirty) {
    if (trunk->fd >= 0 && trunk->is_readable) read_trunk(*trunk);
    if (trunk->fd >= 0 && trunk->is_connected) flush_trunk(*trunk);
  }
}

void Worker::flush_trunk(Trunk& trunk) {
  UpstreamSession& session = *trunk.session;
  for (int round = 0; trunk.fd >= 0 && trunk.is_writable; ++round) {
    if (round == kFlushesAtOnce) return mark_dirty(trunk);
    if (!session.fill()) return trunk_failed(trunk, "the replica broke the rules of HTTP/2");
    const std::size_t size = session.output().size();
    if (size > 0) {
      const ssize_t count = send(trunk.fd, session.output().data(), size, MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno != EAGAIN) return trunk_failed(trunk, "the replica reset the connection");
      const std::size_t sent = count < 0 ? 0 : static_cast<std::size_t>(count);
      trunk.is_writable = sent == size;
      session.sent(sent);
    }
    // Requests whose bytes are on their way read on from their clients.
    serve_touched(trunk);
    if (size == 0) break;
  }
  if (trunk.fd >= 0 && session.is_over()) trunk_failed(trunk, "the replica ended the connection");
}

void Worker::serve_touched(Trunk& trunk) {
  for (UpstreamStream* stream : trunk.session->take_touched()) serve_stream(*stream);
}

// Everything that this request's replica has brought about.
void Worker::serve_stream(UpstreamStream& stream) {
  Exchange* const exchange = stream.exchange;
  if (exchange == nullptr) return;
  if (stream.has_head && stream.trunk != nullptr) stream.trunk->has_answered = true;
  if (exchange->hedge == &stream) {
    if (stream.has_head) {
      exchange->service->counters->hedges_won.add(1);
      take_hedge(*exchange);
      pump_response(*exchange);
    } else if (stream.is_closed) {
      drop_hedge(*exchange);
    }
    return;
  }
  if (exchange->pending.empty()) pump_stream(*exchange, stream);
  if (stream.exchange != exchange || exchange->upstream != &stream) return;
  if (std::exchange(stream.was_read, false)) note_sent(*exchange);
  read_on(*exchange);
}

// False: it could not begin, and the exchange is elsewhere, or ended.
bool Worker::begin_stream(Exchange& exchange, UpstreamStream& stream) {
  const bool is_hedge = exchange.hedge == &stream;
  const std::string_view bytes = exchange.request.view();
  const std::size_t size = HeadParser::head_size(bytes, 0);
  if (parser_.parse_request(bytes.substr(0, size)).is_fault()) {
    // What we add to it made it one too many.
    if (is_hedge) {
      drop_hedge(exchange);
    } else {
      fail(exchange, 431, "more than 100 header fields, with those that the gateway adds");
    }
    return false;
  }
  stream.begun_us = now_us_;
  if (!stream.trunk->session->begin(stream, parser_.request())) {
    stream.trunk->is_retired = true;
    move_stream(stream);
    return false;
  }
  (is_hedge ? exchange.hedge_sent : exchange.request_sent) = size;
  return true;
}

// As flush_request, which it is a part of.
bool Worker::flush_stream(Exchange& exchange, UpstreamStream& stream) {
  if (stream.trunk == nullptr || stream.is_closed) return true;
  if (stream.id != 0) {
    stream.trunk->session->resume(stream);
  } else if (!begin_stream(exchange, stream)) {
    return false;
  }
  mark_dirty(*stream.trunk);
  return true;
}

void Worker::pump_stream(Exchange& exchange, UpstreamStream& stream) {
  if (stream.has_head && !stream.head.empty()) {
    // What has come of the body goes along with it.
    std::string first = std::exchange(stream.head, {});
    const std::size_t size = stream.body.size();
    first.append(stream.body.view());
    if (!take_response(exchange, first) || exchange.upstream != &stream) return;
    consume(stream, size);
  }
  while (exchange.pending.empty() && !stream.body.empty()) {
    const std::size_t size = stream.body.size();
    if (!take_response(exchange, stream.body.view()) || exchange.upstream != &stream) return;
    consume(stream, size);
  }
  if (!stream.body.empty()) return;
  if (stream.has_ended) {
    end_stream(exchange, stream);
  } else if (stream.is_closed) {
    stream_failed(exchange, stream);
  }
}

// The replica may send as much again.
void Worker::consume(UpstreamStream& stream, std::size_t bytes) {
  stream.body.consume(bytes);
  if (stream.trunk == nullptr || bytes == 0) return;
  stream.trunk->session->consume(stream, bytes);
  mark_dirty(*stream.trunk);
}

// The answer is complete, with its trailers.
void Worker::end_stream(Exchange& exchange, UpstreamStream& stream) {
  if (exchange.is_grpc && !stream.trailers.empty()) {
    exchange.grpc_status = static_cast<std::int16_t>(find_grpc_status(stream.trailers));
  }
  if (exchange.client->kind == SocketKind::kStream) {
    static_cast<Stream&>(*exchange.client).answer_trailers = stream.trailers;
  } else if (exchange.rechunks_response) {
    std::string last = "0\r\n";
    if (exchange.takes_trailers) last += stream.trailers;
    last += "\r\n";
    if (!send_client(exchange, {}, last)) return;
  }
  finish_response(exchange, false);
}

void Worker::stream_failed(Exchange& exchange, UpstreamStream& stream) {
  if (stream.is_too_long) {
    response_broken(exchange, "the replica's answer has a head or trailers longer than 32 KiB");
    return;
  }
  // A connection that served others and ended just now says nothing about the replica; a reset of this request does.
  const bool is_goodbye = stream.trunk == nullptr || stream.trunk->is_retired;
  if (!is_goodbye || exchange.stale_attempts >= kMaxGoodbyes) stream.is_reused = false;
  if (stream.is_unprocessed) exchange.request_sent = 0;
  upstream_failed(exchange, stream.failure.empty() ? "the replica reset the request" : stream.failure);
}

void Worker::close_stream(UpstreamStream& stream) {
  if (stream.exchange != nullptr) {
    // Not so for a hedge.
    if (stream.exchange->upstream == &stream) stream.exchange->upstream = nullptr;
    stream.exchange = nullptr;
  }
  WorkerEndpoint& endpoint = *stream.endpoint;
  --endpoint.connections;
  if (!endpoint.is_listed) has_unlisted_ = true;
  closed_streams_.push_back(&stream);
  Trunk* const trunk = std::exchange(stream.trunk, nullptr);
  if (trunk == nullptr) return;
  trunk->session->remove(stream);
  mark_dirty(*trunk);
  const bool is_silent =
      stream.id != 0 && !stream.has_head && trunk->heard_us < stream.begun_us && now_us_ - stream.begun_us > kSilenceUs;
  if (is_silent) trunk->is_retired = true;
  tend(*trunk);
}

// At the end of a round: nothing of it points at these any more.
void Worker::recycle_trunks() {
  for (UpstreamStream* stream : closed_streams_) {
    stream->head.clear();
    stream->trailers.clear();
    stream->body.trim(kKeptStreamBytes);
    free_streams_.push_back(stream);
  }
  closed_streams_.clear();
  for (Trunk* trunk : closed_trunks_) {
    trunk->session.reset();
    free_trunks_.push_back(trunk);
  }
  closed_trunks_.clear();
}

}  // namespace busbar::gateway::internal
