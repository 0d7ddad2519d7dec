// Connections that speak HTTP/2: each stream is the client of an exchange.

#include <cerrno>

#include "gateway/internal/worker.h"

namespace busbar::gateway::internal {
namespace {

constexpr int kReadsAtOnce = 16;
constexpr int kFlushesAtOnce = 16;
constexpr std::size_t kKeptBytes = 64 << 10;
/// Frames for a client that asks and does not read: then it is not read either.
constexpr std::size_t kMaxUnsentBytes = 128 << 10;
constexpr std::int64_t kLastRequestsMs = 1'000;

}  // namespace

void Worker::open_http2(Client& client) {
  Channel* channel = channel_of(client);
  if (channel == nullptr) channel = &open_channel(client);
  channel->http2 = std::make_unique<Http2Session>(client);
  counters_.http2_connections.add(1);
  if (is_draining_) drain_http2(client);
  mark_dirty(client);
}

// The preface of HTTP/2 in place of a first request: the connection is one of streams from now on.
void Worker::switch_to_http2(Exchange& exchange, std::string_view bytes) {
  Client& client = *exchange.client;
  const std::string first(bytes);
  exchange.input.clear();
  exchange.input_taken = 0;
  end_exchange(exchange);
  open_http2(client);
  if (feed_http2(client, first)) serve_http2(client);
}

// False: closed.
bool Worker::feed_http2(Client& client, std::string_view bytes) {
  Http2Session& session = *channel_of(client)->http2;
  const bool goes_on = session.feed(bytes, now_us_);
  serve_touched(session);
  if (goes_on) return true;
  flush_http2(client);
  close_client(client);
  return false;
}

void Worker::serve_http2(Client& client) {
  Http2Session& session = *channel_of(client)->http2;
  // What comes while it ends must not put the end off.
  if (!session.is_ending()) timers_.arm(client, now_us_ / 1000 + settings_.idle_timeout_ms);
  if (!session.output().empty() && client.is_writable) flush_http2(client);
  for (int round = 0; client.fd >= 0 && client.is_readable; ++round) {
    if (session.output().size() > kMaxUnsentBytes) break;
    if (round == kReadsAtOnce) {
      resumed_clients_.push_back(&client);
      break;
    }
    const ssize_t count = receive(client);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count <= 0) {
      close_client(client);
      return;
    }
    if (!feed_http2(client, std::string_view(scratch_.get(), static_cast<std::size_t>(count)))) return;
  }
  if (client.fd >= 0) mark_dirty(client);
}

void Worker::serve_touched(Http2Session& session) {
  for (Stream* stream : session.take_touched()) serve_stream(*stream);
}

void Worker::mark_dirty(Client& client) {
  Channel& channel = *channel_of(client);
  if (channel.is_dirty) return;
  channel.is_dirty = true;
  dirty_clients_.push_back(&client);
}

// Once for all that a round of the loop has brought: many frames in one call.
void Worker::flush_dirty() {
  for (Client* client : std::exchange(dirty_clients_, {})) {
    Channel* const channel = client->fd < 0 ? nullptr : channel_of(*client);
    if (channel == nullptr || channel->http2 == nullptr || !channel->is_dirty) continue;
    channel->is_dirty = false;
    flush_http2(*client);
  }
}

void Worker::flush_http2(Client& client) {
  Http2Session& session = *channel_of(client)->http2;
  for (int round = 0; client.is_writable; ++round) {
    if (round == kFlushesAtOnce) {
      mark_dirty(client);
      return;
    }
    if (!session.fill()) {
      close_client(client);
      return;
    }
    const std::string_view output = session.output();
    if (!output.empty()) {
      const ssize_t count = transmit(client, output, {});
      if (count < 0 && errno != EAGAIN && errno != EINTR) {
        close_client(client);
        return;
      }
      const std::size_t sent = count < 0 ? 0 : static_cast<std::size_t>(count);
      client.is_writable = sent == output.size();
      session.sent(sent);
    }
    // Streams whose bytes are on their way read on from their replicas.
    serve_touched(session);
    if (output.empty()) break;
  }
  if (session.is_over()) close_client(client);
}

void Worker::wake(Stream& stream) {
  stream.session->resume(stream);
  mark_dirty(*stream.connection);
}

// The client may send as much again, and has to be told: it may be the replica that took it, with no frame of the
// client's on its way.
void Worker::consume(Stream& stream, std::size_t bytes) {
  stream.session->consume(stream, bytes);
  if (bytes > 0) mark_dirty(*stream.connection);
}

// Everything that this stream may do now.
void Worker::serve_stream(Stream& stream) {
  if (stream.fd < 0) return;
  if (stream.is_closed) {
    if (stream.exchange != nullptr) {
      client_gone(stream);
    } else {
      timers_.disarm(stream);
      stream.session->forget(stream);
    }
    return;
  }
  if (!stream.has_begun) {
    if (!stream.has_head) {
      if (!stream.is_armed()) timers_.arm(stream, now_us_ / 1000 + settings_.head_timeout_ms);
      return;
    }
    begin_stream(stream);
  }
  Exchange* const exchange = stream.exchange;
  if (exchange == nullptr) {
    consume(stream, stream.body.size());
    return;
  }
  if (exchange->request_phase != RequestPhase::kComplete) take_stream_body(stream, *exchange);
  if (stream.exchange != exchange || !exchange->pending.empty()) return;
  if (exchange->response_phase == ResponsePhase::kComplete) {
    finish_if_done(*exchange);
  } else if (exchange->upstream != nullptr && exchange->upstream->is_connected) {
    pump_response(*exchange);
  }
}

void Worker::begin_stream(Stream& stream) {
  timers_.disarm(stream);
  stream.has_begun = true;
  Exchange& exchange = exchange_of(stream);
  exchange.arrived_us = now_us_;
  counters_.requests.add(1);
  HeadFault fault;
  if (stream.is_head_too_long) {
    fault = {.status = 431, .text = "the request's head is longer than 32 KiB"};
  } else if (stream.has_two_hosts) {
    fault = {.status = 400, .text = ":authority and Host name different hosts"};
  } else {
    fault = parser_.parse_request(stream.head);
  }
  if (fault.is_fault()) {
    counters_.refused.add(1);
    fail(exchange, fault.status, fault.text);
    return;
  }
  note_request(exchange, parser_.request());
  exchange.keeps_alive = false;  // There is no next request behind this one.
  route_request(exchange, parser_.request(), stream.head.size());
}

// Passes on what has come of the body, as far as the replica takes it; the rest keeps the stream's window small.
void Worker::take_stream_body(Stream& stream, Exchange& exchange) {
  const auto wants_body = [&exchange] {
    return exchange.request_phase == RequestPhase::kBody || exchange.request_phase == RequestPhase::kGathering;
  };
  while (wants_body() && exchange.response_phase != ResponsePhase::kComplete && !stream.body.empty()) {
    const bool is_full = exchange.request.size() - exchange.request_sent > kKeptBytes;
    if (exchange.is_waiting || (is_full && exchange.request_phase != RequestPhase::kGathering)) return;
    const std::size_t used = take_body(exchange, stream.body.view());
    consume(stream, used);
    if (stream.exchange != &exchange) return;
  }
  if (exchange.response_phase == ResponsePhase::kComplete) {
    consume(stream, stream.body.size());
    return;
  }
  if (wants_body() && stream.has_ended && stream.body.empty()) finish_body(exchange);
  if (stream.exchange == &exchange) continue_body(exchange);
}

void Worker::answer_stream(Exchange& exchange, const Http2Session::OwnHead& head, std::string_view body) {
  auto& stream = static_cast<Stream&>(*exchange.client);
  const bool has_body = !exchange.is_head_request && !body.empty();
  Http2Session::OwnHead written = head;
  // gRPC takes a status in the head for the answer only where that ends there.
  if (exchange.is_grpc) written.content_length.reset();
  stream.session->respond(stream, written, has_body);
  exchange.response_phase = ResponsePhase::kComplete;
  if (has_body) exchange.pending.append(body);
  mark_dirty(*stream.connection);
  finish_if_done(exchange);
}

// The answer is nghttp2's by now.
void Worker::finish_stream(Exchange& exchange) {
  auto& stream = static_cast<Stream&>(*exchange.client);
  stream.is_answered = true;
  end_exchange(exchange);
  consume(stream, stream.body.size());
  wake(stream);
}

// The exchange's client is done with, one way or the other: the answer is cut if it was not complete.
void Worker::close_stream(Stream& stream) {
  if (stream.exchange != nullptr) end_exchange(*stream.exchange);
  timers_.disarm(stream);
  stream.is_answered = true;
  if (stream.is_closed) {
    stream.session->forget(stream);
  } else {
    stream.session->cut(stream);
    mark_dirty(*stream.connection);
  }
}

void Worker::close_http2(Http2Session& session) {
  for (const auto& stream : session.streams()) {
    if (stream->fd < 0) continue;
    stream->is_closed = true;
    if (stream->exchange != nullptr) {
      client_gone(*stream);
    } else {
      timers_.disarm(*stream);
      session.forget(*stream);
    }
  }
  std::erase_if(resumed_clients_, [&session](Client* client) {
    return client->kind == SocketKind::kStream && static_cast<Stream*>(client)->session == &session;
  });
}

void Worker::drain_http2(Client& client) {
  channel_of(client)->http2->announce_end();
  timers_.disarm(client);
  timers_.arm(client, now_us_ / 1000 + kLastRequestsMs);
  mark_dirty(client);
}

// Idle for long, or told a second ago that this is the end.
void Worker::http2_expired(Client& client) {
  Http2Session& session = *channel_of(client)->http2;
  timers_.arm(client, now_us_ / 1000 + settings_.idle_timeout_ms);
  if (!is_draining_ && session.open_streams() > 0) return;
  if (session.has_ended() && session.open_streams() == 0) {
    // It does not even take our goodbye.
    close_client(client);
    return;
  }
  session.end();
  mark_dirty(client);
}

}  // namespace busbar::gateway::internal
