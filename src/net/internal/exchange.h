#pragma once

#include <atomic>
#include <memory>

#include "net/internal/connection.h"

namespace busbar::net {

/// The HttpExchange of one request on a Connection.
class ConnectionExchange : public HttpExchange {
 public:
  /// `upgrade_request`: the head of the request, kept for `accept_websocket`.
  ConnectionExchange(std::shared_ptr<Connection> connection, HttpRequest upgrade_request);
  ~ConnectionExchange() override;

  void respond(HttpResponse response) override;
  std::shared_ptr<StreamWriter> start_stream(int status, HttpHeaders headers, StreamOptions options) override;
  void accept_websocket(std::unique_ptr<WebSocketHandler> handler, WebSocketOptions options) override;

 private:
  bool claim() { return !is_answered_.exchange(true); }

  const std::shared_ptr<Connection> connection_;
  HttpRequest upgrade_request_;
  std::atomic<bool> is_answered_ = false;
};

}  // namespace busbar::net
