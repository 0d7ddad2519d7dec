#include "net/internal/exchange.h"

#include <utility>

#include "net/internal/websocket_session.h"

namespace busbar::net {
namespace {

class ConnectionStream : public StreamWriter {
 public:
  ConnectionStream(std::shared_ptr<Connection> connection, std::shared_ptr<Outbox> outbox)
      : connection_(std::move(connection)), outbox_(std::move(outbox)) {}
  ~ConnectionStream() override { ConnectionStream::end(); }

  bool write(std::string_view bytes) override {
    if (bytes.empty()) return outbox_->is_open();
    switch (outbox_->push(std::string(bytes), WebSocketMessage::kBinary)) {
      case Outbox::Push::kQueued:
        return true;
      case Outbox::Push::kWake:
        connection_->wake_stream();
        return true;
      case Outbox::Push::kFull:
        connection_->abort();
        return false;
      case Outbox::Push::kClosed:
        return false;
    }
    return false;
  }
  std::size_t pending_bytes() const override { return outbox_->pending_bytes(); }
  void when_drained(std::function<void()> callback) override { outbox_->when_drained(std::move(callback)); }
  void on_close(std::function<void()> callback) override { outbox_->on_close(std::move(callback)); }
  bool is_open() const override { return outbox_->is_open(); }
  void end() override {
    if (outbox_->finish()) connection_->wake_stream();
  }

 private:
  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<Outbox> outbox_;
};

}  // namespace

ConnectionExchange::ConnectionExchange(std::shared_ptr<Connection> connection, HttpRequest upgrade_request)
    : connection_(std::move(connection)), upgrade_request_(std::move(upgrade_request)) {}

ConnectionExchange::~ConnectionExchange() {
  ConnectionExchange::respond(
      error_response({.code = busbar::ErrorCode::kInternal, .message = "the server did not answer this request"}));
}

void ConnectionExchange::respond(HttpResponse response) {
  if (claim()) connection_->respond(std::move(response));
}

std::shared_ptr<StreamWriter> ConnectionExchange::start_stream(int status, HttpHeaders headers, StreamOptions options) {
  auto outbox = std::make_shared<Outbox>(options.max_pending_bytes);
  auto stream = std::make_shared<ConnectionStream>(connection_, outbox);
  if (claim()) {
    connection_->start_stream(status, std::move(headers), std::move(options), std::move(outbox));
  } else {
    outbox->close();
  }
  return stream;
}

void ConnectionExchange::accept_websocket(std::unique_ptr<WebSocketHandler> handler, WebSocketOptions options) {
  if (!claim()) return;
  if (std::optional<HttpResponse> refusal = check_upgrade(upgrade_request_)) {
    connection_->respond(*std::move(refusal));
  } else {
    connection_->upgrade(std::move(upgrade_request_), std::move(handler), options);
  }
}

}  // namespace busbar::net
