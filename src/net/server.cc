#include "net/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <thread>

#include "base/check.h"
#include "net/internal/acceptor.h"
#include "net/internal/connection.h"
#include "net/internal/listen.h"

namespace busbar::net {
namespace {

class AsioServer : public HttpServer {
 public:
  AsioServer(HttpServerOptions options, HttpHandler& handler)
      : context_(std::make_shared<ServerContext>(std::move(options), handler)), work_(context_->io.get_executor()) {}

  ~AsioServer() override { AsioServer::stop(0); }

  Result<void> listen() {
    const HttpServerOptions& options = context_->options;
    if (!options.bind_address.empty()) {
      TRY_ASSIGN(ListenSocket socket, listen_tcp(options.bind_address, options.port));
      port_ = socket.port;
      acceptors_.push_back(std::make_shared<Acceptor>(context_, std::move(socket)));
    }
    if (!options.unix_socket_path.empty()) {
      TRY_ASSIGN(ListenSocket socket, listen_unix(options.unix_socket_path));
      acceptors_.push_back(std::make_shared<Acceptor>(context_, std::move(socket)));
    }
    if (acceptors_.empty()) {
      return make_error(ErrorCode::kInvalidArgument, "the HTTP server needs an address or a unix socket to listen on");
    }
    return {};
  }

  void run() {
    for (const auto& acceptor : acceptors_) acceptor->start();
    for (int i = 0; i < context_->options.threads; ++i) {
      threads_.emplace_back([this] { context_->io.run(); });
    }
  }

  std::uint16_t port() const override { return port_; }

  HttpServerStats stats() const override {
    return {.connections_open = context_->registry.size(),
            .connections_accepted = context_->connections_accepted.load(std::memory_order_relaxed),
            .connections_refused = context_->connections_refused.load(std::memory_order_relaxed),
            .accept_errors = context_->accept_errors.load(std::memory_order_relaxed),
            .requests = context_->requests.load(std::memory_order_relaxed),
            .requests_refused = context_->requests_refused.load(std::memory_order_relaxed)};
  }

  void stop(std::int64_t grace_ms) override {
    const std::lock_guard lock(stop_mutex_);
    if (std::exchange(is_stopped_, true)) return;
    if (threads_.empty()) return;  // `listen` failed
    for (const auto& acceptor : acceptors_) acceptor->stop();
    context_->registry.stop_all();
    if (!context_->registry.wait_empty(std::chrono::milliseconds(grace_ms))) context_->registry.abort_all();
    // What was posted before everything closed still runs; then the loop has no work and the threads end.
    work_.reset();
    for (std::thread& thread : threads_) thread.join();
    acceptors_.clear();
  }

 private:
  const std::shared_ptr<ServerContext> context_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::vector<std::shared_ptr<Acceptor>> acceptors_;
  std::vector<std::thread> threads_;
  std::uint16_t port_ = 0;
  std::mutex stop_mutex_;
  bool is_stopped_ = false;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpServerOptions options, HttpHandler& handler) {
  CHECK(options.threads >= 1);
  auto server = std::make_unique<AsioServer>(std::move(options), handler);
  TRY(server->listen());
  server->run();
  return server;
}

}  // namespace busbar::net
