#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include <atomic>
#include <latch>
#include <memory>
#include <string>
#include <thread>

#include "gateway/gateway.h"
#include "gateway/test_http2.h"
#include "gateway/test_metrics.h"
#include "gateway/test_peers.h"

namespace busbar::gateway {
namespace {

using testing::answers;
using testing::Backend;
using testing::comes_to_show;
using testing::echoes;
using testing::frame;
using testing::has;
using testing::Http2Peer;
using testing::make_certificate;
using testing::Peer;
using testing::preface;
using testing::TempFolder;

std::unique_ptr<Gateway> start_one(std::uint16_t backend, GatewayOptions options = {}, route::Limits limits = {}) {
  options.threads = 1;
  auto gateway = Gateway::start(std::move(options));
  EXPECT_TRUE(gateway) << gateway.error().to_string();
  route::Service service{.name = "s", .models = {"m"}, .limits = limits};
  service.endpoints.push_back({.replica = "s-1", .address = "127.0.0.1", .port = backend});
  EXPECT_TRUE((*gateway)->update({.version = 1, .services = {service}}));
  return *std::move(gateway);
}

std::string repeated(std::size_t bytes) {
  std::string text;
  for (int number = 0; text.size() < bytes; ++number) text += std::to_string(number) + " ";
  text.resize(bytes);
  return text;
}

TEST(GatewayHttp2, MakesRequestsOfHttp1OfItsStreams) {
  const Backend backend(echoes());
  const auto gateway = start_one(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  Http2Peer::Fields fields = Http2Peer::get("/services/s/a?b=c");
  fields.insert(fields.end(), {{"x-a", "b"}, {"te", "trailers"}, {"cookie", "a=1"}, {"cookie", "b=2"}});
  const Http2Peer::Answer& answer = client->wait(client->ask(fields));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body,
            "GET /a?b=c HTTP/1.1\r\nHost: gw\r\nx-a: b\r\nCookie: a=1; b=2\r\nX-Forwarded-For: 127.0.0.1\r\n"
            "X-Forwarded-Proto: http\r\nX-Forwarded-Prefix: /services/s\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
  EXPECT_EQ(answer.fields.count("connection"), 0U);
  EXPECT_TRUE(comes_to_show(*gateway, "busbar_gateway_http2_connections_total 1\n"));
}

TEST(GatewayHttp2, IsChosenByTls) {
  const TempFolder folder;
  const Backend backend(echoes());
  const auto gateway =
      start_one(backend.port(), {.tls_certificates = {make_certificate(folder.path(), "a", "DNS:a.example")}});
  const auto client = Http2Peer::connect_tls(gateway->tls_port());
  EXPECT_TRUE(has(client->wait(client->ask(Http2Peer::get("/services/s/"))).body, "X-Forwarded-Proto: https\r\n"));
  const std::string body = repeated(300'000);
  EXPECT_TRUE(has(client->wait(client->ask(Http2Peer::post("/services/s/"), body)).body, "\r\n\r\n"));
}

TEST(GatewayHttp2, ServesManyStreamsAtOnceOverPooledConnections) {
  const Backend backend(echoes());
  const auto gateway = start_one(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  for (int round = 0; round < 3; ++round) {
    std::vector<std::int32_t> ids;
    for (int number = 0; number < 100; ++number) {
      ids.push_back(client->ask(Http2Peer::get("/services/s/" + std::to_string(number))));
    }
    for (int number = 0; number < 100; ++number) {
      EXPECT_TRUE(has(client->wait(ids[static_cast<std::size_t>(number)]).body,
                      "GET /" + std::to_string(number) + " HTTP/1.1"));
    }
  }
  EXPECT_LE(backend.connections(), 100U);
}

TEST(GatewayHttp2, CarriesLongBodiesBothWaysWithAndWithoutLength) {
  const Backend backend(echoes());
  const auto gateway = start_one(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  const std::string body = repeated(2'000'000);
  Http2Peer::Fields with_length = Http2Peer::post("/services/s/");
  with_length.emplace_back("content-length", std::to_string(body.size()));
  EXPECT_TRUE(has(client->wait(client->ask(with_length, body)).body, "\r\n\r\n" + body));
  const Http2Peer::Answer& chunked = client->wait(client->ask(Http2Peer::post("/services/s/"), body));
  EXPECT_TRUE(has(chunked.body, "Transfer-Encoding: chunked\r\n"));
  EXPECT_GT(chunked.body.size(), body.size());
}

TEST(GatewayHttp2, AnswersModelCallsAndErrorsOfItsOwn) {
  const Backend backend(echoes());
  const auto gateway = start_one(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  EXPECT_TRUE(has(client->wait(client->ask(Http2Peer::get("/v1/models"))).body, R"("id":"m")"));
  EXPECT_TRUE(has(client->wait(client->ask(Http2Peer::post("/v1/completions"), R"({"model":"m"})")).body,
                  "Content-Length: 13\r\n"));
  const Http2Peer::Answer& unknown = client->wait(client->ask(Http2Peer::post("/v1/completions"), R"({"model":"x"})"));
  EXPECT_EQ(unknown.status, 404);
  EXPECT_TRUE(has(unknown.body, "no service offers this model"));
  EXPECT_EQ(client->wait(client->ask(Http2Peer::get("/nowhere"))).status, 404);
  Http2Peer::Fields head = Http2Peer::get("/services/s/");
  head[0].second = "HEAD";
  EXPECT_EQ(client->wait(client->ask(head)).body, "");
}

TEST(GatewayHttp2, TakesChunksApartAndEndsWithItsReplica) {
  const Backend chunked([](Peer& peer) {
    while (!peer.read_message().empty()) {
      peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n");
    }
  });
  const auto first = start_one(chunked.port());
  auto client = Http2Peer::connect(first->port());
  const Http2Peer::Answer& answer = client->wait(client->ask(Http2Peer::get("/services/s/")));
  EXPECT_EQ(answer.body, "hello, world");
  EXPECT_EQ(answer.fields.count("transfer-encoding"), 0U);
  const Backend closing([](Peer& peer) {
    peer.read_message();
    peer.send("HTTP/1.0 200 OK\r\n\r\nuntil the end");
  });
  const auto second = start_one(closing.port());
  client = Http2Peer::connect(second->port());
  EXPECT_EQ(client->wait(client->ask(Http2Peer::get("/services/s/"))).body, "until the end");
}

TEST(GatewayHttp2, CutsAnAnswerThatBreaksOffAndNoOtherStream) {
  const Backend backend([](Peer& peer) {
    while (true) {
      const std::string request = peer.read_message();
      if (request.empty()) return;
      if (has(request, "GET /broken")) {
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        return;
      }
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  });
  const auto gateway = start_one(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  EXPECT_TRUE(client->wait(client->ask(Http2Peer::get("/services/s/broken"))).was_reset);
  EXPECT_EQ(client->wait(client->ask(Http2Peer::get("/services/s/"))).body, "ok");
}

TEST(GatewayHttp2, AReplicaOfASlowStreamWaitsAndOthersDoNot) {
  std::atomic<std::size_t> written = 0;
  const Backend backend([&written](Peer& peer) {
    while (true) {
      const std::string request = peer.read_message();
      if (request.empty()) return;
      if (!has(request, "GET /long")) {
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        continue;
      }
      constexpr std::size_t kBytes = 64 << 20;
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kBytes) + "\r\n\r\n");
      const std::string piece(64 << 10, 'x');
      for (std::size_t sent = 0; sent < kBytes; sent += piece.size()) {
        peer.send(piece);
        written += piece.size();
      }
    }
  });
  const auto gateway = start_one(backend.port());
  // A window of nothing: not one byte of a body may be sent to it.
  const auto client = Http2Peer::connect(gateway->port(), 0);
  const std::int32_t slow = client->ask(Http2Peer::get("/services/s/long"));
  client->wait_until([&] { return client->answer(slow).status == 200; });
  Http2Peer::Fields head = Http2Peer::get("/services/s/");
  head[0].second = "HEAD";
  for (int round = 0; round < 200; ++round) EXPECT_EQ(client->wait(client->ask(head)).status, 200);
  EXPECT_LT(written, std::size_t{32} << 20);  // The kernel's buffers and one of ours.
  client->reset(slow);
  EXPECT_EQ(client->wait(client->ask(head)).status, 200);
}

TEST(GatewayHttp2, AStreamWhoseReplicaIsSlowHoldsItsClientBack) {
  std::latch may_read(1);
  const Backend backend([&may_read](Peer& peer) {
    const std::string head = peer.read_until("\r\n\r\n");
    may_read.wait();
    peer.read_exactly(8 << 20);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  });
  const auto gateway = start_one(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  Http2Peer::Fields fields = Http2Peer::post("/services/s/");
  fields.emplace_back("content-length", std::to_string(8 << 20));
  const std::int32_t id = client->ask(fields, repeated(8 << 20));
  // Another stream of the same connection gets through meanwhile.
  EXPECT_EQ(client->wait(client->ask(Http2Peer::get("/v1/models"))).status, 200);
  may_read.count_down();
  EXPECT_EQ(client->wait(id).body, "ok");
}

TEST(GatewayHttp2, AClientsResetReachesTheReplica) {
  std::latch has_request(1);
  std::latch is_gone(1);
  const Backend backend([&](Peer& peer) {
    peer.read_message();
    has_request.count_down();
    EXPECT_TRUE(peer.is_closed());
    is_gone.count_down();
  });
  const auto gateway = start_one(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  const std::int32_t id = client->ask(Http2Peer::get("/services/s/"));
  has_request.wait();
  client->reset(id);
  is_gone.wait();
  EXPECT_EQ(client->wait(client->ask(Http2Peer::get("/v1/models"))).status, 200);
  EXPECT_TRUE(comes_to_show(*gateway, "busbar_gateway_aborts_total{service=\"s\"} 1\n"));
}

TEST(GatewayHttp2, AnEarlyAnswerEndsTheRequest) {
  const Backend backend(answers("ok"));
  const auto gateway = start_one(backend.port(), {}, {.max_body_bytes = 1000});
  const auto client = Http2Peer::connect(gateway->port());
  const std::int32_t id = client->ask(Http2Peer::post("/services/s/"), repeated(5000), true);
  const Http2Peer::Answer& answer = client->wait(id);
  EXPECT_EQ(answer.status, 413);
  client->wait_until([&] { return client->answer(id).was_reset; });
  EXPECT_EQ(answer.reset_code, static_cast<std::uint32_t>(NGHTTP2_NO_ERROR));
}

TEST(GatewayHttp2, TellsWhoAsksToGoOn) {
  const Backend backend(echoes());
  const auto gateway = start_one(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  Http2Peer::Fields fields = Http2Peer::post("/v1/embeddings");
  fields.emplace_back("expect", "100-continue");
  const std::int32_t id = client->ask(fields, {}, true);
  client->wait_until([&] { return client->answer(id).informational == 1; });
  client->send_body(id, R"({"model":"m"})", true);
  EXPECT_TRUE(has(client->wait(id).body, R"({"model":"m"})"));
}

TEST(GatewayHttp2, DrainsWithoutLosingARequest) {
  std::latch has_request(1);
  std::latch may_answer(1);
  const Backend backend([&](Peer& peer) {
    if (!has(peer.read_message(), "GET /slow")) {
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nquick");
      return;
    }
    has_request.count_down();
    may_answer.wait();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
  });
  const auto gateway = start_one(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  const std::int32_t slow = client->ask(Http2Peer::get("/services/s/slow"));
  has_request.wait();
  std::thread stopper([&gateway] { gateway->stop(30'000); });
  // Two of them: requests that were on their way when the first was sent are served.
  client->wait_until([&] { return client->goaways() == 2; });
  EXPECT_EQ(client->goaways(), 2);
  may_answer.count_down();
  EXPECT_EQ(client->wait(slow).body, "slow");
  client->wait_until([] { return false; });
  EXPECT_TRUE(client->is_closed());
  stopper.join();
}

TEST(GatewayHttp2, ClosesIdleConnectionsWithAGoaway) {
  const Backend backend(answers("ok"));
  const auto gateway = start_one(backend.port(), {.idle_timeout_ms = 100});
  const auto client = Http2Peer::connect(gateway->port());
  EXPECT_EQ(client->wait(client->ask(Http2Peer::get("/services/s/"))).body, "ok");
  client->wait_until([] { return false; });
  EXPECT_TRUE(client->has_goaway());
  EXPECT_EQ(client->goaway_code(), static_cast<std::uint32_t>(NGHTTP2_NO_ERROR));
}

TEST(GatewayHttp2, ClosesWhoDoesNotFinishAHead) {
  const Backend backend(answers("ok"));
  const auto gateway = start_one(backend.port(), {.head_timeout_ms = 100});
  Peer client = Peer::connect(gateway->port());
  client.send(preface() + frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, "\x82"));
  while (!client.read_some().empty()) {
  }
}

// What must never reach a replica, or reach it as two requests.
TEST(GatewayHttp2, RefusesMalformedRequests) {
  std::atomic<int> reached = 0;
  const Backend backend([&reached](Peer& peer) {
    while (!peer.read_message().empty()) {
      ++reached;
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  });
  const auto gateway = start_one(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  const auto with = [](const std::string& name, const std::string& value) {
    Http2Peer::Fields fields = Http2Peer::get("/services/s/");
    fields.emplace_back(name, value);
    return fields;
  };
  const auto pseudo = [](std::size_t index, const std::string& value) {
    Http2Peer::Fields fields = Http2Peer::get("/services/s/");
    fields[index].second = value;
    return fields;
  };
  std::vector<Http2Peer::Fields> bad = {
      with("transfer-encoding", "chunked"),
      with("connection", "close"),
      with("connection", "x-a"),
      with("keep-alive", "5"),
      with("proxy-connection", "close"),
      with("upgrade", "h2c"),
      with("te", "gzip"),
      with("host", "other"),
      with("x-a", "b\r\nX-Smuggled: 1"),
      with("x-a", "b\nc"),
      with("x-a", std::string("b\0c", 3)),
      with("x a", "b"),
      with("x:a", "b"),
      with("", "b"),
      with("content-length", "x"),
      with("content-length", "+1"),
      with("content-length", "1, 1"),
      with("content-length", "5"),  // And no body.
      with(":path", "/services/s/"),
      with(":unknown", "a"),
      with("expect", "something"),
      pseudo(0, "GET /services/s/ HTTP/1.1\r\nHost: x\r\n\r\nGET"),
      pseudo(0, "GE T"),
      pseudo(0, ""),
      pseudo(0, "CONNECT"),
      pseudo(0, "TRACE"),
      pseudo(2, "user@gw"),
      pseudo(2, "gw/path"),
      pseudo(2, "gw\r\nX-A: b"),
      pseudo(2, ""),
      pseudo(3, ""),
      pseudo(3, "services/s/"),
      pseudo(3, "*"),
      pseudo(3, "/services/s/ HTTP/1.1\r\nX-A: b\r\n"),
      pseudo(3, "/services/s/a b"),
      pseudo(3, "/services/s/#a"),
      pseudo(3, "/services/s/\x7f"),
      pseudo(3, "/services/s/\xc3\xa9"),
      {{":method", "GET"}, {":scheme", "http"}, {":authority", "gw"}},
      {{":method", "GET"}, {":authority", "gw"}, {":path", "/services/s/"}},
      {{":scheme", "http"}, {":authority", "gw"}, {":path", "/services/s/"}},
      {{":method", "GET"}, {":scheme", "http"}, {":path", "/services/s/"}},
      {{"x-a", "b"}, {":method", "GET"}, {":scheme", "http"}, {":authority", "gw"}, {":path", "/services/s/"}},
  };
  Http2Peer::Fields two_lengths = with("content-length", "0");
  two_lengths.emplace_back("content-length", "0");
  bad.push_back(two_lengths);
  for (const Http2Peer::Fields& fields : bad) {
    std::string trace;
    for (const auto& [name, value] : fields) trace.append(name).append("=").append(value).append(" ");
    SCOPED_TRACE(trace);
    const Http2Peer::Answer& answer = client->wait(client->ask(fields));
    EXPECT_TRUE(answer.was_reset || answer.status >= 400) << answer.status;
    ASSERT_FALSE(client->is_closed());
  }
  EXPECT_EQ(reached, 0);
  EXPECT_EQ(client->wait(client->ask(Http2Peer::get("/services/s/"))).body, "ok");
}

TEST(GatewayHttp2, ABodyOfAnotherLengthThanWasSaidIsAnError) {
  const Backend backend(echoes());
  const auto gateway = start_one(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  for (const std::string body : {"123", "12345678"}) {
    Http2Peer::Fields fields = Http2Peer::post("/services/s/");
    fields.emplace_back("content-length", "5");
    EXPECT_TRUE(client->wait(client->ask(fields, body)).was_reset);
  }
}

TEST(GatewayHttp2, AnswersAHeadThatIsTooLong) {
  const Backend backend(answers("ok"));
  const auto gateway = start_one(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  Http2Peer::Fields fields = Http2Peer::get("/services/s/");
  for (int number = 0; number < 10; ++number) fields.emplace_back("x-a", std::string(4000, 'a'));
  EXPECT_EQ(client->wait(client->ask(fields)).status, 431);
  fields = Http2Peer::get("/services/s/");
  for (int number = 0; number < 120; ++number) fields.emplace_back("x-a", "b");
  EXPECT_EQ(client->wait(client->ask(fields)).status, 431);
}

TEST(GatewayHttp2, EndsFloods) {
  const Backend backend(answers("ok"));
  const auto gateway = start_one(backend.port());
  std::string reset;
  std::string pings;
  std::string settings;
  std::string empty = frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, "\x83\x86\x04\x0f/v1/completions\x41\x02gw");
  for (int number = 0; number < 4000; ++number) {
    const std::int32_t id = 2 * number + 1;
    const char code[] = {0, 0, 0, 8};
    reset += frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id, "\x82\x86\x84\x41\x02gw");
    reset += frame(NGHTTP2_RST_STREAM, 0, id, std::string_view(code, 4));
    pings += frame(NGHTTP2_PING, 0, 0, "12345678");
    settings += frame(NGHTTP2_SETTINGS, 0, 0, {});
    empty += frame(NGHTTP2_DATA, 0, 1, {});
  }
  std::string continuation = frame(NGHTTP2_HEADERS, 0, 1, "\x82");
  for (int number = 0; number < 20; ++number) continuation += frame(NGHTTP2_CONTINUATION, 0, 1, "\x86");
  for (const std::string* flood : {&reset, &pings, &settings, &empty, &continuation}) {
    Peer client = Peer::connect(gateway->port());
    client.send(preface());
    // Who sends a flood may find the connection closed before its end.
    std::thread sender([&client, flood] {
      for (std::size_t at = 0; at < flood->size(); at += 4096) {
        const std::string piece = flood->substr(at, 4096);
        if (::send(client.fd(), piece.data(), piece.size(), MSG_NOSIGNAL) < 0) return;
      }
    });
    while (!client.read_some().empty()) {
    }
    sender.join();
  }
  const auto client = Http2Peer::connect(gateway->port());
  EXPECT_EQ(client->wait(client->ask(Http2Peer::get("/services/s/"))).body, "ok");
}

TEST(GatewayHttp2, RefusesBrokenFramesWithAGoaway) {
  const Backend backend(answers("ok"));
  const auto gateway = start_one(backend.port());
  const std::string head = "\x82\x86\x84\x41\x02gw";
  for (const std::string& broken :
       {frame(NGHTTP2_DATA, 0, 0, "abc"), frame(NGHTTP2_HEADERS, 5, 2, head), frame(NGHTTP2_HEADERS, 5, 0, head),
        frame(NGHTTP2_SETTINGS, 0, 0, "abc"), frame(NGHTTP2_PING, 0, 0, "1234567"),
        frame(NGHTTP2_PING, 0, 1, "12345678"), frame(NGHTTP2_WINDOW_UPDATE, 0, 0, std::string(4, '\0')),
        frame(NGHTTP2_CONTINUATION, 4, 1, head), frame(NGHTTP2_PUSH_PROMISE, 4, 1, head),
        frame(NGHTTP2_HEADERS, 5, 1, "\xff\xff\xff\xff\xff\xff\xff"),
        frame(NGHTTP2_HEADERS, 1, 1, head) + frame(NGHTTP2_DATA, 0, 1, "a"), frame(NGHTTP2_DATA, 0, 7, "abc"),
        frame(NGHTTP2_SETTINGS, 0, 0, std::string("\0\4\xff\xff\xff\xff", 6))}) {
    Peer client = Peer::connect(gateway->port());
    client.send(preface() + broken);
    std::string answer;
    for (std::string more = client.read_some(); !more.empty(); more = client.read_some()) answer += more;
    EXPECT_FALSE(answer.empty());
  }
}

TEST(GatewayHttp2, AConnectionOfHttp1CannotBecomeOneLater) {
  const Backend backend(answers("ok"));
  const auto gateway = start_one(backend.port());
  Peer client = Peer::connect(gateway->port());
  client.send("GET /services/s/ HTTP/1.1\r\nHost: gw\r\n\r\n");
  client.read_message();
  client.send(preface());
  EXPECT_TRUE(has(client.read_message(), "HTTP/1.1 505 "));
}

TEST(GatewayHttp2, TakesItsPrefaceInPiecesOfOneByte) {
  const Backend backend(answers("ok"));
  const auto gateway = start_one(backend.port());
  Peer client = Peer::connect(gateway->port());
  for (const char byte : preface() + frame(NGHTTP2_HEADERS, 5, 1, "\x82\x86\x84\x41\x02gw")) {
    client.send(std::string_view(&byte, 1));
  }
  EXPECT_TRUE(has(client.read_until("no service is reached"), "no service is reached"));
}

}  // namespace
}  // namespace busbar::gateway
