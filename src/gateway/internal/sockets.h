#pragma once

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "gateway/chunk_scanner.h"
#include "gateway/http_head.h"
#include "gateway/internal/buffer.h"
#include "gateway/internal/callers.h"
#include "gateway/internal/shared_state.h"
#include "gateway/internal/timer_wheel.h"
#include "gateway/trailers.h"
#include "route/fair_queue.h"
#include "route/inference_body.h"

/// The objects of one worker's thread. They point at each other freely: the worker owns them all, in pools.
namespace busbar::gateway::internal {

enum class SocketKind : std::uint8_t {
  kListener,
  kSecureListener,
  kWaker,
  kClient,
  kStream,
  kUpstream,
  kUpstreamStream,
  kTrunk,
  kErrand
};

/// What epoll's data points to. Edge-triggered: `is_readable` and `is_writable` hold what the kernel said until a call
/// comes back short.
struct Socket {
  int fd = -1;
  SocketKind kind = SocketKind::kClient;
  bool is_readable = false;
  bool is_writable = true;
  bool has_hangup = false;  ///< The peer will send no more.
};

struct Exchange;

/// A client's connection. Idle ones are nothing but this: keep it small.
struct Client : Socket, TimerNode {
  Client() : TimerNode{.owner = TimerOwner::kClient} {}
  Exchange* exchange = nullptr;
  in6_addr peer = {};
  std::uint32_t channel = 0;  ///< Of the worker's channels, the one that this connection needs; 0: none.
  bool is_fresh = true;       ///< Has not had an answer yet.
  bool is_lingering = false;  ///< Answered and shut down for writing; what still comes is thrown away.
};
static_assert(sizeof(Client) <= 64);

struct Trunk;
struct WorkerEndpoint;
struct WorkerService;

/// A connection to a replica, or a request on one that many share (UpstreamStream).
struct Upstream : Socket, TimerNode {
  Upstream() : Socket{.kind = SocketKind::kUpstream}, TimerNode{.owner = TimerOwner::kUpstream} {}
  bool is_connected = false;
  bool is_reused = false;
  bool is_refused = false;  ///< It could not even begin to connect.
  WorkerEndpoint* endpoint = nullptr;
  Exchange* exchange = nullptr;  ///< nullptr: idle, in its endpoint's list.
  Upstream* idle_previous = nullptr;
  Upstream* idle_next = nullptr;
};

struct Http2Errand;

/// A request of the gateway's own, whose answer is thrown away or only looked at.
struct Errand : Socket, TimerNode {
  Errand() : Socket{.kind = SocketKind::kErrand}, TimerNode{.owner = TimerOwner::kErrand} {}
  std::shared_ptr<EndpointState> state = {};
  bool is_mirror = false;  ///< Else a health check.
  Buffer request = {};
  std::string status_line = {};
  std::shared_ptr<Http2Errand> http2 = {};  ///< To a replica that speaks HTTP/2: then `request` is there.
};

/// One replica as one worker sees it.
struct WorkerEndpoint {
  EndpointEntry entry = {};
  std::uint32_t revision = 0;
  bool is_listed = true;  ///< In the current table.
  std::size_t connections = 0;
  std::size_t idle_count = 0;
  Upstream* idle = nullptr;         ///< The last used first: what is not needed grows old and is closed.
  std::vector<Trunk*> trunks = {};  ///< Where it speaks HTTP/2; requests on them count in `connections` too.
};

/// One service as one worker sees it.
struct WorkerService {
  std::shared_ptr<const ServiceEntry> entry = {};
  ServiceCounters* counters = nullptr;
  std::vector<WorkerEndpoint*> endpoints = {};  ///< As entry->endpoints.
  std::vector<std::unique_ptr<WorkerEndpoint>> owned = {};
  route::FairQueue waiting = {};
  std::unordered_map<std::uint32_t, route::FairFlow> flows = {};  ///< Those that wait, by tenant's slot.
  std::size_t exchanges = 0;                                      ///< That point here.
  std::size_t last_offered = 0;                                   ///< Worker that a free place went to last.
  double hedge_tokens = 0;                                        ///< Hedges that its budget has room for.
  std::int64_t next_probe_us = 0;
  bool is_listed = true;
  bool is_ready = false;  ///< In the worker's list of services whose waiting requests are to be tried.
};

enum class RequestPhase : std::uint8_t {
  kHead,       ///< Until its empty line.
  kGathering,  ///< A body that is read before the service is known.
  kBody,       ///< On its way through.
  kComplete,   ///< All of it has been read.
  kTunnel,
};
enum class ResponsePhase : std::uint8_t { kHead, kBody, kComplete, kTunnel };

/// What of a request and its answer is new with each.
struct ExchangeState {
  Client* client = nullptr;
  Upstream* upstream = nullptr;
  WorkerService* service = nullptr;
  WorkerEndpoint* endpoint = nullptr;  ///< That counts this request as outstanding.
  Upstream* hedge = nullptr;           ///< To a second replica; who answers first becomes `upstream`.
  std::size_t hedge_sent = 0;
  bool was_hedged = false;
  WorkerEndpoint* last_endpoint = nullptr;  ///< Tried before; compared, never followed.

  std::size_t request_sent = 0;

  std::size_t scanned = 0;      ///< Of the input, for the end of the head.
  std::size_t input_taken = 0;  ///< Of the input, by the request that is under way.
  RequestPhase request_phase = RequestPhase::kHead;
  ResponsePhase response_phase = ResponsePhase::kHead;
  Framing request_framing = Framing::kNone;
  Framing response_framing = Framing::kNone;
  bool is_head_request = false;
  bool is_http10 = false;
  bool keeps_alive = true;
  bool may_repeat = false;  ///< By its method or kind: a second attempt does no harm.
  bool is_whole = true;     ///< `request` still holds it from its first byte on.
  bool expects_continue = false;
  bool is_upgrade = false;
  bool is_waiting = false;
  bool is_event_stream = false;
  bool is_grpc = false;
  bool takes_trailers = false;     ///< The client says so.
  std::int16_t grpc_status = -1;   ///< Of the answer; -1: none.
  bool rechunks_response = false;  ///< The replica ends its answer by closing; the client gets chunks.
  bool upstream_keeps_alive = true;
  bool has_failed = false;  ///< For the counts: a 5xx, or broken off.
  std::uint32_t attempts = 0;
  std::uint32_t stale_attempts = 0;  ///< Of those, on pooled connections that turned out to be closed.
  int status = 0;
  std::uint64_t request_left = 0;
  std::uint64_t response_left = 0;
  std::uint64_t body_bytes = 0;
  std::uint64_t response_bytes = 0;
  ChunkScanner request_chunks = {};
  ChunkScanner response_chunks = {};

  std::int64_t arrived_us = 0;
  std::int64_t given_us = 0;  ///< To the replica that has it now.
  std::int64_t first_byte_us = 0;
  std::int64_t last_piece_us = 0;
  std::int64_t deadline_us = 0;  ///< The client's own; 0: none.

  // Who calls and what it may use: worker_policy.cc.
  HeaderId credential = HeaderId::kOther;  ///< The field that held it.
  bool is_model_call = false;              ///< A call of OpenAI's form.
  bool is_admitted = false;                ///< Counts for its service.
  bool wants_usage = false;                ///< Its answer tells how many tokens it took.
  std::uint32_t wanted_revision = 0;       ///< 0: any.
  std::uint64_t session = 0;               ///< 0: belongs to nothing.
  std::uint64_t tokens = 0;                ///< Estimated; 0: no call of a model.
  route::UsageScanner usage = {};
};
static_assert(std::is_trivially_copyable_v<ExchangeState>, "forgetting it is one fill with constants");

/// One request and its answer.
struct Exchange : TimerNode, route::FairItem, ExchangeState {
  Exchange() : TimerNode{.owner = TimerOwner::kExchange} {}
  std::shared_ptr<const KeyEntry> key = {};  ///< Of who calls; nullptr: not asked for.
  Buffer input = {};                         ///< Of the client, not looked at yet.
  Buffer head = {};                          ///< The request's own head, where the body is needed first.
  Buffer request = {};                       ///< For the replica.
  Buffer response_head = {};                 ///< Of the replica, incomplete.
  Buffer pending = {};                       ///< For the client, which is slower than the replica.
  Trailers request_trailers = {};
  Trailers response_trailers = {};         ///< Of a replica of HTTP/1.1.
  std::string adapter = {};                ///< That its replica must have.
  std::vector<std::uint64_t> prefix = {};  ///< Of its prompt, for services that want it.
  std::string log_line = {};               ///< Method and target, for the access log.
};

}  // namespace busbar::gateway::internal
