#include "gateway/gateway.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <string>
#include <thread>

#include "gateway/gateway_testing.h"

namespace busbar::gateway {
namespace {

using testing::answers;
using testing::ask;
using testing::Backend;
using testing::comes_to_show;
using testing::echoes;
using testing::has;
using testing::kGet;
using testing::Peer;
using testing::service;
using testing::start;
using testing::status_of;

TEST(Gateway, RewritesTheHeadAndKeepsBothConnections) {
  const Backend backend(echoes());
  const auto gateway = start({service({backend.port()})});
  Peer client = Peer::connect(gateway->port());
  for (int round = 0; round < 3; ++round) {
    client.send(
        "GET /services/s/a?b=c HTTP/1.1\r\nHost: gw:1\r\nConnection: X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\n"
        "Keep-Alive: 5\r\nProxy-Authorization: x\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-A: b\r\n"
        "traceparent: 00-1\r\n\r\n");
    const std::string answer = client.read_message();
    EXPECT_EQ(status_of(answer), 200);
    EXPECT_TRUE(has(answer,
                    "\r\n\r\nGET /a?b=c HTTP/1.1\r\nHost: gw:1\r\nX-A: b\r\ntraceparent: 00-1\r\n"
                    "X-Forwarded-For: 10.0.0.1, 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"
                    "X-Forwarded-Prefix: /services/s\r\nTE: trailers\r\nConnection: TE\r\n\r\n"))
        << answer;
  }
  EXPECT_EQ(backend.connections(), 1U);
}

TEST(Gateway, FindsTheServiceByHostPathAndModel) {
  const Backend one(answers("one"));
  const Backend two(answers("two"));
  route::Service first = service({one.port()});
  first.name = "first";
  first.hosts = {"first.example"};
  route::Service second = service({two.port()});
  second.name = "second";
  second.models = {"tiny", "org/big"};
  second.endpoints[0].adapters = {"french"};
  const auto gateway = start({first, second});
  EXPECT_TRUE(has(ask(*gateway, "GET /x HTTP/1.1\r\nHost: First.Example:80\r\n\r\n"), "\r\n\r\none"));
  EXPECT_TRUE(has(ask(*gateway, "GET /services/second HTTP/1.1\r\nHost: a\r\n\r\n"), "\r\n\r\ntwo"));
  for (const std::string model : {"tiny", "org/big", "french", "second"}) {
    SCOPED_TRACE(model);
    const std::string body = R"({"messages":[],"model":")" + model + "\"}";
    const std::string answer = ask(*gateway, "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: " +
                                                 std::to_string(body.size()) + "\r\n\r\n" + body);
    EXPECT_TRUE(has(answer, "\r\n\r\ntwo")) << answer;
  }
  EXPECT_TRUE(has(ask(*gateway, "GET /v2/models/tiny/ready HTTP/1.1\r\nHost: a\r\n\r\n"), "\r\n\r\ntwo"));
  EXPECT_TRUE(has(ask(*gateway, "GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"), R"("id":"tiny")"));
  EXPECT_EQ(status_of(ask(*gateway, "GET / HTTP/1.1\r\nHost: other\r\n\r\n")), 404);
  EXPECT_EQ(status_of(ask(*gateway, "GET /services/none/ HTTP/1.1\r\nHost: a\r\n\r\n")), 404);
  EXPECT_EQ(status_of(ask(*gateway,
                          "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n{\"model\":\"x\"}")),
            404);
  EXPECT_EQ(status_of(ask(*gateway, "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")), 400);
}

TEST(Gateway, GathersAChunkedBodyOfAModelCall) {
  const Backend backend(echoes());
  route::Service chat = service({backend.port()});
  chat.models = {"m"};
  const auto gateway = start({chat});
  const std::string answer = ask(*gateway,
                                 "POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "5\r\n{\"mod\r\n8\r\nel\":\"m\"}\r\n0\r\n\r\n");
  EXPECT_TRUE(has(answer, "Content-Length: 13\r\n")) << answer;
  EXPECT_TRUE(has(answer, "\r\n\r\n{\"model\":\"m\"}")) << answer;
}

TEST(Gateway, FramesChunkedRequestsAnew) {
  const Backend backend(echoes());
  const auto gateway = start({service({backend.port()})});
  const std::string answer = ask(*gateway,
                                 "POST /services/s/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "5;x=y\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n");
  EXPECT_TRUE(has(answer, "\r\n\r\n5\r\nhello\r\n0\r\n\r\n")) << answer;
  EXPECT_FALSE(has(answer, "x=y"));
}

TEST(Gateway, AnswersPipelinedRequestsInOrder) {
  const Backend backend(echoes());
  const auto gateway = start({service({backend.port()})});
  Peer client = Peer::connect(gateway->port());
  std::string requests;
  for (int number = 0; number < 20; ++number) {
    requests += "GET /services/s/" + std::to_string(number) + " HTTP/1.1\r\nHost: a\r\n\r\n";
    requests += "GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  client.send(requests);
  for (int number = 0; number < 20; ++number) {
    EXPECT_TRUE(has(client.read_message(), "GET /" + std::to_string(number) + " HTTP/1.1"));
    EXPECT_TRUE(has(client.read_message(), "\"object\":\"list\""));
  }
}

TEST(Gateway, TakesRequestsInPiecesOfOneByte) {
  const Backend backend(echoes());
  const auto gateway = start({service({backend.port()})});
  Peer client = Peer::connect(gateway->port());
  const std::string request = "POST /services/s/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
  for (const char byte : request + request) client.send(std::string_view(&byte, 1));
  EXPECT_TRUE(has(client.read_message(), "\r\n\r\nhello"));
  EXPECT_TRUE(has(client.read_message(), "\r\n\r\nhello"));
}

TEST(Gateway, AnswersMalformedRequestsWith400AndCloses) {
  const Backend backend(answers("ok"));
  const auto gateway = start({service({backend.port()})});
  for (const std::string request :
       {"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
        "POST /services/s/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /services/s/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nX\r\n"}) {
    SCOPED_TRACE(request);
    Peer client = Peer::connect(gateway->port());
    client.send(request + "GET /services/s/smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    const std::string answer = client.read_to_end();
    EXPECT_EQ(status_of(answer), 400);
    EXPECT_EQ(answer.find("\r\nHTTP/1.1"), std::string::npos) << answer;
  }
}

TEST(Gateway, GivesEachKindOfClientAnAnswerItCanFrame) {
  const Backend chunked([](Peer& peer) {
    while (!peer.read_message().empty()) {
      peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    }
  });
  const Backend closing([](Peer& peer) {
    peer.read_message();
    peer.send("HTTP/1.1 200 OK\r\n\r\nabc");
    peer.close();
  });
  route::Service one = service({chunked.port()});
  route::Service two = service({closing.port()});
  two.name = "t";
  const auto gateway = start({one, two});
  EXPECT_TRUE(has(ask(*gateway, kGet), "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
  EXPECT_TRUE(
      has(ask(*gateway, "GET /services/t/ HTTP/1.1\r\nHost: a\r\n\r\n"), "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
  for (const char* name : {"s", "t"}) {
    Peer old = Peer::connect(gateway->port());
    old.send("GET /services/" + std::string(name) + "/ HTTP/1.0\r\n\r\n");
    const std::string answer = old.read_to_end();
    EXPECT_TRUE(has(answer, "HTTP/1.0 200 OK\r\n")) << answer;
    EXPECT_TRUE(has(answer, "\r\n\r\nabc")) << answer;
    EXPECT_FALSE(has(answer, "chunked")) << answer;
  }
}

TEST(Gateway, PassesAnswersWithoutBody) {
  std::atomic<int> round = 0;
  const Backend backend([&round](Peer& peer) {
    while (!peer.read_message().empty()) {
      const char* kinds[] = {"HTTP/1.1 204 No Content\r\n\r\n",
                             "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
                             "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"};
      peer.send(kinds[round++ % 3]);
    }
  });
  const auto gateway = start({service({backend.port()})});
  Peer client = Peer::connect(gateway->port());
  client.send(kGet);
  EXPECT_EQ(status_of(client.read_until("\r\n\r\n")), 204);
  client.send(kGet);
  EXPECT_EQ(status_of(client.read_until("\r\n\r\n")), 304);
  client.send("HEAD /services/s/ HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(has(client.read_until("\r\n\r\n"), "Content-Length: 9"));
  EXPECT_EQ(backend.connections(), 1U);
}

TEST(Gateway, MovesLargeBodiesBothWaysThroughSlowReaders) {
  const Backend backend(echoes());
  const auto gateway = start({service({backend.port()})});
  Peer client = Peer::connect(gateway->port());
  const std::string body(20 << 20, 'x');
  std::thread sender([&client, &body] {
    client.send("PUT /services/s/ HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                body);
  });
  const std::string answer = client.read_message();
  sender.join();
  EXPECT_GT(answer.size(), body.size());
  EXPECT_EQ(answer.substr(answer.size() - body.size()), body);
}

TEST(Gateway, FlushesEachEventOfAStream) {
  std::latch first_seen(1);
  const Backend backend([&first_seen](Peer& peer) {
    peer.read_message();
    peer.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n");
    first_seen.wait();
    peer.send("9\r\ndata: 2\n\n\r\n0\r\n\r\n");
    peer.read_some();
  });
  const auto gateway = start({service({backend.port()})});
  Peer client = Peer::connect(gateway->port());
  client.send(kGet);
  EXPECT_TRUE(has(client.read_until("data: 1\n\n"), "text/event-stream"));
  first_seen.count_down();
  EXPECT_TRUE(has(client.read_until("0\r\n\r\n"), "data: 2\n\n"));
  EXPECT_TRUE(comes_to_show(*gateway, "busbar_gateway_event_gap_seconds_count{service=\"s\"} 1"));
}

TEST(Gateway, TunnelsAfterAnUpgrade) {
  const Backend backend([](Peer& peer) {
    const std::string head = peer.read_message();
    EXPECT_TRUE(has(head, "Upgrade: websocket")) << head;
    EXPECT_TRUE(has(head, "Connection: upgrade")) << head;
    peer.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    peer.send(peer.read_exactly(4));
  });
  const auto gateway = start({service({backend.port()})});
  Peer client = Peer::connect(gateway->port());
  client.send(
      "GET /services/s/ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nping");
  EXPECT_EQ(status_of(client.read_until("\r\n\r\n")), 101);
  EXPECT_EQ(client.read_to_end(), "ping");
}

TEST(Gateway, SaysContinueWhenAsked) {
  const Backend backend(echoes());
  const auto gateway = start({service({backend.port()})});
  Peer client = Peer::connect(gateway->port());
  client.send("POST /services/s/ HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("ok");
  EXPECT_TRUE(has(client.read_message(), "\r\n\r\nok"));
}

TEST(Gateway, EndsSlowHeadsAndIdleConnections) {
  const auto gateway = start({}, {.idle_timeout_ms = 100, .head_timeout_ms = 100});
  Peer idle = Peer::connect(gateway->port());
  EXPECT_EQ(idle.read_to_end(), "");
  Peer slow = Peer::connect(gateway->port());
  slow.send("GET / HTT");
  EXPECT_EQ(status_of(slow.read_to_end()), 408);
}

TEST(Gateway, RefusesBodiesBeyondTheLimit) {
  const Backend backend(echoes());
  route::Service small = service({backend.port()});
  small.limits.max_body_bytes = 4;
  const auto gateway = start({small});
  EXPECT_EQ(status_of(ask(*gateway, "POST /services/s/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")), 413);
  EXPECT_EQ(status_of(ask(*gateway,
                          "POST /services/s/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "5\r\nhello\r\n0\r\n\r\n")),
            413);
}

TEST(Gateway, DrainsWithoutLosingARequest) {
  std::latch has_request(1);
  std::latch may_answer(1);
  const Backend backend([&](Peer& peer) {
    peer.read_message();
    has_request.count_down();
    may_answer.wait();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  });
  const auto gateway = start({service({backend.port()})});
  Peer idle = Peer::connect(gateway->port());
  idle.send("GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n");
  idle.read_message();
  Peer busy = Peer::connect(gateway->port());
  busy.send(kGet);
  has_request.wait();
  std::thread stopper([&gateway] { gateway->stop(20'000); });
  EXPECT_TRUE(idle.is_closed());
  may_answer.count_down();
  const std::string answer = busy.read_to_end();
  EXPECT_EQ(status_of(answer), 200);
  EXPECT_TRUE(has(answer, "Connection: close\r\n")) << answer;
  stopper.join();
}

TEST(Gateway, KeepsCountsAndConnectionsAcrossTables) {
  const Backend backend(echoes());
  const auto gateway = start({service({backend.port()})}, {.name = "g"});
  Peer client = Peer::connect(gateway->port());
  for (std::uint64_t version = 2; version < 20; ++version) {
    client.send(kGet);
    ASSERT_EQ(status_of(client.read_message()), 200);
    ASSERT_TRUE(gateway->update({.version = version, .services = {service({backend.port()})}}));
  }
  EXPECT_EQ(backend.connections(), 1U);
  EXPECT_TRUE(comes_to_show(*gateway, "busbar_gateway_requests_total{service=\"s\"} 18\n"));
  // The client has its answer a moment before it is counted.
  std::uint64_t arrivals = 0;
  std::uint64_t finished = 0;
  std::uint64_t of_revision = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (finished < 18 && std::chrono::steady_clock::now() < end) {
    for (const route::ServiceDemand& seen : gateway->take_demand().services) {
      arrivals += seen.arrivals;
      finished += seen.finished;
      for (const auto& revision : seen.revisions) of_revision += revision.finished;
    }
    std::this_thread::yield();
  }
  EXPECT_EQ(arrivals, 18U);
  EXPECT_EQ(finished, 18U);
  EXPECT_EQ(of_revision, 18U);
  EXPECT_FALSE(
      gateway->update({.version = 99, .services = {{.name = "x", .endpoints = {{.address = "no", .port = 1}}}}}));
  EXPECT_EQ(gateway->table_version(), 19U);
}

TEST(Gateway, RefusesAPortThatIsTaken) {
  const auto first = start({});
  const auto second = Gateway::start({.port = first->port()});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kAlreadyExists);
  EXPECT_FALSE(Gateway::start({.bind_address = "nowhere"}));
}

}  // namespace
}  // namespace busbar::gateway
