#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/http.h"
#include "net/internal/server_context.h"
#include "net/websocket.h"

namespace busbar::net {

/// One WebSocket over a connected socket, either side (Beast's websocket::stream, seen by its .cc only). It keeps
/// itself alive until it has closed; `on_gone` is its last act. `keep_alive` outlives the socket (the io_context's
/// owner).
struct WebSocketSetup {
  Socket socket;
  std::unique_ptr<WebSocketHandler> handler;
  WebSocketOptions options = {};
  std::shared_ptr<void> keep_alive = {};
  std::function<void(Stoppable*)> on_gone = {};
};

class WebSocketSession : public WebSocket, public Stoppable {
 public:
  /// Answers the upgrade `request`, which the caller has checked (`check_upgrade`).
  static std::shared_ptr<WebSocketSession> accept(WebSocketSetup setup, const HttpRequest& request);

  /// Asks for the upgrade; `on_result` gets success after `on_open`, or the server's refusal. Nothing else is called on
  /// the handler after a refusal.
  static std::shared_ptr<WebSocketSession> connect(WebSocketSetup setup, const HttpRequest& request,
                                                   std::function<void(Result<void>)> on_result);
};

/// nullopt: a proper RFC 6455 §4.2.1 request. Else the answer for it: 426 or 400.
std::optional<HttpResponse> check_upgrade(const HttpRequest& request);

}  // namespace busbar::net
