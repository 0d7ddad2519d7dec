#include "gateway/trailers.h"

#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <string>
#include <vector>

#include "gateway/gateway.h"
#include "gateway/test_http2.h"
#include "gateway/test_http2_replica.h"
#include "gateway/test_metrics.h"
#include "gateway/test_peers.h"

// Trailers by themselves, and through the gateway between peers of either HTTP.
namespace busbar::gateway {
namespace {

using testing::Backend;
using testing::comes_to_show;
using testing::has;
using testing::Http2Peer;
using testing::Http2Replica;
using testing::Peer;

constexpr std::string_view kEnd = "<end>";
const Http2Peer::Fields kSent = {{"x-sum", "7"}, {"x-busbar-tenant", "root"}, {"authorization", "Bearer x"}};
constexpr std::string_view kSentLines = "X-Sum: 7\r\nX-Busbar-Tenant: root\r\nContent-Length: 3\r\n";

std::unique_ptr<Gateway> start_for(const Backend& backend, model::ReplicaProtocol protocol) {
  auto gateway = Gateway::start({.threads = 1});
  EXPECT_TRUE(gateway) << gateway.error().to_string();
  route::Service service{.name = "s", .models = {"m"}};
  service.endpoints.push_back({.replica = "s-1", .address = "127.0.0.1", .port = backend.port(), .protocol = protocol});
  EXPECT_TRUE((*gateway)->update({.version = 1, .services = {service}}));
  return *std::move(gateway);
}

std::unique_ptr<Gateway> start_http1(const Backend& backend) {
  return start_for(backend, model::ReplicaProtocol::kHttp1);
}

/// Answers with these bytes, in pieces, whatever it is asked.
Backend::Serve says_in_pieces(std::vector<std::string> pieces) {
  return [pieces = std::move(pieces)](Peer& peer) {
    while (!peer.read_message().empty()) {
      for (const std::string& piece : pieces) peer.send(piece);
    }
  };
}

std::string chunked(std::string_view trailers, std::string_view more_fields = {}) {
  return "HTTP/1.1 200 OK\r\n" + std::string(more_fields) + "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n" +
         std::string(trailers) + "\r\n";
}

/// Answers a request whose body holds kEnd, or its trailers do, with all of it, as it came.
void show_request(Peer& peer) {
  std::string request;
  while (request.find(kEnd) == std::string::npos || !request.ends_with("\r\n\r\n")) {
    const std::string more = peer.read_some();
    if (more.empty()) return;
    request += more;
  }
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(request.size()) + "\r\n\r\n" + request);
}

std::string kept_of(std::string_view section, std::string_view connection = {}) {
  Trailers trailers{.lines = std::string(section), .connection = std::string(connection)};
  return close_section(trailers) ? trailers.lines : "refused";
}

TEST(Trailers, ThatFrameRouteOrAuthorizeEndHere) {
  EXPECT_EQ(kept_of("\r\n"), "");
  EXPECT_EQ(kept_of("X-A:b\r\nx-c: \t d  e \r\nX-Empty:\r\nETag: \"1\"\r\n\r\n"),
            "x-a: b\r\nx-c: d  e\r\nx-empty: \r\netag: \"1\"\r\n");
  for (const std::string name : {"Content-Length",
                                 "Transfer-Encoding",
                                 "TE",
                                 "Trailer",
                                 "Connection",
                                 "Keep-Alive",
                                 "Upgrade",
                                 "Host",
                                 "Authorization",
                                 "Cookie",
                                 "Set-Cookie",
                                 "WWW-Authenticate",
                                 "Proxy-Authenticate",
                                 "Content-Type",
                                 "Content-Encoding",
                                 "Range",
                                 "If-None-Match",
                                 "Cache-Control",
                                 "Vary",
                                 "X-Forwarded-For",
                                 "X-Forwarded-Anything",
                                 "X-Busbar-Tenant",
                                 "x-api-key",
                                 "Forwarded",
                                 "Via",
                                 "Age",
                                 "Expect",
                                 "Max-Forwards"}) {
    EXPECT_EQ(kept_of(name + ": 1\r\nx-a: b\r\n\r\n"), "x-a: b\r\n") << name;
  }
  EXPECT_EQ(kept_of("X-A: b\r\nX-C: d\r\nX-E: f\r\n\r\n", "close,x-a , X-E,"), "x-c: d\r\n");
}

TEST(Trailers, ThatAreNoFieldsAreRefused) {
  for (const std::string line : {"no colon", ": no name", "a b: c", "a : b", "a(b): c"}) {
    EXPECT_EQ(kept_of("x-a: b\r\n" + line + "\r\n\r\n"), "refused") << line;
  }
  std::string many;
  for (int count = 0; count < 100; ++count) many += "x-a: b\r\n";
  EXPECT_EQ(kept_of(many + "\r\n"), many);
  EXPECT_EQ(kept_of(many + "x-a: b\r\n\r\n"), "refused");
}

TEST(Trailers, HaveABound) {
  std::string lines;
  const std::string value(kMaxTrailerBytes - 10, 'v');
  EXPECT_TRUE(append_trailer(lines, "x-abcd", value));
  EXPECT_FALSE(append_trailer(lines, "x", ""));
  EXPECT_EQ(lines.size(), kMaxTrailerBytes);
}

TEST(GatewayTrailers, OfAChunkedAnswerGoToClientsOfHttp2) {
  const std::string answer =
      chunked("X-Sum: 7\r\nSet-Cookie: a=b\r\nX-Hop: 1\r\n\r\n", "Connection: x-hop, keep-alive\r\n");
  std::vector<std::string> single;
  for (const char c : answer.substr(0, answer.size() - 2)) single.emplace_back(1, c);
  const std::vector<std::vector<std::string>> cuts = {{answer.substr(0, answer.size() - 2)}, single};
  for (const std::vector<std::string>& pieces : cuts) {
    const Backend backend(says_in_pieces(pieces));
    const auto gateway = start_http1(backend);
    const auto client = Http2Peer::connect(gateway->port());
    for (int round = 0; round < 3; ++round) {
      const Http2Peer::Answer& got = client->wait(client->ask(Http2Peer::get("/services/s/")));
      EXPECT_FALSE(got.was_reset);
      EXPECT_EQ(got.body, "body");
      EXPECT_EQ(got.fields, (std::map<std::string, std::string>{{"x-sum", "7"}}));
    }
    // Trailers are read to their end, so the connection serves the next request too.
    EXPECT_EQ(backend.connections(), 1U);
  }
}

TEST(GatewayTrailers, OfAChunkedAnswerGoToClientsOfHttp1ThatTakeThem) {
  const Backend backend(says_in_pieces({chunked("X-Sum: 7\r\nAge: 1\r\n")}));
  const auto gateway = start_http1(backend);
  Peer client = Peer::connect(gateway->port());
  const auto ask = [&client](std::string_view field, std::string_view end) {
    client.send("GET /services/s/ HTTP/1.1\r\nHost: gw\r\n" + std::string(field) + "\r\n");
    return client.read_until(end);
  };
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n";
  EXPECT_EQ(ask("TE: deflate, Trailers\r\nConnection: TE\r\n", "7\r\n\r\n"), head + "x-sum: 7\r\n\r\n");
  EXPECT_EQ(ask("", "0\r\n\r\n"), head + "\r\n");
  EXPECT_EQ(ask("TE: no-trailers\r\n", "0\r\n\r\n"), head + "\r\n");
  Peer old = Peer::connect(gateway->port());
  old.send("GET /services/s/ HTTP/1.0\r\nHost: gw\r\nTE: trailers\r\n\r\n");
  EXPECT_TRUE(old.read_to_end().ends_with("\r\n\r\nbody"));
}

TEST(GatewayTrailers, AReplicaIsToldThatItsClientTakesThem) {
  const Backend backend(testing::echoes());
  const auto gateway = start_http1(backend);
  Peer client = Peer::connect(gateway->port());
  client.send("GET /services/s/ HTTP/1.1\r\nHost: gw\r\nTE: trailers, gzip\r\nConnection: te\r\n\r\n");
  EXPECT_TRUE(has(client.read_message(), "\r\nTE: trailers\r\nConnection: TE\r\n\r\n"));
  client.send("GET /services/s/ HTTP/1.1\r\nHost: gw\r\n\r\n");
  EXPECT_FALSE(has(client.read_message(), "TE:"));
}

TEST(GatewayTrailers, OfAnAnswerThatAreNoFieldsBreakIt) {
  const Backend whole(says_in_pieces({chunked("no field\r\n")}));
  const auto early = start_http1(whole);
  Peer client = Peer::connect(early->port());
  client.send("GET /services/s/ HTTP/1.1\r\nHost: gw\r\n\r\n");
  EXPECT_TRUE(has(client.read_message(), "HTTP/1.1 502 "));

  // Where some of the answer has gone already, it is cut.
  for (const std::string& trailers : {std::string("no field\r\n"), "x: " + std::string(40'000, 'x') + "\r\n"}) {
    std::latch may_end(2);
    const Backend backend([&](Peer& peer) {
      peer.read_message();
      peer.send(chunked("").substr(0, chunked("").size() - 2));
      may_end.wait();
      peer.send(trailers + "\r\n");
      peer.read_some();
    });
    const auto gateway = start_http1(backend);
    const auto modern = Http2Peer::connect(gateway->port());
    const std::int32_t id = modern->ask(Http2Peer::get("/services/s/"));
    modern->wait_until([&] { return modern->answer(id).body == "body"; });
    may_end.count_down();
    Peer old = Peer::connect(gateway->port());
    old.send("GET /services/s/ HTTP/1.1\r\nHost: gw\r\n\r\n");
    EXPECT_TRUE(has(old.read_until("body"), "200 OK"));
    may_end.count_down();
    EXPECT_TRUE(modern->wait(id).was_reset);
    EXPECT_EQ(old.read_to_end(), "\r\n0\r\n");
    EXPECT_TRUE(comes_to_show(*gateway, "busbar_gateway_failures_total{service=\"s\"} 2\n"));
  }
}

TEST(GatewayTrailers, OfARequestOfHttp2GoBehindItsChunks) {
  const Backend backend(show_request);
  const auto gateway = start_http1(backend);
  const auto client = Http2Peer::connect(gateway->port());
  const std::int32_t id = client->ask(Http2Peer::post("/services/s/"), "body" + std::string(kEnd), true);
  client->send_trailers(id, kSent);
  const std::string request = client->wait(id).body;
  EXPECT_TRUE(has(request, "Transfer-Encoding: chunked\r\n")) << request;
  EXPECT_TRUE(request.ends_with("\r\n9\r\nbody<end>\r\n0\r\nx-sum: 7\r\n\r\n")) << request;
}

TEST(GatewayTrailers, OfARequestWithALengthGoToReplicasOfHttp2Only) {
  Http2Peer::Fields fields = Http2Peer::post("/services/s/");
  fields.emplace_back("content-length", "4");
  {
    std::string request;
    const Backend backend([&request](Peer& peer) {
      request = peer.read_message();
      peer.send("HTTP/1.1 204 No Content\r\n\r\n");
      peer.read_some();
    });
    const auto gateway = start_http1(backend);
    const auto client = Http2Peer::connect(gateway->port());
    const std::int32_t id = client->ask(fields, "body", true);
    client->send_trailers(id, kSent);
    EXPECT_EQ(client->wait(id).status, 204);
    EXPECT_TRUE(request.ends_with("\r\n\r\nbody")) << request;
    EXPECT_FALSE(has(request, "x-sum"));
  }
  Http2Replica::Request request;
  const Backend backend([&request](Peer& peer) {
    Http2Replica replica(peer);
    const std::int32_t id = replica.next();
    request = replica.wait(id);
    replica.answer(id, {{":status", "204"}});
    replica.next();
  });
  const auto gateway = start_for(backend, model::ReplicaProtocol::kHttp2);
  const auto client = Http2Peer::connect(gateway->port());
  const std::int32_t id = client->ask(fields, "body", true);
  client->flush();
  client->send_trailers(id, kSent);
  EXPECT_EQ(client->wait(id).status, 204);
  EXPECT_EQ(request.body, "body");
  EXPECT_EQ(request.trailers, (std::map<std::string, std::string>{{"x-sum", "7"}}));
}

TEST(GatewayTrailers, OfAChunkedRequestGoToReplicas) {
  const std::string head =
      "POST /services/s/ HTTP/1.1\r\nHost: gw\r\nConnection: x-hop\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::vector<std::string> pieces = {head + "9\r\nbody<end>\r\n0", "\r\nX-Hop: 1\r\n" + std::string(kSentLines),
                                           "\r\n"};
  {
    const Backend backend(show_request);
    const auto gateway = start_http1(backend);
    Peer client = Peer::connect(gateway->port());
    for (const std::string& piece : pieces) client.send(piece);
    EXPECT_TRUE(client.read_message().ends_with("\r\n9\r\nbody<end>\r\n0\r\nx-sum: 7\r\n\r\n"));
  }
  Http2Replica::Request request;
  const Backend backend([&request](Peer& peer) {
    Http2Replica replica(peer);
    const std::int32_t id = replica.next();
    request = replica.wait(id);
    replica.answer(id, {{":status", "204"}});
    replica.next();
  });
  const auto gateway = start_for(backend, model::ReplicaProtocol::kHttp2);
  Peer client = Peer::connect(gateway->port());
  for (const std::string& piece : pieces) client.send(piece);
  EXPECT_TRUE(has(client.read_message(), " 204 "));
  EXPECT_EQ(request.body, "body<end>");
  EXPECT_EQ(request.trailers, (std::map<std::string, std::string>{{"x-sum", "7"}}));
}

TEST(GatewayTrailers, OfARequestThatAreNoFieldsAreRefused) {
  const Backend backend(show_request);
  const auto gateway = start_http1(backend);
  for (const std::string& trailers : {std::string("no field\r\n\r\n"), "x: " + std::string(40'000, 'x') + "\r\n\r\n"}) {
    Peer client = Peer::connect(gateway->port());
    client.send("POST /services/s/ HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + trailers);
    EXPECT_TRUE(has(client.read_to_end(), "HTTP/1.1 400 "));
  }
}

TEST(GatewayTrailers, AsLongAsTheyMayBeGoOnFromAndToEither) {
  // What a client of HTTP/2 may send becomes chunks of our own, which the way to a replica of HTTP/2 reads again.
  const std::string value(kMaxTrailerBytes - 100, 'v');
  for (const model::ReplicaProtocol protocol : {model::ReplicaProtocol::kHttp1, model::ReplicaProtocol::kHttp2}) {
    const Backend backend([protocol](Peer& peer) {
      if (protocol == model::ReplicaProtocol::kHttp1) return show_request(peer);
      Http2Replica replica(peer);
      const std::int32_t id = replica.next();
      const std::string got = replica.wait(id).trailers["x-long"];
      replica.answer(id, {{":status", "200"}}, got);
      replica.next();
    });
    const auto gateway = start_for(backend, protocol);
    const auto client = Http2Peer::connect(gateway->port());
    const std::int32_t id = client->ask(Http2Peer::post("/services/s/"), kEnd, true);
    client->send_trailers(id, {{"x-long", value}});
    EXPECT_TRUE(has(client->wait(id).body, value));
  }
}

}  // namespace
}  // namespace busbar::gateway
