#include "net/client.h"

#include <gtest/gtest.h>

#include <thread>

#include "net/internal/testing.h"

namespace busbar::net {
namespace {

using testing::Awaited;
using testing::echo;
using testing::FunctionHandler;
using testing::start_or_die;

std::unique_ptr<HttpClient> client_of(const HttpServer& server, HttpClientOptions options = {}) {
  options.base_url = "http://127.0.0.1:" + std::to_string(server.port());
  return *HttpClient::create(std::move(options));
}

TEST(HttpClient, SendsMethodPathHeadersTokenAndBody) {
  FunctionHandler handler([](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    exchange->respond(text_response(201, "text/plain",
                                    request.method + " " + request.target + " " + request.bearer_token() + " " +
                                        request.header("x-key") + " " + request.header("content-type") + " " +
                                        request.body));
  });
  const auto server = start_or_die(handler);
  const auto client = client_of(*server, {.bearer_token = "secret"});
  for (const char* method : {"POST", "PUT", "PATCH", "DELETE", "GET"}) {
    const auto answer =
        client->request({.method = method, .target = "/a%2Fb/../c?x=1", .headers = {{"X-Key", "7"}}, .body = "{}"});
    ASSERT_TRUE(answer.has_value()) << answer.error().to_string();
    EXPECT_EQ(answer->status, 400) << "dot segments are sent as they are, and refused";
    const auto good =
        client->request({.method = method, .target = "/a%2Fb?x=1", .headers = {{"X-Key", "7"}}, .body = "{}"});
    ASSERT_TRUE(good.has_value());
    EXPECT_EQ(good->status, 201);
    EXPECT_EQ(good->body, std::string(method) + " /a%2Fb?x=1 secret 7 application/json {}");
    EXPECT_EQ(good->header("content-type"), "text/plain");
  }
}

TEST(HttpClient, ReusesItsConnection) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler);
  const auto client = client_of(*server);
  for (int i = 0; i < 5; ++i) {
    const auto answer = client->request({.target = "/" + std::to_string(i)});
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->body, "GET /" + std::to_string(i) + " ");
  }
  EXPECT_EQ(client->request({.method = "HEAD", .target = "/"})->body, "");
  EXPECT_EQ(client->request({.method = "POST", .target = "/"})->body, "POST / ");
  EXPECT_EQ(server->stats().connections_accepted, 1u);
}

TEST(HttpClient, MovesABigBodyBothWays) {
  FunctionHandler handler([](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    exchange->respond(text_response(200, "application/octet-stream", std::move(request.body)));
  });
  const auto server = start_or_die(handler);
  std::string body;
  for (int i = 0; i < 1'000'000; ++i) body += std::to_string(i);
  const auto answer = client_of(*server)->request({.method = "PUT", .target = "/", .body = body});
  ASSERT_TRUE(answer.has_value()) << answer.error().to_string();
  EXPECT_EQ(answer->body, body);
  const auto refused =
      client_of(*server, {.max_response_bytes = 1000})->request({.method = "PUT", .target = "/", .body = body});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
}

TEST(HttpClient, SaysThatNobodyAnswers) {
  FunctionHandler handler(echo());
  auto server = start_or_die(handler);
  const auto client = client_of(*server);
  server.reset();
  const auto answer = client->request({.target = "/"});
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(answer.error().is_retryable);
  EXPECT_NE(answer.error().message.find("127.0.0.1:"), std::string::npos);
  EXPECT_EQ((*HttpClient::create({.base_url = "unix:/nowhere/a.sock"}))->request({}).error().code,
            ErrorCode::kUnavailable);
}

TEST(HttpClient, RefusesWhatIsNoUrl) {
  EXPECT_EQ(HttpClient::create({.base_url = "127.0.0.1:80"}).error().code, ErrorCode::kInvalidArgument);
  const auto client = *HttpClient::create({.base_url = "http://127.0.0.1:9"});
  EXPECT_EQ(client->request({.target = "no-slash"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(client->request({.target = "/a b"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(client->request({.headers = {{"X", "a\r\nY: b"}}}).error().code, ErrorCode::kInvalidArgument);
}

TEST(HttpClient, LoadsLibcurlForHttps) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler);
  const auto client = HttpClient::create({.base_url = "https://127.0.0.1:" + std::to_string(server->port())});
  ASSERT_TRUE(client.has_value()) << client.error().to_string();
  EXPECT_EQ((*client)->request({}).error().code, ErrorCode::kUnavailable) << "the server speaks plain HTTP";
}

TEST(HttpClient, SendsAgainWhatARestingConnectionLost) {
  FunctionHandler handler(echo());
  const auto server = start_or_die(handler, {.idle_timeout_ms = 1});
  const auto client = client_of(*server);
  for (int i = 0; i < 20; ++i) {
    const auto answer = client->request({.method = "POST", .target = "/a", .body = "x"});
    ASSERT_TRUE(answer.has_value()) << answer.error().to_string();
  }
}

TEST(HttpClient, GivesUpAfterItsTimeout) {
  std::shared_ptr<HttpExchange> kept;
  FunctionHandler handler([&](HttpRequest, std::shared_ptr<HttpExchange> exchange) { kept = std::move(exchange); });
  const auto server = start_or_die(handler);
  const auto answer = client_of(*server)->request({.target = "/", .timeout_ms = 20});
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::kDeadlineExceeded);
}

TEST(HttpClient, IsCancelledFromAnotherThread) {
  Awaited<std::shared_ptr<StreamWriter>> stream;
  FunctionHandler handler(
      [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) { stream.set(exchange->start_stream(200, {})); });
  const auto server = start_or_die(handler);
  const auto client = client_of(*server);
  Result<void> result;
  std::thread reader([&] { result = client->stream({.target = "/"}, [](std::string_view) { return true; }); });
  ASSERT_TRUE(stream.wait());
  client->cancel();
  reader.join();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(client->request({.target = "/"}).error().code, ErrorCode::kCancelled);
}

TEST(HttpClientStream, StopsWhenTheCallbackHasEnough) {
  Awaited<std::shared_ptr<StreamWriter>> stream;
  FunctionHandler handler([&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    auto writer = exchange->start_stream(200, {});
    writer->write("hello");
    stream.set(writer);
  });
  const auto server = start_or_die(handler);
  const auto client = client_of(*server);
  std::string seen;
  const auto result = client->stream({.target = "/"}, [&](std::string_view bytes) {
    seen += bytes;
    return false;
  });
  EXPECT_TRUE(result.has_value());
  EXPECT_EQ(seen, "hello");
  Awaited<bool> closed;
  (*stream.wait())->on_close([&] { closed.set(true); });
  EXPECT_TRUE(closed.wait()) << "the connection stays open behind the caller's back";
}

TEST(HttpClientStream, GivesTheServersErrorInsteadOfItsBytes) {
  FunctionHandler handler([](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    exchange->respond(error_response({.code = ErrorCode::kNotFound, .message = "no job 9"}));
  });
  const auto server = start_or_die(handler);
  const auto result = client_of(*server)->stream({.target = "/"}, [](std::string_view) {
    ADD_FAILURE();
    return true;
  });
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error(), (Error{.code = ErrorCode::kNotFound, .message = "no job 9"}));
}

TEST(HttpClientStream, TellsACutStreamFromAComplete) {
  Awaited<std::shared_ptr<StreamWriter>> stream;
  FunctionHandler handler([&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    auto writer = exchange->start_stream(200, {}, {.max_pending_bytes = 10});
    writer->write("12345");
    stream.set(writer);
  });
  const auto server = start_or_die(handler);
  const auto result = client_of(*server)->stream({.target = "/"}, [&](std::string_view) {
    while ((*stream.wait())->write("123456789012345")) {
    }
    return true;
  });
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
}

TEST(HttpClientStream, DoesNotWaitForAServerThatIsSilent) {
  std::shared_ptr<StreamWriter> kept;
  FunctionHandler handler(
      [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) { kept = exchange->start_stream(200, {}); });
  const auto server = start_or_die(handler);
  const auto result = client_of(*server, {.stream_idle_timeout_ms = 20})->stream({.target = "/"}, [](std::string_view) {
    return true;
  });
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace busbar::net
