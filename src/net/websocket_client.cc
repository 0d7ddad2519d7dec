#include <unistd.h>

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/strand.hpp>
#include <future>
#include <thread>
#include <utility>

#include "net/client.h"
#include "net/internal/base_url.h"
#include "net/internal/websocket_session.h"

namespace busbar::net {
namespace {

class ThreadedWebSocketClient : public WebSocketClient {
 public:
  ~ThreadedWebSocketClient() override {
    if (session_) session_->abort();
    if (thread_.joinable()) thread_.join();
  }

  Result<void> open(const BaseUrl& url, int fd, const WebSocketConnectOptions& options,
                    std::unique_ptr<WebSocketHandler> handler) {
    const auto strand = boost::asio::make_strand(*io_);
    Socket socket(strand);
    boost::system::error_code error;
    socket.assign(boost::asio::generic::stream_protocol(url.unix_path.empty() ? AF_INET : AF_UNIX, 0), fd, error);
    if (error) {
      ::close(fd);
      return make_error(ErrorCode::kInternal, "cannot watch the WebSocket's descriptor", error.message());
    }
    HttpRequest request{.target = url.prefix + options.target, .headers = options.headers};
    set_header(request.headers, "Host", url.authority());
    set_header(request.headers, "User-Agent", options.client.user_agent);
    if (!options.client.bearer_token.empty()) {
      set_header(request.headers, "Authorization", "Bearer " + options.client.bearer_token);
    }
    std::promise<Result<void>> opened;
    session_ =
        WebSocketSession::connect({.socket = std::move(socket),
                                   .handler = std::move(handler),
                                   .options = options.socket,
                                   .keep_alive = io_,
                                   .on_gone =
                                       [this](Stoppable*) {
                                         work_.reset();
                                         gone_.set_value();
                                       }},
                                  request, [&opened](Result<void> result) { opened.set_value(std::move(result)); });
    thread_ = std::thread([io = io_] { io->run(); });
    return opened.get_future().get();  // the session has a deadline for its handshake
  }

  WebSocket& socket() override { return *session_; }
  void wait_closed() override { is_gone_.wait(); }

 private:
  const std::shared_ptr<boost::asio::io_context> io_ = std::make_shared<boost::asio::io_context>(1);
  /// Until the session is gone: while reading is paused nothing else keeps the thread in its loop.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_->get_executor()};
  std::promise<void> gone_;
  std::shared_future<void> is_gone_ = gone_.get_future().share();
  std::shared_ptr<WebSocketSession> session_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<WebSocketClient>> WebSocketClient::connect(WebSocketConnectOptions options,
                                                                  std::unique_ptr<WebSocketHandler> handler) {
  TRY_ASSIGN(const BaseUrl url, parse_base_url(options.client.base_url));
  if (url.is_tls) {
    return make_error(ErrorCode::kUnsupported, "WebSockets over TLS are not supported; use http:// or unix:");
  }
  TRY_ASSIGN(const int fd, connect_socket(url, options.client.connect_timeout_ms));
  auto client = std::make_unique<ThreadedWebSocketClient>();
  TRY(client->open(url, fd, options, std::move(handler)));
  return client;
}

}  // namespace busbar::net
