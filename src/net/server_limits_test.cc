#include <gtest/gtest.h>
#include <sys/resource.h>

#include <thread>

#include "net/internal/testing.h"
#include "net/server.h"

namespace busbar::net {
namespace {

using testing::echo;
using testing::FunctionHandler;
using testing::RawClient;
using testing::start_or_die;

TEST(HttpServerLimits, RefusesMalformedRequestsWithAJsonErrorAndCloses) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler, {.max_body_bytes = 1000, .max_header_bytes = 2000});
  const struct {
    std::string request;
    int status;
    const char* code;
  } kCases[] = {
      {"nonsense\r\n\r\n", 400, "invalid_argument"},
      {"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "invalid_argument"},
      {"GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "invalid_argument"},
      {"GET / HTTP/1.1\r\n\r\n", 400, "invalid_argument"},
      {"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "permission_denied"},
      {"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(3000, 'x') + "\r\n\r\n", 431, "resource_exhausted"},
      {"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n", 413, "resource_exhausted"},
      {"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
       "invalid_argument"},
  };
  for (const auto& one : kCases) {
    SCOPED_TRACE(one.request.substr(0, 80));
    RawClient client(server->port());
    client.send(one.request);
    const std::string answer = client.read_to_end();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 " + std::to_string(one.status) + " ")) << answer;
    const std::size_t body = answer.find("\r\n\r\n");
    ASSERT_NE(body, std::string::npos);
    const auto json = parse_json(answer.substr(body + 4));
    ASSERT_TRUE(json.has_value()) << answer;
    EXPECT_EQ((*json)["error"]["code"].as_string(), one.code);
    EXPECT_TRUE(client.is_closed_by_server());
  }
  EXPECT_EQ(server->stats().requests, 0u);
  EXPECT_EQ(server->stats().requests_refused, std::size(kCases));
}

TEST(HttpServerLimits, ABigBodyIsRefusedEvenIfTheClientGoesOnSending) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler, {.max_body_bytes = 1000});
  RawClient client(server->port());
  client.send("PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n");
  client.send(std::string(4'000'000, 'x'));
  EXPECT_TRUE(client.read_response().starts_with("HTTP/1.1 413 "));
}

TEST(HttpServerLimits, AnswersASlowHeadWith408) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler, {.header_timeout_ms = 30});
  RawClient client(server->port());
  client.send("GET / HTTP/1.1\r\nHo");
  EXPECT_TRUE(client.read_to_end().starts_with("HTTP/1.1 408 "));
}

TEST(HttpServerLimits, AnswersABodyThatStopsWith408) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler, {.idle_timeout_ms = 30});
  RawClient client(server->port());
  client.send("PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_TRUE(client.read_to_end().starts_with("HTTP/1.1 408 "));
}

TEST(HttpServerLimits, ClosesAnIdleConnectionSilently) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler, {.idle_timeout_ms = 30});
  RawClient client(server->port());
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_TRUE(client.is_closed_by_server());
}

TEST(HttpServerLimits, DropsAClientThatDoesNotReadItsAnswer) {
  FunctionHandler handler([](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    exchange->respond(text_response(200, "text/plain", std::string(64 << 20, 'x')));
  });
  const auto server = start_or_die(handler, {.idle_timeout_ms = 50});
  RawClient client(server->port(), 4096);
  client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  while (server->stats().connections_open == 0 && server->stats().requests == 0) std::this_thread::yield();
  const auto deadline = std::chrono::steady_clock::now() + testing::kDeadline;
  while (server->stats().connections_open > 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(server->stats().connections_open, 0u);
}

TEST(HttpServerLimits, RefusesConnectionsBeyondTheLimit) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler, {.max_connections = 2});
  RawClient first(server->port());
  RawClient second(server->port());
  first.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  second.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  RawClient third(server->port());
  EXPECT_TRUE(third.read_to_end().starts_with("HTTP/1.1 503 "));
  EXPECT_EQ(server->stats().connections_refused, 1u);
}

TEST(HttpServerLimits, WaitsOutALackOfDescriptors) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler);
  RawClient before(server->port());
  EXPECT_TRUE(before.ask("GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\n").ends_with("/1 "));
  rlimit old{};
  ::getrlimit(RLIMIT_NOFILE, &old);
  RawClient waiting(server->port());  // connected by the kernel; its descriptor on our side comes with accept
  before.ask("GET /2 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  waiting.ask("GET /3 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const rlimit none{.rlim_cur = static_cast<rlim_t>(socket + 1), .rlim_max = old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(server->port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const auto deadline = std::chrono::steady_clock::now() + testing::kDeadline;
  while (server->stats().accept_errors == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  const std::uint64_t errors = server->stats().accept_errors;
  EXPECT_GE(errors, 1u);
  EXPECT_TRUE(before.ask("GET /4 HTTP/1.1\r\nHost: localhost\r\n\r\n").ends_with("/4 "));
  EXPECT_LT(server->stats().accept_errors, errors + 100) << "accepting spins";
  ::setrlimit(RLIMIT_NOFILE, &old);
  ASSERT_GT(::send(socket, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL), 0);
  char byte = 0;
  EXPECT_EQ(::recv(socket, &byte, 1, 0), 1);
  ::close(socket);
}

}  // namespace
}  // namespace busbar::net
