#pragma once

#include <functional>
#include <memory>

#include "base/error.h"
#include "engine/engine.h"
#include "net/websocket.h"

namespace busbar::control {

/// Starts the terminal's other side: Engine::exec or Engine::attach with these callbacks.
using OpenTerminal =
    std::function<Result<std::unique_ptr<engine::TerminalSession>>(engine::TerminalSession::Callbacks callbacks)>;

/// Joins a client's WebSocket and a terminal session by the frames of api::TerminalFrame. Calls `open` once the socket
/// is open; its error goes to the client as a kError frame. Output that the client does not take is not read from the
/// container either, and input that the task does not read is not read from the client. After the exit code the socket
/// is closed; when the client goes first the session is destroyed, which kills an exec and leaves an attached task
/// alone. A frame that makes no sense closes with 1002.
///
/// The handler owns the session and is owned by the socket. Thread-safe as far as the two sides call it.
std::unique_ptr<net::WebSocketHandler> make_terminal_bridge(OpenTerminal open);

/// For HttpExchange::accept_websocket, so that the bridge's marks fit the socket's limit.
net::WebSocketOptions terminal_socket_options();

}  // namespace busbar::control
