#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "net/client.h"
#include "net/internal/testing.h"
#include "net/server.h"
#include "net/sse.h"

namespace busbar::net {
namespace {

using testing::Awaited;
using testing::FunctionHandler;
using testing::RawClient;
using testing::start_or_die;
using Stream = std::shared_ptr<StreamWriter>;

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Starts a stream for every request and hands it to the test.
struct StreamFixture {
  explicit StreamFixture(StreamOptions options = {}, HttpServerOptions server_options = {})
      : handler([this, options](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
          stream.set(exchange->start_stream(200, {{"Content-Type", "text/plain"}}, options));
        }),
        server(start_or_die(handler, std::move(server_options))) {}

  Awaited<Stream> stream;
  FunctionHandler handler;
  std::unique_ptr<HttpServer> server;
};

TEST(HttpStream, GrowsAndEndsAndKeepsTheConnection) {
  StreamFixture fixture;
  RawClient client(fixture.server->port());
  for (int round = 0; round < 2; ++round) {
    client.send(kGet);
    const Stream stream = *fixture.stream.wait();
    EXPECT_NE(client.read_until("\r\n\r\n").find("Transfer-Encoding: chunked"), std::string::npos);
    EXPECT_TRUE(stream->write("hello"));
    EXPECT_EQ(client.read_until("hello\r\n"), "5\r\nhello\r\n");
    stream->end();
    stream->end();
    EXPECT_EQ(client.read_until("\r\n\r\n"), "0\r\n\r\n");
    EXPECT_FALSE(stream->write("late"));
    fixture.stream.reset();
  }
  EXPECT_EQ(fixture.server->stats().connections_accepted, 1u);
}

TEST(HttpStream, AnswersThePipelinedRequestAfterTheStream) {
  StreamFixture fixture;
  RawClient client(fixture.server->port());
  client.send(kGet);
  const Stream first = *fixture.stream.wait();
  fixture.stream.reset();
  client.send(kGet);
  first->write("first");
  EXPECT_NE(client.read_until("first\r\n"), "");
  first->end();
  const Stream second = *fixture.stream.wait();
  second->write("second");
  second->end();
  EXPECT_NE(client.read_until("second\r\n0\r\n\r\n").find("second"), std::string::npos);
}

TEST(HttpStream, SendsPlainBytesToAnHttp10Client) {
  StreamFixture fixture;
  RawClient client(fixture.server->port());
  client.send("GET / HTTP/1.0\r\n\r\n");
  const Stream stream = *fixture.stream.wait();
  stream->write("hello");
  stream->end();
  EXPECT_TRUE(client.read_to_end().ends_with("\r\n\r\nhello"));
}

TEST(HttpStream, SendsOnlyTheHeadToHead) {
  StreamFixture fixture;
  RawClient client(fixture.server->port());
  client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  Awaited<bool> closed;
  (*fixture.stream.wait())->on_close([&] { closed.set(true); });
  EXPECT_TRUE(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
  EXPECT_TRUE(closed.wait());
}

TEST(HttpStream, NoticesThatTheClientLeft) {
  StreamFixture fixture;
  auto client = std::make_unique<RawClient>(fixture.server->port());
  client->send(kGet);
  const Stream stream = *fixture.stream.wait();
  Awaited<bool> closed;
  stream->on_close([&] { closed.set(true); });
  client->read_until("\r\n\r\n");
  client->close();
  EXPECT_TRUE(closed.wait());
  EXPECT_FALSE(stream->write("x"));
  EXPECT_FALSE(stream->is_open());
}

TEST(HttpStream, CutsAClientThatIsTooSlow) {
  StreamFixture fixture({.max_pending_bytes = 1 << 20});
  RawClient client(fixture.server->port(), 4096);
  client.send(kGet);
  const Stream stream = *fixture.stream.wait();
  Awaited<bool> closed;
  stream->on_close([&] { closed.set(true); });
  const std::string block(64 << 10, 'x');
  int blocks = 0;
  while (stream->write(block)) ASSERT_LT(++blocks, 10'000) << "the buffer has no bound";
  EXPECT_TRUE(closed.wait());
  EXPECT_EQ(client.read_to_end().find("0\r\n\r\n"), std::string::npos) << "a cut stream looks complete";
}

TEST(HttpStream, PausesAFastProducerUntilTheClientHasRead) {
  constexpr std::size_t kTotal = 32 << 20;
  StreamFixture fixture({.max_pending_bytes = 1 << 20});
  RawClient client(fixture.server->port(), 16 << 10);
  client.send(kGet);
  const Stream stream = *fixture.stream.wait();
  std::size_t most_pending = 0;
  std::thread producer([&] {
    const std::string block(64 << 10, 'x');
    for (std::size_t sent = 0; sent < kTotal; sent += block.size()) {
      if (stream->pending_bytes() > (512 << 10)) {
        Awaited<bool> drained;
        stream->when_drained([&] { drained.set(true); });
        ASSERT_TRUE(drained.wait());
      }
      ASSERT_TRUE(stream->write(block));
      most_pending = std::max(most_pending, stream->pending_bytes());
    }
    stream->end();
  });
  client.read_until("\r\n\r\n");
  std::size_t received = 0;
  while (received < kTotal) {
    const std::size_t size = std::stoul(client.read_until("\r\n"), nullptr, 16);
    ASSERT_GT(size, 0u);
    ASSERT_EQ(client.read_bytes(size + 2).size(), size + 2);
    received += size;
  }
  EXPECT_EQ(client.read_until("\r\n\r\n"), "0\r\n\r\n");
  producer.join();
  EXPECT_EQ(received, kTotal);
  EXPECT_LE(most_pending, std::size_t{1 << 20});
}

TEST(HttpStream, EndsWhenTheServerStops) {
  StreamFixture fixture;
  RawClient client(fixture.server->port());
  client.send(kGet);
  const Stream stream = *fixture.stream.wait();
  stream->write("last words");
  std::thread stopper([&] { fixture.server->stop(20'000); });
  const std::string answer = client.read_to_end();
  client.close();
  stopper.join();
  EXPECT_TRUE(answer.ends_with("last words\r\n0\r\n\r\n")) << answer;
  EXPECT_FALSE(stream->write("x"));
  fixture.server.reset();
  EXPECT_FALSE(stream->is_open());  // harmless after the server
}

TEST(HttpStream, IsWrittenByManyThreadsAtOnce) {
  StreamFixture fixture;
  RawClient client(fixture.server->port());
  client.send(kGet);
  const Stream stream = *fixture.stream.wait();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) EXPECT_TRUE(stream->write("0123456789"));
    });
  }
  for (std::thread& thread : threads) thread.join();
  stream->end();
  client.read_until("\r\n\r\n");
  std::string body;
  for (;;) {
    const std::size_t size = std::stoul(client.read_until("\r\n"), nullptr, 16);
    body += client.read_bytes(size + 2).substr(0, size);
    if (size == 0) break;
  }
  std::string wanted;
  for (int i = 0; i < 4000; ++i) wanted += "0123456789";
  EXPECT_EQ(body, wanted);
}

TEST(SseRoundTrip, EventsArriveAtOurClient) {
  const std::vector<SseEvent> events = {{.id = "1", .event = "log", .data = "line one\nline two"},
                                        {.id = "2", .event = "", .data = "{}"}};
  FunctionHandler handler([&](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    EXPECT_EQ(request.header("accept"), "text/event-stream");
    SseWriter writer = SseWriter::start(*exchange);
    writer.retry_ms(100);
    writer.comment("hello");
    for (const SseEvent& event : events) EXPECT_TRUE(writer.send(event));
    writer.end();
  });
  const auto server = start_or_die(handler);
  auto client = HttpClient::create({.base_url = "http://127.0.0.1:" + std::to_string(server->port())});
  std::vector<SseEvent> received;
  const auto result = (*client)->stream_events({.target = "/v1/watch"}, [&](const SseEvent& event) {
    received.push_back(event);
    return true;
  });
  EXPECT_TRUE(result.has_value()) << result.error().to_string();
  EXPECT_EQ(received, events);
}

TEST(SseRoundTrip, ASilentStreamHasAHeartbeat) {
  std::shared_ptr<StreamWriter> kept;
  FunctionHandler handler([&kept](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    kept = exchange->start_stream(200, {}, {.heartbeat = ":\n\n", .heartbeat_ms = 5});
  });
  const auto server = start_or_die(handler);
  RawClient client(server->port());
  client.send(kGet);
  client.read_until("\r\n\r\n");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.read_until("\n\n\r\n"), "3\r\n:\n\n\r\n");
}

}  // namespace
}  // namespace busbar::net
