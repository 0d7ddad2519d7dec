// The client's side of a request: reading it, strictly, and finding its service.

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/check.h"
#include "gateway/internal/grpc.h"
#include "gateway/internal/worker.h"

namespace busbar::gateway::internal {
namespace {

/// Reads for one connection before the next gets its turn.
constexpr int kReadsAtOnce = 64;
constexpr std::string_view kServicePrefix = "/services/";
constexpr std::size_t kKeptBytes = 64 << 10;
/// The first of HTTP/2's preface (RFC 9113 §3.4): no request of HTTP/1 looks like it.
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\n";

bool is_idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" || method == "OPTIONS";
}

/// OpenAI's calls whose service the body names.
bool is_model_path(std::string_view path) {
  return path == "/v1/chat/completions" || path == "/v1/completions" || path == "/v1/embeddings" ||
         path == "/v1/responses" || path == "/v1/rerank";
}

/// KServe v2: /v2/models/NAME[/versions/V][/infer|/ready]. "" if it is none.
std::string_view kserve_model(std::string_view path) {
  constexpr std::string_view kPrefix = "/v2/models/";
  if (path.substr(0, kPrefix.size()) != kPrefix) return {};
  const std::string_view rest = path.substr(kPrefix.size());
  return rest.substr(0, rest.find('/'));
}

/// X-Request-Timeout: seconds, perhaps with a fraction; of calls of gRPC Grpc-Timeout. 0: none.
std::int64_t timeout_us(const RequestHead& head) {
  for (const HeaderLine& header : head.headers) {
    if (head.is_grpc && equals_ignoring_case(header.name, "grpc-timeout")) return grpc_timeout_us(header.value);
    if (header.id != HeaderId::kOther || !equals_ignoring_case(header.name, "x-request-timeout")) continue;
    double seconds = 0;
    const auto [end, error] = std::from_chars(header.value.data(), header.value.data() + header.value.size(), seconds);
    const bool is_number = error == std::errc() && end == header.value.data() + header.value.size();
    return is_number && seconds > 0 && seconds < 86'400 ? static_cast<std::int64_t>(seconds * 1e6) : 0;
  }
  return 0;
}

}  // namespace

Exchange& Worker::exchange_of(Client& client) {
  if (client.exchange == nullptr) {
    if (free_exchanges_.empty()) free_exchanges_.push_back(&exchanges_.emplace_back());
    client.exchange = free_exchanges_.back();
    free_exchanges_.pop_back();
    client.exchange->client = &client;
  }
  return *client.exchange;
}

// Everything that this client may do now.
void Worker::serve_client(Client& client) {
  if (client.kind == SocketKind::kStream) {
    serve_stream(static_cast<Stream&>(client));
    return;
  }
  if (Channel* const channel = channel_of(client); channel != nullptr && channel->http2 != nullptr) {
    serve_http2(client);
    return;
  }
  if (client.is_lingering) {
    read_lingering(client);
    return;
  }
  Exchange* exchange = client.exchange;
  if (exchange == nullptr) {
    read_client(client);
    return;
  }
  const bool has_all = exchange->request_phase == RequestPhase::kComplete;
  // A client that closes its side while it waits for the answer has gone away; nobody half-closes and means it.
  if (client.has_hangup && (has_all || exchange->is_waiting) && exchange->pending.empty()) {
    client_gone(client);
    return;
  }
  if (client.is_writable && !exchange->pending.empty() && !flush_client(*exchange)) return;
  if (exchange->upstream != nullptr && exchange->pending.empty()) {
    pump_response(*exchange);
    if (client.fd < 0 || client.exchange != exchange) return;
  }
  if (exchange->request_phase != RequestPhase::kComplete) read_request(*exchange);
}

void Worker::read_client(Client& client) {
  Exchange* known = client.exchange;
  if (known != nullptr && !known->input.empty()) {
    // What came behind the last request.
    read_request(*known);
    return;
  }
  if (!client.is_readable) return;
  read_request(exchange_of(client));
}

// Reads on as long as the request wants bytes and there are some.
void Worker::read_request(Exchange& exchange) {
  Client& client = *exchange.client;
  if (client.kind == SocketKind::kStream) {
    take_stream_body(static_cast<Stream&>(client), exchange);
    return;
  }
  for (int round = 0; client.fd >= 0 && client.exchange == &exchange && !client.is_lingering &&
                      exchange.request_phase != RequestPhase::kComplete;
       ++round) {
    if (round == kReadsAtOnce) {
      // Others want to be served too.
      resumed_clients_.push_back(&client);
      return;
    }
    // A replica that is slower than the client: what it has not taken is enough.
    if (exchange.request.size() - exchange.request_sent > kKeptBytes &&
        exchange.request_phase != RequestPhase::kGathering) {
      return;
    }
    if (exchange.is_waiting) return;
    if (!exchange.input.empty() && exchange.scanned < exchange.input.size()) {
      if (!take_input(exchange, exchange.input.view(), false)) return;
      if (exchange.request_phase == RequestPhase::kComplete) return;
      continue;
    }
    if (!client.is_readable) break;
    const ssize_t count = receive(client);
    if (count <= 0) {
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        break;
      }
      client_gone(client);
      return;
    }
    const std::string_view bytes(scratch_.get(), static_cast<std::size_t>(count));
    if (exchange.input.empty()) {
      if (!take_input(exchange, bytes, true)) return;
    } else {
      exchange.input.append(bytes);
    }
  }
  // An exchange for a client that had nothing to say after all.
  if (client.fd >= 0 && client.exchange == &exchange && exchange.request_phase == RequestPhase::kHead) {
    if (exchange.input.empty()) {
      end_exchange(exchange);
    } else if (!exchange.is_armed()) {
      arm(exchange, settings_.head_timeout_ms);
    }
  }
}

// Takes what it can of bytes that lie in the scratch buffer or in exchange.input; the rest is kept in the latter. False
// when the exchange has ended or waits.
bool Worker::take_input(Exchange& exchange, std::string_view bytes, bool is_scratch) {
  Client& client = *exchange.client;
  std::size_t used = 0;
  if (exchange.request_phase == RequestPhase::kHead) {
    used = begin_request(exchange, bytes, is_scratch);
    if (client.fd < 0 || client.exchange != &exchange || client.is_lingering) return false;
    // Answered at once, and on it goes with what came behind.
    if (exchange.request_phase == RequestPhase::kHead && used > 0) return false;
    if (used == 0) {
      exchange.scanned = bytes.size();
      if (is_scratch) exchange.input.append(bytes);
      return true;
    }
  } else {
    used = take_body(exchange, bytes);
    if (client.exchange != &exchange || client.fd < 0 || client.is_lingering) return false;
  }
  exchange.scanned = 0;
  if (!is_scratch) {
    exchange.input.consume(used);
    exchange.input_taken = 0;
  } else if (used < bytes.size()) {
    exchange.input.append(bytes.substr(used));
  }
  continue_body(exchange);
  return client.exchange == &exchange && client.fd >= 0 && !client.is_lingering;
}

// 0: the head is not complete. Else what was taken: the head, and of the body what lay behind it.
std::size_t Worker::begin_request(Exchange& exchange, std::string_view bytes, bool is_scratch) {
  const std::size_t head_bytes = HeadParser::head_size(bytes, exchange.scanned);
  if (head_bytes == 0 || head_bytes > kMaxHeadBytes) {
    if (bytes.size() > kMaxHeadBytes) {
      counters_.refused.add(1);
      fail(exchange, 431, "the request's head is longer than 32 KiB");
    }
    return 0;
  }
  if (head_bytes == kHttp2Preface.size() && bytes.substr(0, head_bytes) == kHttp2Preface && exchange.client->is_fresh &&
      !is_secure(*exchange.client)) {
    switch_to_http2(exchange, bytes);
    return 0;
  }
  exchange.arrived_us = now_us_;
  counters_.requests.add(1);
  const HeadFault fault = parser_.parse_request(bytes.substr(0, head_bytes));
  if (fault.is_fault()) {
    counters_.refused.add(1);
    exchange.keeps_alive = false;
    fail(exchange, fault.status, fault.text);
    return 0;
  }
  const RequestHead& head = parser_.request();
  note_request(exchange, head);
  const std::string_view rest = bytes.substr(head_bytes);
  if (exchange.request_phase == RequestPhase::kComplete) {
    // What lies behind is the next request; it must outlive an answer that is given at once.
    if (is_scratch) {
      exchange.input.append(rest);
    } else {
      exchange.input_taken = head_bytes;
    }
  }
  const std::size_t taken = route_request(exchange, head, head_bytes);
  if (exchange.request_phase == RequestPhase::kComplete) return is_scratch ? bytes.size() : head_bytes;
  if (taken == 0) return head_bytes;
  const bool has_body =
      exchange.request_phase == RequestPhase::kBody || exchange.request_phase == RequestPhase::kGathering;
  return head_bytes + (has_body && !rest.empty() ? take_body(exchange, rest) : 0);
}

void Worker::note_request(Exchange& exchange, const RequestHead& head) {
  exchange.is_head_request = head.method == "HEAD";
  exchange.is_http10 = head.minor_version == 0;
  exchange.keeps_alive = head.keeps_alive && !is_draining_;
  exchange.request_framing = head.framing;
  exchange.request_left = head.content_length;
  exchange.expects_continue = head.expects_continue;
  exchange.is_upgrade = head.is_upgrade;
  exchange.is_grpc = head.is_grpc;
  exchange.takes_trailers = head.takes_trailers;
  exchange.may_repeat = is_idempotent(head.method) && !head.is_upgrade;
  exchange.request_phase = head.framing == Framing::kNone ? RequestPhase::kComplete : RequestPhase::kBody;
  if (head.names_fields) note_connection(exchange.request_trailers, head.headers);
  if (const std::int64_t timeout = timeout_us(head); timeout > 0) exchange.deadline_us = now_us_ + timeout;
  if (settings_.log_fd >= 0) {
    exchange.log_line.assign(head.method);
    exchange.log_line += ' ';
    exchange.log_line.append(head.target.substr(0, 512));
  }
}

// Finds the service and hands the head on. 0: answered here.
std::size_t Worker::route_request(Exchange& exchange, const RequestHead& head, std::size_t head_bytes) {
  const auto refuse = [this, &exchange](int status, std::string_view text) {
    counters_.refused.add(1);
    fail(exchange, status, text);
    return std::size_t{0};
  };
  if (head.method == "TRACE") return refuse(405, "TRACE is not offered here");
  if (directory_ == nullptr) return refuse(503, "the gateway has no route table yet");
  if (const int index = directory_->by_host(head.host); index >= 0) {
    bind_service(exchange, static_cast<std::size_t>(index));
    forward_head(exchange, head, head.target, {});
    return client_goes_on(exchange) ? head_bytes : 0;
  }
  if (head.path.substr(0, kServicePrefix.size()) == kServicePrefix) {
    const std::size_t end = std::min(head.path.find('/', kServicePrefix.size()), head.path.size());
    const std::string_view name = head.path.substr(kServicePrefix.size(), end - kServicePrefix.size());
    const int index = directory_->by_name(name);
    if (index < 0) return refuse(404, "no service has this name; `busbar services` lists them");
    bind_service(exchange, static_cast<std::size_t>(index));
    const std::string_view rest = head.target.substr(end);
    std::string target;
    if (rest.empty() || rest.front() != '/') target = "/";
    forward_head(exchange, head, target.empty() ? rest : std::string_view(target.append(rest)),
                 head.path.substr(0, end));
    return client_goes_on(exchange) ? head_bytes : 0;
  }
  if (head.path == "/v1/models" && (head.method == "GET" || head.method == "HEAD")) {
    answer(exchange, 200, "application/json", directory_->models_json());
    return 0;
  }
  if (const std::string_view model = kserve_model(head.path); !model.empty()) {
    const Directory::Target target = directory_->by_model(model);
    if (target.service < 0) return refuse(404, "no service offers this model; GET /v1/models lists what there is");
    bind_service(exchange, static_cast<std::size_t>(target.service));
    exchange.adapter.assign(target.adapter);
    exchange.may_repeat = true;
    forward_head(exchange, head, head.target, {});
    return client_goes_on(exchange) ? head_bytes : 0;
  }
  if (is_model_path(head.path)) {
    if (head.method != "POST") return refuse(405, "this call is a POST with a JSON body that names the model");
    if (head.framing == Framing::kNone) return refuse(400, "the body must be a JSON object with a member \"model\"");
    exchange.is_model_call = true;
    // Whoever cannot be let in to anything is not given room for a body first.
    if (directory_->is_closed() && !has_known_key(head)) {
      return refuse(401, "every service here needs a key: send \"Authorization: Bearer KEY\" or \"x-api-key: KEY\"");
    }
    exchange.head.append(std::string_view(head.method.data(), head_bytes));
    exchange.request_phase = RequestPhase::kGathering;
    arm(exchange, settings_.body_timeout_ms);
    if (exchange.expects_continue && !send_continue(exchange)) return 0;
    exchange.expects_continue = false;
    return head_bytes;
  }
  return refuse(404,
                "no service is reached by this host and path; ask for /services/NAME/, a service's own host, or "
                "POST /v1/chat/completions with its model");
}

bool Worker::client_goes_on(const Exchange& exchange) const {
  return exchange.client != nullptr && exchange.client->fd >= 0 && exchange.client->exchange == &exchange &&
         !exchange.client->is_lingering;
}

void Worker::forward_head(Exchange& exchange, const RequestHead& head, std::string_view target,
                          std::string_view prefix) {
  if (!admit(exchange, head)) return;
  const route::Limits& limits = exchange.service->entry->value.limits;
  if (limits.max_body_bytes > 0 && head.framing == Framing::kLength &&
      head.content_length > static_cast<std::uint64_t>(limits.max_body_bytes)) {
    fail(exchange, 413, "the body is longer than this service takes");
    return;
  }
  append_request_head(exchange.request.tail(), head,
                      {.target = target,
                       .prefix = prefix,
                       .peer = exchange.client->peer,
                       .is_secure = is_secure(*exchange.client),
                       .framing = head.framing,
                       .content_length = head.content_length,
                       .credential = exchange.credential,
                       .tenant = exchange.key != nullptr ? exchange.key->value.tenant : std::string_view(),
                       .key_id = exchange.key != nullptr ? exchange.key->value.id : std::string_view()});
  if (head.framing != Framing::kNone) arm(exchange, settings_.body_timeout_ms);
  // With a body: it goes along with the head, once what has come of it is there (continue_body).
  if (head.framing == Framing::kNone) dispatch(exchange);
}

// All of the body is there: now the service can be found.
void Worker::take_gathered(Exchange& exchange) {
  const std::optional<route::InferenceBody> body = route::scan_inference_body(exchange.request.view());
  if (!body) {
    fail(exchange, 400, "the body must be a JSON object with one member \"model\", a plain text");
    return;
  }
  const Directory::Target target = directory_->by_model(body->model);
  if (target.service < 0) {
    fail(exchange, 404, "no service offers this model; GET /v1/models lists what there is");
    return;
  }
  bind_service(exchange, static_cast<std::size_t>(target.service));
  exchange.adapter.assign(target.adapter);
  exchange.may_repeat = true;
  const HeadFault fault = parser_.parse_request(exchange.head.view());
  CHECK(!fault.is_fault());  // The same bytes were parsed before.
  const bool has_text = parser_.request().path != "/v1/embeddings" && parser_.request().path != "/v1/rerank";
  exchange.tokens = route::estimate_tokens(*body, has_text ? route::Completion::kText : route::Completion::kNone);
  if (!admit(exchange, parser_.request())) return;
  note_prompt(exchange, *body);
  if (target.is_qualified) {
    // The replica knows the adapter by its own name.
    const std::size_t at = static_cast<std::size_t>(body->model.data() - exchange.request.view().data());
    exchange.request.tail().replace(at, body->model.size(), exchange.adapter);
  }
  out_head_.clear();
  append_request_head(out_head_, parser_.request(),
                      {.target = parser_.request().target,
                       .peer = exchange.client->peer,
                       .is_secure = is_secure(*exchange.client),
                       .framing = Framing::kLength,
                       .content_length = exchange.request.size(),
                       .credential = exchange.credential,
                       .tenant = exchange.key != nullptr ? exchange.key->value.tenant : std::string_view(),
                       .key_id = exchange.key != nullptr ? exchange.key->value.id : std::string_view()});
  exchange.request.tail().insert(0, out_head_);
  exchange.head.clear();
  dispatch(exchange);
}

// Takes what belongs to the body; gives how much that is.
std::size_t Worker::take_body(Exchange& exchange, std::string_view bytes) {
  std::size_t used = 0;
  if (exchange.request_phase == RequestPhase::kTunnel) {
    put_body(exchange, bytes);
    return bytes.size();
  }
  if (exchange.request_framing == Framing::kLength) {
    used = static_cast<std::size_t>(std::min<std::uint64_t>(exchange.request_left, bytes.size()));
    exchange.request_left -= used;
    if (!put_body(exchange, bytes.substr(0, used))) return used;
  } else if (exchange.client->kind == SocketKind::kStream) {
    // Without a length it ends with its stream.
    put_body(exchange, bytes);
    return bytes.size();
  } else {
    while (used < bytes.size() && !exchange.request_chunks.is_done() && !exchange.request_chunks.is_broken()) {
      const ChunkScanner::Piece piece = exchange.request_chunks.step(bytes.substr(used));
      used += piece.bytes;
      if (!piece.trailers.empty()) exchange.request_trailers.lines.append(piece.trailers);
      if (!piece.payload.empty() && !put_body(exchange, piece.payload)) return used;
    }
    const bool is_done = exchange.request_chunks.is_done();
    if (exchange.request_chunks.is_broken() || (is_done && !close_section(exchange.request_trailers))) {
      exchange.keeps_alive = false;
      fail(exchange, 400, "the chunked body is broken");
      return used;
    }
  }
  if (!client_goes_on(exchange)) return used;
  // A stream says itself when it ends, with its trailers.
  if (exchange.client->kind == SocketKind::kStream) return used;
  const bool is_complete =
      exchange.request_framing == Framing::kLength ? exchange.request_left == 0 : exchange.request_chunks.is_done();
  if (is_complete) finish_body(exchange);
  return used;
}

// False when the exchange has ended: the body is too long.
bool Worker::put_body(Exchange& exchange, std::string_view bytes) {
  exchange.body_bytes += bytes.size();
  const bool is_gathering = exchange.request_phase == RequestPhase::kGathering;
  const std::int64_t limit = exchange.service == nullptr ? route::Limits{}.max_body_bytes
                                                         : exchange.service->entry->value.limits.max_body_bytes;
  if (exchange.request_phase != RequestPhase::kTunnel && limit > 0 &&
      exchange.body_bytes > static_cast<std::uint64_t>(limit)) {
    fail(exchange, 413, "the body is longer than this service takes");
    return false;
  }
  // Chunks are framed anew: what a replica reads is what was checked, without extensions.
  const bool is_chunked = exchange.request_framing == Framing::kChunked && !is_gathering;
  if (is_chunked) append_chunk_size(exchange.request.tail(), bytes.size());
  exchange.request.append(bytes);
  if (is_chunked) exchange.request.append("\r\n");
  return true;
}

void Worker::finish_body(Exchange& exchange) {
  if (exchange.client->kind == SocketKind::kStream) {
    exchange.request_trailers.lines = std::exchange(static_cast<Stream&>(*exchange.client).trailers, {});
  }
  if (exchange.request_phase == RequestPhase::kGathering) {
    exchange.request_phase = RequestPhase::kComplete;
    take_gathered(exchange);
    return;
  }
  if (exchange.request_framing == Framing::kChunked) {
    exchange.request.append("0\r\n");
    exchange.request.append(exchange.request_trailers.lines);
    exchange.request.append("\r\n");
  }
  exchange.request_phase = RequestPhase::kComplete;
  // Where it has been given to a replica already; else that is when it is copied.
  if (exchange.attempts > 0 && is_mirrored(exchange)) mirror(exchange);
}

// After bytes of the request were taken: they go on to the replica, which is chosen now if it was not.
void Worker::continue_body(Exchange& exchange) {
  if (exchange.request_framing == Framing::kNone && exchange.request_phase != RequestPhase::kTunnel) return;
  if (exchange.request_phase == RequestPhase::kGathering) arm(exchange, settings_.body_timeout_ms);
  if (exchange.request_phase == RequestPhase::kGathering || exchange.service == nullptr) return;
  if (exchange.upstream == nullptr && exchange.response_phase == ResponsePhase::kHead && !exchange.is_waiting) {
    if (exchange.expects_continue && exchange.request_phase == RequestPhase::kBody && !send_continue(exchange)) {
      return;
    }
    exchange.expects_continue = false;
    dispatch(exchange);
    return;
  }
  if (exchange.upstream != nullptr && exchange.upstream->is_connected) flush_request(exchange);
}

}  // namespace busbar::gateway::internal
