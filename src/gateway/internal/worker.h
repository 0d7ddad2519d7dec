#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gateway/http_head.h"
#include "gateway/internal/callers.h"
#include "gateway/internal/channel.h"
#include "gateway/internal/head_writer.h"
#include "gateway/internal/shared_state.h"
#include "gateway/internal/sockets.h"
#include "gateway/internal/timer_wheel.h"
#include "gateway/internal/upstream_session.h"
#include "os/event_fd.h"
#include "os/unique_fd.h"

namespace busbar::gateway::internal {

struct WorkerSettings {
  std::int64_t idle_timeout_ms = 75'000;    ///< Of a client's connection between requests.
  std::int64_t head_timeout_ms = 10'000;    ///< From a request's first byte to the end of its head.
  std::int64_t body_timeout_ms = 60'000;    ///< Without progress of a body, either way.
  std::int64_t connect_timeout_ms = 2'000;  ///< To a replica.
  std::int64_t upstream_idle_ms = 60'000;   ///< Of a pooled connection to a replica, at most.
  std::size_t max_idle_upstreams = 256;     ///< For each replica.
  std::size_t max_clients = 1'000'000;      ///< Beyond: accepting pauses.
  std::size_t max_handshakes = 4'096;       ///< Of TLS, under way at once; beyond: closed.
  int log_fd = -1;                          ///< Access log; borrowed. -1: none.
};

/// What all workers count together.
struct alignas(64) WorkerCounters {
  Counter accepted = {};
  Counter accept_errors = {};
  Counter requests = {};
  Counter refused = {};  ///< Malformed, or for no service.
  Counter log_errors = {};
  Counter handshakes = {};        ///< Of TLS, done.
  Counter handshake_errors = {};  ///< Failed, or refused because too many were under way.
  Counter http2_connections = {};
  std::atomic<std::uint64_t> clients = 0;
  std::atomic<std::uint64_t> upstreams = 0;
};

/// A socket that listens.
struct Listener {
  os::UniqueFd fd = {};
  bool is_secure = false;  ///< TLS.
};

/// How workers reach each other and the threads beside them.
struct Board {
  os::EventFd* demand = nullptr;          ///< Set when a request waits for a replica that is not there.
  std::vector<os::EventFd*> wakers = {};  ///< One for each worker.
};

/// One thread of the data path: its own listening sockets, epoll, clients and connections to replicas; nothing of it is
/// seen by another thread but the counters. Requests are read strictly, rewritten, given to the less loaded of two
/// replicas, and their answers streamed back; bytes are copied only where a receiver is slower than its sender.
class Worker {
 public:
  /// `secret`: random, of this process.
  Worker(std::size_t index, WorkerSettings settings, std::vector<Listener> listeners, const Board& board,
         os::EventFd waker, os::UniqueFd epoll, const route::HashKey& secret);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Runs on the caller's thread until drained or cut.
  void run();
  /// Descriptors that nobody else uses, before run().
  std::vector<int> own_files() const;
  /// On the thread that ran, after run(): closes all of them, and what came since.
  void close_files();

  // Thread-safe.
  void update(std::shared_ptr<const Directory> directory);
  /// For the handshakes that begin from now on.
  void set_identities(std::shared_ptr<const TlsIdentities> identities);
  /// Accepts no more, closes idle clients, ends when the last request has; `cut` ends at once.
  void drain();
  void cut();
  /// Version of the table that it routes by now: no request is given to a replica by an older one any more.
  std::uint64_t applied_version() const { return applied_version_.load(std::memory_order_acquire); }
  os::EventFd& waker() { return waker_; }
  const WorkerCounters& counters() const { return counters_; }

 private:
  // worker.cc: the loop, connections of clients, tables
  bool add_to_epoll(Socket& socket);
  void handle(Socket& socket, std::uint32_t events);
  void accept_clients(Socket& listener);
  void linger(Client& client);
  void read_lingering(Client& client);
  void close_client(Client& client);
  void client_gone(Client& client);
  void take_mail();
  void apply(std::shared_ptr<const Directory> directory);
  void forget_unlisted();
  void begin_drain();
  void refresh_clock();
  bool is_done() const;
  int wait_ms() const;

  // worker_timers.cc
  void expire(TimerNode& node);
  void exchange_expired(Exchange& exchange);

  // worker_channel.cc: what lies between a client's socket and its requests
  Channel* channel_of(const Client& client) const;
  bool open_secure(Client& client);
  Channel& open_channel(Client& client);
  void close_channel(Client& client);
  bool shake_hands(Client& client);
  bool is_secure(const Client& client) const;
  ssize_t receive(Client& client);
  ssize_t transmit(Client& client, std::string_view head, std::string_view body);
  bool flush_client(Exchange& exchange);
  bool send_client(Exchange& exchange, std::string_view head, std::string_view body);
  bool send_continue(Exchange& exchange);

  // worker_http2.cc: connections of streams
  void open_http2(Client& client);
  void switch_to_http2(Exchange& exchange, std::string_view bytes);
  bool feed_http2(Client& client, std::string_view bytes);
  void serve_http2(Client& client);
  void serve_touched(Http2Session& session);
  void mark_dirty(Client& client);
  void flush_dirty();
  void flush_http2(Client& client);
  void wake(Stream& stream);
  void serve_stream(Stream& stream);
  void begin_stream(Stream& stream);
  void consume(Stream& stream, std::size_t bytes);
  void take_stream_body(Stream& stream, Exchange& exchange);
  void answer_stream(Exchange& exchange, const Http2Session::OwnHead& head, std::string_view body);
  void finish_stream(Exchange& exchange);
  void close_stream(Stream& stream);
  void close_http2(Http2Session& session);
  void drain_http2(Client& client);
  void http2_expired(Client& client);

  // worker_client.cc: the client's side of a request
  void serve_client(Client& client);
  void read_client(Client& client);
  void read_request(Exchange& exchange);
  bool take_input(Exchange& exchange, std::string_view bytes, bool is_scratch);
  std::size_t begin_request(Exchange& exchange, std::string_view bytes, bool is_scratch);
  bool client_goes_on(const Exchange& exchange) const;
  void note_request(Exchange& exchange, const RequestHead& head);
  std::size_t route_request(Exchange& exchange, const RequestHead& head, std::size_t head_bytes);
  void forward_head(Exchange& exchange, const RequestHead& head, std::string_view target, std::string_view prefix);
  void take_gathered(Exchange& exchange);
  std::size_t take_body(Exchange& exchange, std::string_view bytes);
  bool put_body(Exchange& exchange, std::string_view bytes);
  void finish_body(Exchange& exchange);
  void continue_body(Exchange& exchange);
  Exchange& exchange_of(Client& client);

  // worker_upstream.cc: replicas
  void bind_service(Exchange& exchange, std::size_t index);
  void dispatch(Exchange& exchange);
  bool choose_endpoint(Exchange& exchange);
  void start_waiting(Exchange& exchange);
  enum class Waited { kServed, kInVain };
  void stop_waiting(Exchange& exchange, Waited how);
  void serve_waiting(WorkerService& service);
  void mark_ready(WorkerService& service);
  void offer_place(WorkerService& service);
  void wake_others(const WorkerService& service);
  void connect(Exchange& exchange);
  void reach_endpoint(Exchange& exchange);
  void read_on(Exchange& exchange);
  void serve_upstream(Upstream& upstream, std::uint32_t events);
  bool flush_request(Exchange& exchange);
  void note_sent(Exchange& exchange);
  void upstream_failed(Exchange& exchange, std::string_view text);
  void close_upstream(Upstream& upstream);
  void park_upstream(Upstream& upstream);
  void unlink_idle(Upstream& upstream);
  std::int64_t idle_ms_of(const Upstream& upstream) const;
  Upstream* open_upstream(WorkerEndpoint& endpoint);
  bool has_adapter(const Exchange& exchange, std::size_t index) const;
  static void take_place(const Exchange& exchange, WorkerEndpoint& endpoint);
  void give_place(const Exchange& exchange, WorkerEndpoint& endpoint);
  void leave_endpoint(Exchange& exchange, bool has_failed);
  void judge(EndpointState& endpoint, bool has_failed);
  std::uint64_t draw();

  // worker_trunk.cc: replicas that speak HTTP/2
  Upstream* open_stream(WorkerEndpoint& endpoint);
  Trunk* open_trunk(WorkerEndpoint& endpoint);
  void serve_trunk(Trunk& trunk, std::uint32_t events);
  void read_trunk(Trunk& trunk);
  void feed_trunk(Trunk& trunk, std::string_view bytes);
  void trunk_ready(Trunk& trunk);
  void trunk_failed(Trunk& trunk, std::string_view text);
  void trunk_expired(Trunk& trunk);
  void retire(Trunk& trunk);
  void tend(Trunk& trunk);
  void close_trunk(Trunk& trunk);
  void mark_dirty(Trunk& trunk);
  void flush_trunks();
  void flush_trunk(Trunk& trunk);
  void serve_touched(Trunk& trunk);
  void recycle_trunks();
  void serve_stream(UpstreamStream& stream);
  bool begin_stream(Exchange& exchange, UpstreamStream& stream);
  bool flush_stream(Exchange& exchange, UpstreamStream& stream);
  void pump_stream(Exchange& exchange, UpstreamStream& stream);
  void consume(UpstreamStream& stream, std::size_t bytes);
  void end_stream(Exchange& exchange, UpstreamStream& stream);
  void stream_failed(Exchange& exchange, UpstreamStream& stream);
  void move_stream(UpstreamStream& stream);
  void close_stream(UpstreamStream& stream);

  // worker_policy.cc: who may call, and how much
  bool admit(Exchange& exchange, const RequestHead& head);
  bool know_caller(Exchange& exchange, const RequestHead& head);
  bool has_known_key(const RequestHead& head);
  bool take_rates(Exchange& exchange);
  void read_wishes(Exchange& exchange, const RequestHead& head);
  void note_prompt(Exchange& exchange, const route::InferenceBody& body);
  void note_prefix(const Exchange& exchange);
  void settle(Exchange& exchange);
  void append_rate_fields(std::string& out, const Exchange& exchange) const;

  // worker_hedge.cc: a second replica
  std::int64_t hedge_after_ms(const Exchange& exchange) const;
  static void earn_hedge(WorkerService& service);
  void start_hedge(Exchange& exchange);
  bool flush_hedge(Exchange& exchange);
  void serve_hedge(Exchange& exchange, std::uint32_t events);
  void take_hedge(Exchange& exchange);
  void adopt_hedge(Exchange& exchange);
  void drop_hedge(Exchange& exchange);

  // worker_errand.cc: copies of requests, health checks
  static constexpr std::size_t kMaxMirrorBytes = 256 << 10;
  static bool is_mirrored(const Exchange& exchange) {
    return !exchange.service->entry->value.traffic.mirror.to.empty();
  }
  void mirror(const Exchange& exchange);
  void probe_replicas();
  Errand* start_errand(const WorkerEndpoint& endpoint, std::int64_t timeout_ms);
  void frame_errand(Errand& errand);
  void serve_errand(Errand& errand, std::uint32_t events);
  void serve_framed_errand(Errand& errand, std::uint32_t events);
  void finish_errand(Errand& errand);

  // worker_trailers.cc: chunked answers
  static void note_connection(Trailers& trailers, std::span<const HeaderLine> headers);
  bool take_chunks(Exchange& exchange, std::string_view head, std::string_view bytes);
  bool send_chunks(Exchange& exchange, std::string_view head, std::string_view bytes, std::size_t passed);

  // worker_response.cc: the answer, and the end of an exchange
  void pump_response(Exchange& exchange);
  bool take_response(Exchange& exchange, std::string_view bytes);
  bool take_response_head(Exchange& exchange, std::string_view rest);
  bool take_response_body(Exchange& exchange, std::string_view head, std::string_view bytes);
  void response_closed(Exchange& exchange);
  bool finish_response(Exchange& exchange, bool is_upstream_clean);
  bool response_broken(Exchange& exchange, std::string_view text);
  bool begin_tunnel(Exchange& exchange, std::string_view rest);

  void answer(Exchange& exchange, int status, std::string_view content_type, std::string_view body,
              std::optional<std::int64_t> retry_after_s = {});
  void fail(Exchange& exchange, int status, std::string_view text, std::optional<std::int64_t> retry_after_s = {});
  void answer_grpc(Exchange& exchange, int status, std::string_view text, std::optional<std::int64_t> retry_after_s);
  void cut_answer(Exchange& exchange, int status, std::string_view text);
  void finish_if_done(Exchange& exchange);
  void end_exchange(Exchange& exchange);
  void account(Exchange& exchange);
  void write_log_line(const Exchange& exchange);
  void flush_log();
  void arm(Exchange& exchange, std::int64_t timeout_ms);
  void arm_response(Exchange& exchange);
  std::int64_t body_timeout_ms(const Exchange& exchange) const;

  const std::size_t index_;
  const WorkerSettings settings_;
  const Board& board_;
  os::EventFd waker_;
  os::UniqueFd epoll_;
  os::UniqueFd spare_;  ///< Given up for a moment to accept and close when descriptors run out.
  std::vector<Listener> listener_fds_;
  std::vector<std::unique_ptr<Socket>> listeners_ = {};
  Socket waker_socket_ = {};
  bool is_accepting_ = true;

  std::mutex mail_mutex_;
  std::shared_ptr<const Directory> mail_ = {};
  std::shared_ptr<const TlsIdentities> identities_mail_ = {};
  std::atomic<std::uint64_t> applied_version_ = 0;
  std::atomic<bool> wants_drain_ = false;
  std::atomic<bool> wants_cut_ = false;
  bool is_draining_ = false;

  std::int64_t now_us_ = 0;
  TimerWheel timers_;
  std::shared_ptr<const Directory> directory_ = {};
  std::vector<WorkerService*> services_ = {};  ///< As directory_->services().
  std::vector<std::unique_ptr<WorkerService>> owned_services_ = {};
  std::vector<WorkerService*> ready_services_ = {};
  bool has_unlisted_ = false;

  // Pools: an object in a free list keeps its memory. Deques, so that objects stay where they are.
  std::deque<Client> clients_ = {};
  std::deque<Upstream> upstreams_ = {};
  std::deque<Exchange> exchanges_ = {};
  std::vector<Client*> free_clients_ = {};
  std::vector<Upstream*> free_upstreams_ = {};
  std::vector<Exchange*> free_exchanges_ = {};
  std::deque<Errand> errands_ = {};
  std::vector<Errand*> free_errands_ = {};
  std::vector<Errand*> closed_errands_ = {};
  std::size_t mirrors_ = 0;  ///< Under way.
  static constexpr std::int64_t kNeverUs = std::int64_t{1} << 62;
  std::int64_t next_probe_us_ = kNeverUs;
  // Closed in this round: another event of the round may still point at them.
  std::vector<Client*> closed_clients_ = {};
  std::vector<Upstream*> closed_upstreams_ = {};
  std::vector<Client*> resumed_clients_ = {};

  std::deque<Trunk> trunks_ = {};
  std::deque<UpstreamStream> streams_ = {};  ///< Of trunks.
  std::vector<Trunk*> free_trunks_ = {};
  std::vector<UpstreamStream*> free_streams_ = {};
  std::vector<Trunk*> closed_trunks_ = {};
  std::vector<UpstreamStream*> closed_streams_ = {};
  std::vector<Trunk*> dirty_trunks_ = {};  ///< With frames to be sent.

  std::shared_ptr<const TlsIdentities> identities_ = {};
  std::vector<std::unique_ptr<Channel>> channels_ = {};  ///< By index; the first is never used.
  std::vector<std::uint32_t> free_channels_ = {};
  std::vector<std::unique_ptr<Channel>> closed_channels_ = {};  ///< In this round.
  std::vector<Client*> dirty_clients_ = {};                     ///< With frames to be sent.
  std::size_t handshakes_ = 0;                                  ///< Under way.

  HeadParser parser_ = {};
  std::string out_head_ = {};
  std::string more_fields_ = {};  ///< For the head of the next answer.
  KeyCache keys_;
  std::string log_ = {};
  std::uint64_t random_ = 0;
  double retry_tokens_ = 10;
  WorkerCounters counters_ = {};
  static constexpr std::size_t kScratchBytes = 64 << 10;
  std::unique_ptr<char[]> scratch_ = std::make_unique<char[]>(kScratchBytes);
};

}  // namespace busbar::gateway::internal
