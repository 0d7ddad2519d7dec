#include "net/websocket.h"

#include <gtest/gtest.h>

#include <deque>
#include <thread>

#include "net/client.h"
#include "net/internal/testing.h"
#include "net/server.h"

namespace busbar::net {
namespace {

using testing::Awaited;
using testing::FunctionHandler;
using testing::RawClient;
using testing::start_or_die;

struct Closed {
  int code = 0;
  std::string reason = {};
};

/// What one side has seen; outlives its WebSocketHandler.
struct Seen {
  struct Message {
    std::string text;
    WebSocketMessage kind;
  };
  std::optional<Message> next() {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, testing::kDeadline, [this] { return !messages.empty(); });
    if (messages.empty()) return std::nullopt;
    Message message = std::move(messages.front());
    messages.pop_front();
    return message;
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Message> messages;
  Awaited<std::shared_ptr<WebSocket>> socket;
  Awaited<Closed> closed;
};

class RecordingHandler : public WebSocketHandler {
 public:
  explicit RecordingHandler(std::shared_ptr<Seen> seen) : seen_(std::move(seen)) {}
  void on_open(std::shared_ptr<WebSocket> socket) override { seen_->socket.set(std::move(socket)); }
  void on_message(std::string_view message, WebSocketMessage kind) override {
    const std::lock_guard lock(seen_->mutex);
    seen_->messages.push_back({std::string(message), kind});
    seen_->changed.notify_all();
  }
  void on_close(int code, std::string_view reason) override { seen_->closed.set({code, std::string(reason)}); }

 private:
  std::shared_ptr<Seen> seen_;
};

class EchoHandler : public WebSocketHandler {
 public:
  explicit EchoHandler(std::shared_ptr<Seen> seen) : seen_(std::move(seen)) {}
  void on_open(std::shared_ptr<WebSocket> socket) override {
    socket_ = socket;
    seen_->socket.set(std::move(socket));
  }
  void on_message(std::string_view message, WebSocketMessage kind) override {
    socket_->send(std::string(message), kind);
  }
  void on_close(int code, std::string_view reason) override { seen_->closed.set({code, std::string(reason)}); }

 private:
  std::shared_ptr<Seen> seen_;
  std::shared_ptr<WebSocket> socket_;
};

struct EchoServer {
  explicit EchoServer(WebSocketOptions options = {})
      : handler([this, options](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
          if (request.path == "/forbidden") {
            return exchange->respond(error_response({.code = ErrorCode::kPermissionDenied, .message = "not yours"}));
          }
          token = request.bearer_token();
          exchange->accept_websocket(std::make_unique<EchoHandler>(seen), options);
        }),
        server(start_or_die(handler)) {}

  Result<std::unique_ptr<WebSocketClient>> connect(const std::shared_ptr<Seen>& client_seen,
                                                   WebSocketConnectOptions options = {}) {
    options.client.base_url = "http://127.0.0.1:" + std::to_string(server->port());
    options.client.bearer_token = "secret";
    return WebSocketClient::connect(std::move(options), std::make_unique<RecordingHandler>(client_seen));
  }

  std::shared_ptr<Seen> seen = std::make_shared<Seen>();
  std::string token;
  FunctionHandler handler;
  std::unique_ptr<HttpServer> server;
};

TEST(WebSocket, EchoesTextBinaryAndBigMessages) {
  EchoServer echo;
  const auto seen = std::make_shared<Seen>();
  const auto client = echo.connect(seen);
  ASSERT_TRUE(client.has_value()) << client.error().to_string();
  EXPECT_EQ(echo.token, "secret");
  const std::string big(3 << 20, 'b');
  const std::vector<Seen::Message> messages = {{"hello", WebSocketMessage::kText},
                                               {std::string("\0\xff\x01", 3), WebSocketMessage::kBinary},
                                               {"", WebSocketMessage::kBinary},
                                               {big, WebSocketMessage::kBinary}};
  for (const auto& message : messages) EXPECT_TRUE((*client)->socket().send(message.text, message.kind));
  for (const auto& message : messages) {
    const auto answer = seen->next();
    ASSERT_TRUE(answer.has_value());
    EXPECT_TRUE(answer->text == message.text) << answer->text.size();
    EXPECT_EQ(answer->kind, message.kind);
  }
}

TEST(WebSocket, CloseCodesCrossInBothDirections) {
  EchoServer echo;
  for (const bool is_server_closing : {true, false}) {
    SCOPED_TRACE(is_server_closing);
    echo.seen->socket.reset();
    echo.seen->closed.reset();
    const auto seen = std::make_shared<Seen>();
    const auto client = echo.connect(seen);
    ASSERT_TRUE(client.has_value());
    const auto closer = is_server_closing ? *echo.seen->socket.wait() : *seen->socket.wait();
    closer->send_text("before the close");
    closer->close(4001, "exit 3");
    const auto other = is_server_closing ? seen->closed.wait() : echo.seen->closed.wait();
    ASSERT_TRUE(other.has_value());
    EXPECT_EQ(other->code, 4001);
    EXPECT_EQ(other->reason, "exit 3");
    EXPECT_EQ((is_server_closing ? echo.seen->closed : seen->closed).wait()->code, 4001) << "the answer names the code";
    (*client)->wait_closed();
    EXPECT_FALSE(closer->send_text("late"));
    if (is_server_closing) {
      EXPECT_EQ(seen->next()->text, "before the close");
    }
  }
}

TEST(WebSocket, NoticesThatThePeerVanished) {
  EchoServer echo;
  const auto seen = std::make_shared<Seen>();
  auto client = echo.connect(seen);
  ASSERT_TRUE(client.has_value());
  const auto server_side = *echo.seen->socket.wait();
  client->reset();
  EXPECT_EQ(echo.seen->closed.wait()->code, kWebSocketAbnormal);
  EXPECT_FALSE(server_side->send_text("x"));
}

TEST(WebSocket, ATooBigMessageClosesWith1009) {
  EchoServer echo({.max_message_bytes = 1000});
  const auto seen = std::make_shared<Seen>();
  const auto client = echo.connect(seen);
  ASSERT_TRUE(client.has_value());
  (*client)->socket().send_binary(std::string(1001, 'x'));
  EXPECT_EQ(seen->closed.wait()->code, kWebSocketTooBig);
  EXPECT_EQ(echo.seen->closed.wait()->code, kWebSocketTooBig);
}

TEST(WebSocket, AFastProducerIsPausedAndASlowPeerIsDropped) {
  EchoServer echo({.max_pending_bytes = 256 << 10});
  const auto seen = std::make_shared<Seen>();
  const auto client = echo.connect(seen);
  ASSERT_TRUE(client.has_value());
  const auto producer = *echo.seen->socket.wait();
  const std::string block(32 << 10, 'x');
  constexpr int kBlocks = 500;
  for (int i = 0; i < kBlocks; ++i) {
    if (producer->pending_bytes() + block.size() > (256 << 10)) {
      Awaited<bool> drained;
      producer->when_drained([&] { drained.set(true); });
      ASSERT_TRUE(drained.wait());
    }
    ASSERT_TRUE(producer->send_binary(block));
  }
  for (int i = 0; i < kBlocks; ++i) ASSERT_TRUE(seen->next());

  (*client)->socket().pause_reading();
  for (int i = 0; i < 2; ++i) producer->send_binary(block);  // the read under way may still take one
  int more = 0;
  while (producer->send_binary(block)) ASSERT_LT(++more, 10'000) << "the queue has no bound";
  EXPECT_EQ(echo.seen->closed.wait()->code, kWebSocketAbnormal);
}

TEST(WebSocket, APausedReaderLosesNothing) {
  EchoServer echo;
  const auto seen = std::make_shared<Seen>();
  const auto client = echo.connect(seen);
  ASSERT_TRUE(client.has_value());
  (*client)->socket().pause_reading();
  for (int i = 0; i < 100; ++i) (*client)->socket().send_text(std::to_string(i));
  (*client)->socket().resume_reading();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(seen->next()->text, std::to_string(i));
}

TEST(WebSocket, APausedClientWithNothingUnderWayStaysAlive) {
  EchoServer echo;
  const auto seen = std::make_shared<Seen>();
  const auto client = echo.connect(seen);
  ASSERT_TRUE(client.has_value());
  const auto producer = *echo.seen->socket.wait();
  for (int i = 0; i < 50; ++i) {
    (*client)->socket().pause_reading();
    producer->send_text("taken by the read under way");
    ASSERT_TRUE(seen->next());
    (*client)->socket().resume_reading();
    producer->send_text("after the pause");
    ASSERT_TRUE(seen->next()) << "in round " << i;
  }
}

TEST(WebSocket, APausedReaderStillSendsAndGoesOnLater) {
  EchoServer echo;
  const auto seen = std::make_shared<Seen>();
  const auto client = echo.connect(seen);
  ASSERT_TRUE(client.has_value());
  const auto server_side = *echo.seen->socket.wait();
  server_side->pause_reading();
  (*client)->socket().send_text("one that the read under way may take");
  (*client)->socket().pause_reading();
  Awaited<bool> sent;
  (*client)->socket().send_text("two");
  (*client)->socket().when_drained([&] { sent.set(true); });
  EXPECT_TRUE(sent.wait());
  server_side->resume_reading();
  (*client)->socket().resume_reading();
  EXPECT_EQ(seen->next()->text, "one that the read under way may take");
  EXPECT_EQ(seen->next()->text, "two");
}

TEST(WebSocket, APausedReaderNoticesThatItsPeerHasLeft) {
  EchoServer echo({.idle_timeout_ms = 50});
  const auto seen = std::make_shared<Seen>();
  auto client = echo.connect(seen);
  ASSERT_TRUE(client.has_value());
  const auto server_side = *echo.seen->socket.wait();
  server_side->pause_reading();
  (*client)->socket().send_text("taken by the read under way, after which there is none");
  ASSERT_TRUE(seen->next());
  client->reset();
  EXPECT_EQ(echo.seen->closed.wait()->code, kWebSocketAbnormal);
}

TEST(WebSocket, ARefusedUpgradeIsTheServersError) {
  EchoServer echo;
  const auto client = echo.connect(std::make_shared<Seen>(), {.target = "/forbidden"});
  ASSERT_FALSE(client.has_value());
  EXPECT_EQ(client.error(), (Error{.code = ErrorCode::kPermissionDenied, .message = "not yours"}));
}

TEST(WebSocket, IsNotForOrdinaryRequests) {
  EchoServer echo;
  RawClient client(echo.server->port());
  const std::string answer = client.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 426 ")) << answer;
  EXPECT_TRUE(client
                  .ask("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n")
                  .starts_with("HTTP/1.1 400 "));
}

TEST(WebSocket, ClosesWith1001WhenTheServerStops) {
  EchoServer echo;
  const auto seen = std::make_shared<Seen>();
  const auto client = echo.connect(seen);
  ASSERT_TRUE(client.has_value());
  const auto server_side = *echo.seen->socket.wait();
  echo.server->stop(20'000);
  EXPECT_EQ(seen->closed.wait()->code, kWebSocketGoingAway);
  (*client)->wait_closed();
  echo.server.reset();
  EXPECT_FALSE(server_side->send_text("late"));  // harmless after the server
}

TEST(WebSocket, APeerThatDoesNotAnswerTheCloseIsCutWhenTheServerStops) {
  EchoServer echo;
  RawClient client(echo.server->port());
  client.send(
      "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  const std::string answer = client.read_until("\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 101 ")) << answer;
  EXPECT_NE(answer.find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), std::string::npos);  // RFC 6455 §1.3
  echo.server->stop(1);
  EXPECT_TRUE(client.is_closed_by_server());
}

}  // namespace
}  // namespace busbar::net
