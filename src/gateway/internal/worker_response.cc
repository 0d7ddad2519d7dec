// The replica's answer, on its way to the client, and the end of an exchange.

#include <fmt/format.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "gateway/internal/grpc.h"
#include "gateway/internal/worker.h"

namespace busbar::gateway::internal {
namespace {

/// Of the scratch buffer, for one connection before the next.
constexpr int kRoundsAtOnce = 16;
constexpr std::size_t kKeptCapacity = 8 << 10;
constexpr std::size_t kLogBatch = 64 << 10;
constexpr std::int64_t kTunnelIdleMs = 3'600'000;

/// Where the answer is a head only, its status stands there.
void note_grpc_status(Exchange& exchange, const ResponseHead& head) {
  for (const HeaderLine& header : head.headers) {
    if (header.name != "grpc-status") continue;
    exchange.grpc_status = static_cast<std::int16_t>(parse_grpc_status(header.value));
  }
}

void append_json_text(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
}

}  // namespace

void Worker::arm(Exchange& exchange, std::int64_t timeout_ms) {
  std::int64_t at_ms = now_us_ / 1000 + (timeout_ms > 0 ? timeout_ms : kTunnelIdleMs);
  if (exchange.deadline_us > 0 && exchange.response_phase == ResponsePhase::kHead) {
    at_ms = std::min(at_ms, exchange.deadline_us / 1000);
  }
  timers_.arm(exchange, at_ms);
}

// For the first byte of the answer: until then, or until a second replica is asked.
void Worker::arm_response(Exchange& exchange) {
  const std::int64_t response_ms = exchange.service->entry->value.limits.response_ms;
  const bool may_hedge = exchange.service->entry->value.traffic.hedge.after_ms > 0;
  const std::int64_t hedge_ms = may_hedge ? hedge_after_ms(exchange) : 0;
  if (hedge_ms == 0) return arm(exchange, response_ms);
  timers_.disarm(exchange);  // it may be earlier than what was armed before
  arm(exchange, response_ms > 0 ? std::min(response_ms, hedge_ms) : hedge_ms);
}

// Of a gRPC stream either side may be silent for as long as an answer may take.
std::int64_t Worker::body_timeout_ms(const Exchange& exchange) const {
  return exchange.is_grpc ? exchange.service->entry->value.limits.response_ms : settings_.body_timeout_ms;
}

void Worker::pump_response(Exchange& exchange) {
  Upstream& upstream = *exchange.upstream;
  if (upstream.kind == SocketKind::kUpstreamStream) {
    pump_stream(exchange, static_cast<UpstreamStream&>(upstream));
    return;
  }
  Client& client = *exchange.client;
  for (int round = 0; upstream.is_readable && exchange.pending.empty(); ++round) {
    if (round == kRoundsAtOnce) {
      // Others want to be served too.
      resumed_clients_.push_back(&client);
      return;
    }
    const ssize_t count = recv(upstream.fd, scratch_.get(), kScratchBytes, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      upstream.is_readable = false;
      return;
    }
    if (count < 0) {
      upstream_failed(exchange, "the replica reset the connection");
      return;
    }
    if (count == 0) {
      response_closed(exchange);
      return;
    }
    if (static_cast<std::size_t>(count) < kScratchBytes && !upstream.has_hangup) upstream.is_readable = false;
    if (!take_response(exchange, std::string_view(scratch_.get(), static_cast<std::size_t>(count)))) return;
    if (client.fd < 0 || client.exchange != &exchange || exchange.upstream != &upstream) return;
  }
}

// False when the exchange is over, or has another connection.
bool Worker::take_response(Exchange& exchange, std::string_view bytes) {
  if (exchange.response_phase != ResponsePhase::kHead) return take_response_body(exchange, {}, bytes);
  const bool is_first = exchange.first_byte_us == 0;
  if (is_first) exchange.first_byte_us = now_us_;
  if (exchange.hedge != nullptr) drop_hedge(exchange);
  const bool is_kept = !exchange.response_head.empty();
  if (is_kept) {
    exchange.response_head.append(bytes);
    bytes = exchange.response_head.view();
  }
  while (true) {
    const std::size_t size = HeadParser::head_size(bytes, 0);
    if (size == 0 || size > kMaxHeadBytes) {
      if (bytes.size() > kMaxHeadBytes) return response_broken(exchange, "the replica's answer has no end of its head");
      const std::string rest(bytes);
      exchange.response_head.clear();
      exchange.response_head.append(rest);
      return true;
    }
    const HeadFault fault = parser_.parse_response(bytes.substr(0, size));
    if (fault.is_fault()) return response_broken(exchange, fault.text);
    const int status = parser_.response().status;
    bytes.remove_prefix(size);
    if (status >= 200) return take_response_head(exchange, bytes);
    if (status == 101) {
      return exchange.is_upgrade ? begin_tunnel(exchange, bytes)
                                 : response_broken(exchange, "the replica switched protocols unasked");
    }
    if (bytes.empty()) {
      exchange.response_head.clear();
      return true;
    }
  }
}

bool Worker::take_response_head(Exchange& exchange, std::string_view rest) {
  const ResponseHead& head = parser_.response();
  exchange.status = head.status;
  exchange.response_phase = ResponsePhase::kBody;
  exchange.upstream_keeps_alive = head.keeps_alive;
  exchange.is_event_stream = head.is_event_stream;
  exchange.last_piece_us = now_us_;
  const bool is_stream = exchange.client->kind == SocketKind::kStream;
  const bool is_of_stream = exchange.upstream->kind == SocketKind::kUpstreamStream;
  const bool is_only = is_of_stream && is_stream && static_cast<UpstreamStream*>(exchange.upstream)->is_head_only;
  const bool has_no_body = exchange.is_head_request || head.status == 204 || head.status == 304 || is_only;
  const Framing framing = has_no_body ? Framing::kNone : head.framing;
  // A stream's own end is the end, trailers included; that its body has the length that was said, nghttp2 sees to.
  exchange.response_framing = is_of_stream && !has_no_body ? Framing::kUntilClose : framing;
  exchange.response_left = head.content_length;
  if (head.names_fields) note_connection(exchange.response_trailers, head.headers);
  if (exchange.is_grpc) note_grpc_status(exchange, head);
  ForwardedResponse forwarded{.is_http10 = exchange.is_http10};
  if (framing == Framing::kChunked || framing == Framing::kUntilClose) {
    // HTTP/1.0 knows no chunks: there the end of the connection is the end of the body.
    exchange.rechunks_response = framing == Framing::kUntilClose && !exchange.is_http10 && !is_stream;
    if (exchange.is_http10) exchange.keeps_alive = false;
    forwarded.framing = exchange.is_http10 ? Framing::kNone : Framing::kChunked;
  } else if (exchange.is_head_request && head.framing == Framing::kChunked) {
    forwarded.framing = exchange.is_http10 ? Framing::kNone : Framing::kChunked;
  }
  if (exchange.request_phase != RequestPhase::kComplete || is_draining_) exchange.keeps_alive = false;
  forwarded.keeps_alive = exchange.keeps_alive;
  if (exchange.key != nullptr || exchange.service->entry->limits.is_bounded()) {
    more_fields_.clear();
    append_rate_fields(more_fields_, exchange);
    forwarded.more = more_fields_;
  }
  out_head_.clear();
  if (is_stream) {
    auto& stream = static_cast<Stream&>(*exchange.client);
    stream.session->respond(stream, head, forwarded.more, exchange.response_framing != Framing::kNone);
  } else {
    append_response_head(out_head_, head, forwarded);
  }
  if (exchange.request_sent == exchange.request.size()) {
    exchange.request.clear();
    exchange.request_sent = 0;
  }
  exchange.is_whole = false;
  arm(exchange, exchange.service->entry->value.limits.response_ms);
  return take_response_body(exchange, out_head_, rest);
}

// Sends a new head, if there is one, with the part of `bytes` that belongs to the body.
bool Worker::take_response_body(Exchange& exchange, std::string_view head, std::string_view bytes) {
  exchange.response_bytes += bytes.size();
  if (exchange.is_event_stream && head.empty()) {
    exchange.service->counters->event_gap.record(static_cast<std::uint64_t>(now_us_ - exchange.last_piece_us));
    exchange.last_piece_us = now_us_;
  }
  if (exchange.response_phase == ResponsePhase::kTunnel) {
    arm(exchange, kTunnelIdleMs);
    return send_client(exchange, head, bytes);
  }
  if (head.empty()) arm(exchange, exchange.service->entry->value.limits.response_ms);
  switch (exchange.response_framing) {
    case Framing::kNone:
      return send_client(exchange, head, {}) && finish_response(exchange, bytes.empty());
    case Framing::kLength: {
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(exchange.response_left, bytes.size()));
      exchange.response_left -= size;
      if (exchange.wants_usage) exchange.usage.feed(bytes.substr(0, size));
      if (!send_client(exchange, head, bytes.substr(0, size))) return false;
      return exchange.response_left > 0 || finish_response(exchange, size == bytes.size());
    }
    case Framing::kChunked:
      return take_chunks(exchange, head, bytes);
    case Framing::kUntilClose:
      break;
  }
  if (exchange.wants_usage) exchange.usage.feed(bytes);
  if (!exchange.rechunks_response || bytes.empty()) return send_client(exchange, head, bytes);
  std::string framed(head);
  append_chunk_size(framed, bytes.size());
  framed += bytes;
  framed += "\r\n";
  return send_client(exchange, framed, {});
}

bool Worker::begin_tunnel(Exchange& exchange, std::string_view rest) {
  exchange.status = 101;
  exchange.keeps_alive = false;
  exchange.request_phase = RequestPhase::kTunnel;
  exchange.response_phase = ResponsePhase::kTunnel;
  exchange.is_whole = false;
  exchange.request.consume(exchange.request_sent);
  exchange.request_sent = 0;
  out_head_.clear();
  append_response_head(out_head_, parser_.response(), {.keeps_alive = true});
  if (!take_response_body(exchange, out_head_, rest)) return false;
  exchange.response_head.clear();
  // The client may have spoken already.
  read_request(exchange);
  return exchange.client != nullptr;
}

// The replica has ended its side.
void Worker::response_closed(Exchange& exchange) {
  if (exchange.response_phase == ResponsePhase::kHead) {
    upstream_failed(exchange, "the replica closed the connection without an answer");
    return;
  }
  if (exchange.response_phase == ResponsePhase::kTunnel) {
    finish_response(exchange, false);
    return;
  }
  if (exchange.response_framing == Framing::kUntilClose) {
    if (exchange.rechunks_response && !send_client(exchange, {}, "0\r\n\r\n")) return;
    finish_response(exchange, false);
    return;
  }
  response_broken(exchange, "the replica broke off its answer");
}

// Always false, for callers that give it on.
bool Worker::response_broken(Exchange& exchange, std::string_view text) {
  exchange.has_failed = true;
  leave_endpoint(exchange, true);
  if (exchange.upstream != nullptr) close_upstream(*exchange.upstream);
  if (exchange.response_phase == ResponsePhase::kHead) {
    fail(exchange, 502, text);
  } else {
    cut_answer(exchange, 502, text);
  }
  return false;
}

// Always false: the exchange is over for the replica, and for the client as soon as it has everything.
bool Worker::finish_response(Exchange& exchange, bool is_upstream_clean) {
  exchange.response_phase = ResponsePhase::kComplete;
  exchange.has_failed = exchange.status >= 500 || is_grpc_failure(exchange.grpc_status);
  leave_endpoint(exchange, exchange.status == 502 || exchange.status == 503 || exchange.status == 504 ||
                               exchange.grpc_status == kGrpcUnavailable);
  if (exchange.upstream != nullptr) {
    Upstream& upstream = *exchange.upstream;
    const bool has_sent_all = exchange.request_phase == RequestPhase::kComplete && exchange.request.empty();
    if (is_upstream_clean && exchange.upstream_keeps_alive && has_sent_all && !upstream.has_hangup &&
        upstream.kind == SocketKind::kUpstream) {
      park_upstream(upstream);
    } else {
      close_upstream(upstream);
    }
  }
  finish_if_done(exchange);
  return false;
}

void Worker::answer(Exchange& exchange, int status, std::string_view content_type, std::string_view body,
                    std::optional<std::int64_t> retry_after_s) {
  exchange.status = status;
  if (exchange.request_phase != RequestPhase::kComplete || is_draining_) exchange.keeps_alive = false;
  if (exchange.client->kind == SocketKind::kStream) {
    answer_stream(exchange,
                  {.status = status,
                   .content_type = content_type,
                   .content_length = body.size(),
                   .retry_after_s = retry_after_s,
                   .more = more_fields_},
                  body);
    more_fields_.clear();
    return;
  }
  out_head_.clear();
  append_own_answer(out_head_, {.status = status,
                                .content_type = content_type,
                                .body = body,
                                .retry_after_s = retry_after_s,
                                .keeps_alive = exchange.keeps_alive,
                                .is_http10 = exchange.is_http10,
                                .is_head_request = exchange.is_head_request,
                                .more = more_fields_});
  more_fields_.clear();
  exchange.response_phase = ResponsePhase::kComplete;
  if (send_client(exchange, out_head_, {})) finish_if_done(exchange);
}

// Ends the exchange with an error of our own, or cuts it where an answer is under way already.
void Worker::fail(Exchange& exchange, int status, std::string_view text, std::optional<std::int64_t> retry_after_s) {
  exchange.has_failed = status >= 500;
  if (exchange.response_phase != ResponsePhase::kHead) {
    cut_answer(exchange, status, text);
    return;
  }
  leave_endpoint(exchange, false);
  if (exchange.hedge != nullptr) drop_hedge(exchange);
  if (exchange.upstream != nullptr) close_upstream(*exchange.upstream);
  if (exchange.arrived_us == 0) exchange.arrived_us = now_us_;
  if (exchange.request_phase == RequestPhase::kHead) exchange.keeps_alive = false;
  if (exchange.is_grpc) {
    answer_grpc(exchange, status, text, retry_after_s);
    return;
  }
  const std::string body = exchange.is_model_call ? openai_error_body(status, text) : error_body(status, text);
  answer(exchange, status, "application/json", body, retry_after_s);
}

// An error as gRPC says it: 200, and a status in the head, which is all there is.
void Worker::answer_grpc(Exchange& exchange, int status, std::string_view text,
                         std::optional<std::int64_t> retry_after_s) {
  const bool is_late = exchange.deadline_us > 0 && now_us_ >= exchange.deadline_us;
  const int code = is_late ? kGrpcDeadlineExceeded : grpc_status_of(status);
  exchange.grpc_status = static_cast<std::int16_t>(code);
  append_grpc_status(more_fields_, code, text);
  answer(exchange, 200, "application/grpc", {}, retry_after_s);
}

// The client must not take what it has for the whole.
void Worker::cut_answer(Exchange& exchange, int status, std::string_view text) {
  Client& client = *exchange.client;
  const bool may_say_why = exchange.is_grpc && client.kind == SocketKind::kStream && client.fd >= 0 &&
                           exchange.response_phase == ResponsePhase::kBody &&
                           exchange.response_framing != Framing::kNone && !static_cast<Stream&>(client).is_closed;
  if (!may_say_why) {
    close_client(client);
    return;
  }
  exchange.has_failed = true;
  leave_endpoint(exchange, true);
  if (exchange.upstream != nullptr) close_upstream(*exchange.upstream);
  exchange.grpc_status = static_cast<std::int16_t>(grpc_status_of(status));
  std::string& trailers = static_cast<Stream&>(client).answer_trailers;
  trailers.clear();
  append_grpc_status(trailers, exchange.grpc_status, text);
  exchange.response_phase = ResponsePhase::kComplete;
  finish_if_done(exchange);
}

void Worker::finish_if_done(Exchange& exchange) {
  if (!exchange.pending.empty()) {
    arm(exchange, settings_.body_timeout_ms);
    return;
  }
  Client& client = *exchange.client;
  if (client.kind == SocketKind::kStream) {
    finish_stream(exchange);
    return;
  }
  const bool has_all = exchange.request_phase == RequestPhase::kComplete;
  const bool keeps_alive = exchange.keeps_alive && has_all;
  const bool is_tunnel = exchange.request_phase == RequestPhase::kTunnel;
  client.is_fresh = false;
  if (keeps_alive) {
    end_exchange(exchange);
    if (client.exchange != nullptr || client.is_readable) resumed_clients_.push_back(&client);
    timers_.arm(client, now_us_ / 1000 + settings_.idle_timeout_ms);
    if (is_draining_ && client.exchange == nullptr) close_client(client);
  } else if (has_all || is_tunnel) {
    close_client(client);
  } else {
    end_exchange(exchange);
    linger(client);
  }
}

// Frees the exchange. What the client sent behind this request stays, for the next, if the connection goes on.
void Worker::end_exchange(Exchange& exchange) {
  Client& client = *exchange.client;
  if (exchange.is_waiting) stop_waiting(exchange, Waited::kInVain);
  if (exchange.hedge != nullptr) drop_hedge(exchange);
  leave_endpoint(exchange, exchange.has_failed);
  if (exchange.upstream != nullptr) close_upstream(*exchange.upstream);
  if (exchange.tokens > 0 && exchange.is_admitted) settle(exchange);
  if (exchange.arrived_us != 0) account(exchange);
  if (exchange.service != nullptr) {
    exchange.service->counters->running.fetch_sub(1, std::memory_order_relaxed);
    if (--exchange.service->exchanges == 0 && !exchange.service->is_listed) has_unlisted_ = true;
  }
  timers_.disarm(exchange);
  const bool goes_on = exchange.response_phase == ResponsePhase::kComplete && exchange.keeps_alive;
  exchange.input.consume(exchange.input_taken);
  static_cast<ExchangeState&>(exchange) = {};
  exchange.key.reset();
  exchange.log_line.clear();
  exchange.adapter.clear();
  exchange.prefix.clear();
  exchange.request_trailers.clear();
  exchange.response_trailers.clear();
  for (Buffer* buffer : {&exchange.head, &exchange.request, &exchange.response_head, &exchange.pending}) {
    buffer->trim(kKeptCapacity);
  }
  if (goes_on && !exchange.input.empty()) {
    exchange.client = &client;
    return;
  }
  exchange.input.trim(kKeptCapacity);
  client.exchange = nullptr;
  free_exchanges_.push_back(&exchange);
}

void Worker::account(Exchange& exchange) {
  if (exchange.service != nullptr) {
    ServiceCounters& counters = *exchange.service->counters;
    if (exchange.is_admitted) counters.finished.add(1);
    if (exchange.has_failed) counters.failed.add(1);
    const auto status_class = static_cast<std::size_t>(std::clamp(exchange.status / 100, 0, 5));
    counters.by_status_class[status_class].add(1);
    counters.latency.record(static_cast<std::uint64_t>(now_us_ - exchange.arrived_us));
    if (exchange.first_byte_us > 0) {
      counters.first_byte.record(static_cast<std::uint64_t>(exchange.first_byte_us - exchange.arrived_us));
    }
  }
  if (settings_.log_fd >= 0) write_log_line(exchange);
}

void Worker::write_log_line(const Exchange& exchange) {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  fmt::format_to(std::back_inserter(log_), R"({{"time_ms":{},"client":")", now.tv_sec * 1000 + now.tv_nsec / 1'000'000);
  append_address(log_, exchange.client->peer);
  log_ += R"(","request":")";
  append_json_text(log_, exchange.log_line);
  log_ += R"(","service":")";
  if (exchange.service != nullptr) log_ += exchange.service->entry->value.name;
  fmt::format_to(std::back_inserter(log_),
                 R"(","status":{},"request_bytes":{},"response_bytes":{},"us":{},"attempts":{})", exchange.status,
                 exchange.body_bytes, exchange.response_bytes, now_us_ - exchange.arrived_us, exchange.attempts);
  if (exchange.grpc_status >= 0) {
    fmt::format_to(std::back_inserter(log_), R"(,"grpc_status":{})", int{exchange.grpc_status});
  }
  log_ += "}\n";
  if (log_.size() > kLogBatch) flush_log();
}

void Worker::flush_log() {
  // One call for many lines; a full disk loses lines, not requests.
  const ssize_t count = write(settings_.log_fd, log_.data(), log_.size());
  if (count < static_cast<ssize_t>(log_.size())) counters_.log_errors.add(1);
  log_.clear();
}

}  // namespace busbar::gateway::internal
