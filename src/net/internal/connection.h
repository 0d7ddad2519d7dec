#pragma once

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "net/internal/outbox.h"
#include "net/internal/request_parser.h"
#include "net/internal/response_text.h"
#include "net/internal/server_context.h"

namespace busbar::net {

/// One client's connection: reads a request, hands it out, writes the answer, reads the next.
///
///   kReading -> kHandling -> kWriting ---> kReading (keep-alive) or kLingering -> kClosed
///                        \-> kStreaming -/
///                        \-> upgraded: the socket goes to a WebSocketSession, this ends
///
/// All members are touched on the strand only, except the closed flag (mutex). The public methods may be called from
/// any thread. Owned by its pending operations and by the exchange in work.
class Connection : public Stoppable, public std::enable_shared_from_this<Connection> {
 public:
  using Strand = boost::asio::strand<boost::asio::io_context::executor_type>;
  struct Peer {
    std::string name;
    std::optional<std::uint32_t> uid;
  };
  /// `socket` must be on `strand`.
  Connection(std::shared_ptr<ServerContext> context, Strand strand, Socket socket, Peer peer);

  void start();
  void stop_gracefully() override;
  void abort() override;

  // For the exchange in work; what comes after the connection has closed is dropped.
  void respond(HttpResponse response);
  void start_stream(int status, HttpHeaders headers, StreamOptions options, std::shared_ptr<Outbox> outbox);
  void wake_stream();
  void upgrade(HttpRequest request, std::unique_ptr<WebSocketHandler> handler, WebSocketOptions options);

 private:
  enum class Phase { kReading, kHandling, kWriting, kStreaming, kLingering, kClosed };

  /// Runs `action` on the strand, at once if the caller is there already; `dropped` instead if the connection has
  /// closed.
  template <class Action, class Dropped>
  void run_on_strand(Action action, Dropped dropped);
  template <class Action>
  void run_on_strand(Action action);

  void read_more();
  void on_read(const boost::system::error_code& error, std::size_t bytes);
  void advance();
  void dispatch();
  void refuse(int status, const Error& error);
  void write_continue();

  void write_response(HttpResponse response);
  void open_stream(int status, const HttpHeaders& headers);
  void flush_stream();
  void write_last_chunk();
  void end_stream();
  template <class Next>
  void write(Next next);
  void finish_answer();
  void linger();
  void close();
  void detach();

  void set_deadline_ms(std::int64_t from_now_ms);
  void clear_deadline();
  void arm_timer();
  void on_timer();
  void on_deadline();

  const std::shared_ptr<ServerContext> context_;
  const Strand strand_;
  Socket socket_;
  boost::asio::steady_timer timer_;
  const Peer peer_;
  RequestParser parser_;
  std::array<char, 16 << 10> read_buffer_;

  Phase phase_ = Phase::kReading;
  bool is_reading_ = false;
  bool is_head_timed_ = false;  ///< The header deadline of the request being read runs.
  bool is_continue_sent_ = false;
  bool is_keep_alive_ = true;
  bool is_http_1_0_ = false;
  bool is_head_request_ = false;
  bool is_stopping_ = false;

  std::string write_head_;
  std::string write_body_;
  bool is_writing_ = false;

  std::shared_ptr<Outbox> outbox_;  ///< kStreaming only.
  StreamOptions stream_options_;
  BodyFraming stream_framing_ = BodyFraming::kChunked;

  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::time_point::max();
  std::chrono::steady_clock::time_point timer_due_ = std::chrono::steady_clock::time_point::max();

  std::mutex mutex_;
  bool is_closed_ = false;  ///< Under mutex_: set before the last action runs, so nothing is posted to a dead loop.
};

}  // namespace busbar::net
