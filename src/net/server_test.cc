#include "net/server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "net/client.h"
#include "net/internal/testing.h"

namespace busbar::net {
namespace {

using testing::Awaited;
using testing::echo;
using testing::FunctionHandler;
using testing::RawClient;
using testing::start_or_die;

std::string status_line(const std::string& answer) {
  return answer.substr(0, answer.find("\r\n"));
}

TEST(HttpServer, KeepsTheConnectionForTheNextRequest) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler);
  RawClient client(server->port());
  for (int i = 0; i < 3; ++i) {
    const std::string answer =
        client.ask("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n" + std::to_string(i));
    EXPECT_TRUE(answer.ends_with("\r\n\r\nPOST /a " + std::to_string(i))) << answer;
  }
  EXPECT_EQ(server->stats().connections_accepted, 1u);
  EXPECT_EQ(server->stats().requests, 3u);
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
  // The first answer comes last from another thread; the second request must wait for it.
  std::atomic<int> running = 0;
  std::atomic<int> most_running = 0;
  std::vector<std::thread> threads;
  FunctionHandler handler([&](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    most_running = std::max(most_running.load(), ++running);
    threads.emplace_back([&running, exchange, path = request.path] {
      --running;
      exchange->respond(text_response(200, "text/plain", path));
    });
  });
  {
    const auto server = start_or_die(handler);
    RawClient client(server->port());
    std::string requests;
    for (int i = 0; i < 20; ++i) requests += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.send(requests);
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(client.read_response().ends_with("\r\n\r\n/" + std::to_string(i)));
  }
  EXPECT_EQ(most_running, 1);
  for (std::thread& thread : threads) thread.join();
}

TEST(HttpServer, ClosesWhenTheClientAsksOrSpeaksHttp10) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler);
  for (const char* request :
       {"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"}) {
    RawClient client(server->port());
    client.send(request);
    EXPECT_NE(client.read_to_end().find("Connection: close\r\n"), std::string::npos) << request;
    EXPECT_TRUE(client.is_closed_by_server());
  }
  RawClient old(server->port());
  EXPECT_NE(
      old.ask("GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n").find("Connection: keep-alive"),
      std::string::npos);
}

TEST(HttpServer, SendsNoBodyToHead) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler);
  RawClient client(server->port());
  client.send("HEAD /abc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const std::string answer = client.read_to_end();
  EXPECT_NE(answer.find("Content-Length: 10\r\n"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n"));
}

TEST(HttpServer, AsksForTheBodyOfACarefulClient) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler);
  RawClient client(server->port());
  client.send("PUT /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_TRUE(client.ask("ok").ends_with("PUT /a ok"));
}

TEST(HttpServer, AnswersForAHandlerThatForgetsOrThrows) {
  FunctionHandler handler([](HttpRequest request, std::shared_ptr<HttpExchange>) {
    if (request.path == "/throw") throw std::runtime_error("boom");
  });
  const auto server = start_or_die(handler);
  RawClient client(server->port());
  EXPECT_EQ(status_line(client.ask("GET /forget HTTP/1.1\r\nHost: localhost\r\n\r\n")),
            "HTTP/1.1 500 Internal Server Error");
  EXPECT_NE(client.ask("GET /throw HTTP/1.1\r\nHost: localhost\r\n\r\n").find("boom"), std::string::npos);
}

TEST(HttpServer, TakesTheFirstOfTwoAnswers) {
  FunctionHandler handler([](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    exchange->respond(text_response(200, "text/plain", "first"));
    exchange->respond(text_response(200, "text/plain", "second"));
    EXPECT_FALSE(exchange->start_stream(200, {})->is_open());
  });
  const auto server = start_or_die(handler);
  RawClient client(server->port());
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(client.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").ends_with("first"));
  }
}

TEST(HttpServer, ServesTwoHundredConnectionsAtOnce) {
  constexpr int kConnections = 200;
  std::mutex mutex;
  std::vector<std::shared_ptr<HttpExchange>> waiting;
  Awaited<bool> all_are_here;
  FunctionHandler handler([&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    const std::lock_guard lock(mutex);
    waiting.push_back(std::move(exchange));
    if (waiting.size() == kConnections) all_are_here.set(true);
  });
  const auto server = start_or_die(handler, {.threads = 2});
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < kConnections; ++i) {
    clients.push_back(std::make_unique<RawClient>(server->port()));
    clients.back()->send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  ASSERT_TRUE(all_are_here.wait());
  EXPECT_EQ(server->stats().connections_open, 200u);
  for (const auto& exchange : waiting) exchange->respond({.status = 204});
  for (const auto& client : clients) EXPECT_EQ(status_line(client->read_response()), "HTTP/1.1 204 No Content");
}

TEST(HttpServer, ListensOnAUnixSocketOfItsOwnerOnly) {
  const std::string path = ::testing::TempDir() + "busbar_net_" + std::to_string(::getpid()) + ".sock";
  FunctionHandler handler([](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    exchange->respond(text_response(200, "text/plain", request.peer + " " + std::to_string(*request.peer_uid)));
  });
  auto server = start_or_die(handler, {.bind_address = "", .unix_socket_path = path});
  EXPECT_EQ(server->port(), 0);
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  auto client = HttpClient::create({.base_url = "unix:" + path});
  ASSERT_TRUE(client.has_value());
  const auto answer = (*client)->request({.target = "/"});
  ASSERT_TRUE(answer.has_value()) << answer.error().to_string();
  EXPECT_EQ(answer->body, "unix " + std::to_string(::getuid()));

  const auto second = HttpServer::start({.bind_address = "", .unix_socket_path = path}, handler);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kAlreadyExists);
  server->stop(0);
  EXPECT_NE(::stat(path.c_str(), &status), 0);
}

TEST(HttpServer, ReplacesAStaleSocketButNoFile) {
  const std::string path = ::testing::TempDir() + "busbar_net_stale_" + std::to_string(::getpid());
  FunctionHandler handler(echo());
  std::ofstream(path) << "data";
  EXPECT_FALSE(HttpServer::start({.bind_address = "", .unix_socket_path = path}, handler).has_value());
  ::unlink(path.c_str());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
  EXPECT_TRUE(HttpServer::start({.bind_address = "", .unix_socket_path = path}, handler).has_value());
}

TEST(HttpServer, SaysWhyItCannotListen) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler);
  const auto taken = HttpServer::start({.port = server->port()}, handler);
  ASSERT_FALSE(taken.has_value());
  EXPECT_EQ(taken.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(HttpServer::start({.bind_address = "not-an-ip"}, handler).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(HttpServer::start({.bind_address = ""}, handler).error().code, ErrorCode::kInvalidArgument);
}

TEST(HttpServer, LetsRunningAnswersFinishWhenItStops) {
  Awaited<std::shared_ptr<HttpExchange>> exchange;
  FunctionHandler handler([&](HttpRequest, std::shared_ptr<HttpExchange> one) { exchange.set(std::move(one)); });
  auto server = start_or_die(handler);
  RawClient idle(server->port());
  RawClient busy(server->port());
  busy.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto running = exchange.wait();
  ASSERT_TRUE(running);
  std::thread stopper([&] { server->stop(20'000); });
  EXPECT_TRUE(idle.is_closed_by_server());
  (*running)->respond(text_response(200, "text/plain", "done"));
  const std::string answer = busy.read_to_end();
  EXPECT_TRUE(answer.ends_with("done"));
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  busy.close();
  stopper.join();
}

TEST(HttpServer, CutsWhatDoesNotFinishInTime) {
  Awaited<std::shared_ptr<HttpExchange>> exchange;
  FunctionHandler handler([&](HttpRequest, std::shared_ptr<HttpExchange> one) { exchange.set(std::move(one)); });
  auto server = start_or_die(handler);
  RawClient client(server->port());
  client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto running = exchange.wait();
  ASSERT_TRUE(running);
  server->stop(1);
  EXPECT_TRUE(client.is_closed_by_server());
  server.reset();
  (*running)->respond({.status = 200});  // harmless
}

}  // namespace
}  // namespace busbar::net
