#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <atomic>
#include <latch>
#include <memory>
#include <string>
#include <thread>

#include "gateway/gateway.h"
#include "gateway/test_http2.h"
#include "gateway/test_http2_replica.h"
#include "gateway/test_metrics.h"
#include "gateway/test_peers.h"

namespace busbar::gateway {
namespace {

using testing::answers;
using testing::Backend;
using testing::closed_port;
using testing::comes_to_show;
using testing::echoes;
using testing::has;
using testing::Http2Peer;
using testing::Http2Replica;
using testing::Peer;

constexpr std::string_view kGet =
    "GET /services/s/a?b=c HTTP/1.1\r\nHost: gw:1\r\nX-A: b\r\nConnection: x-c\r\nX-C: d\r\n\r\n";
const Http2Replica::Fields kOk = {{":status", "200"}};

std::unique_ptr<Gateway> start_for(const std::vector<std::uint16_t>& ports, route::Service service = {}) {
  auto gateway = Gateway::start({.threads = 1});
  EXPECT_TRUE(gateway) << gateway.error().to_string();
  service.name = "s";
  for (const std::uint16_t port : ports) {
    service.endpoints.push_back({.replica = "s-" + std::to_string(port),
                                 .address = "127.0.0.1",
                                 .port = port,
                                 .protocol = model::ReplicaProtocol::kHttp2});
  }
  EXPECT_TRUE((*gateway)->update({.version = 1, .services = {service}}));
  return *std::move(gateway);
}

/// Answers each request with 200 and what it was.
Backend::Serve shows() {
  return [](Peer& peer) {
    Http2Replica replica(peer);
    while (const std::int32_t id = replica.next()) {
      const Http2Replica::Request& request = replica.wait(id);
      std::string text;
      for (const auto& [name, value] : request.fields) text.append(name).append("=").append(value).append("\n");
      text.append("\n").append(request.body);
      for (const auto& [name, value] : request.trailers) text.append("\n").append(name).append("=").append(value);
      replica.answer(id, {{":status", "200"}, {"content-length", std::to_string(text.size())}}, text);
    }
  };
}

std::string repeated(std::size_t bytes) {
  std::string text;
  for (int number = 0; text.size() < bytes; ++number) text += std::to_string(number) + " ";
  text.resize(bytes);
  return text;
}

std::string ask(const Gateway& gateway, std::string_view request) {
  Peer client = Peer::connect(gateway.port());
  client.send(request);
  return client.read_message();
}

::testing::AssertionResult counts(const Gateway& gateway, const std::string& what, int value) {
  return comes_to_show(gateway, "busbar_gateway_" + what + "{service=\"s\"} " + std::to_string(value) + "\n");
}

TEST(UpstreamHttp2, TakesRequestsOfHttp1) {
  const Backend backend(shows());
  const auto gateway = start_for({backend.port()});
  Peer client = Peer::connect(gateway->port());
  for (int round = 0; round < 3; ++round) {
    client.send(kGet);
    const std::string answer = client.read_message();
    EXPECT_TRUE(has(answer, "HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(has(answer,
                    "\r\n\r\n:authority=gw:1\n:method=GET\n:path=/a?b=c\n:scheme=http\nx-a=b\n"
                    "x-forwarded-for=127.0.0.1\nx-forwarded-prefix=/services/s\nx-forwarded-proto=http\n\n"))
        << answer;
  }
  client.send("POST /services/s/ HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  client.send("7;x=y\r\n, world\r\n0\r\nX-Trailer: 1\r\n\r\n");
  const std::string chunked = client.read_message();
  EXPECT_TRUE(has(chunked, "\n\nhello, world")) << chunked;
  EXPECT_FALSE(has(chunked, "transfer-encoding"));
  EXPECT_TRUE(has(chunked, "\nx-trailer=1")) << chunked;
  client.send("POST /services/s/ HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_TRUE(has(client.read_message(), "content-length=3\n"));
  EXPECT_EQ(backend.connections(), 1U);
}

TEST(UpstreamHttp2, CarriesLongBodiesOfManyRequestsOnOneConnection) {
  const Backend backend(shows());
  const auto gateway = start_for({backend.port()}, {.limits = {.concurrency = 0}});
  const auto client = Http2Peer::connect(gateway->port());
  const std::string body = repeated(300'000);
  std::vector<std::int32_t> ids;
  for (int number = 0; number < 60; ++number) {
    ids.push_back(client->ask(Http2Peer::post("/services/s/" + std::to_string(number)), body));
  }
  for (int number = 0; number < 60; ++number) {
    const Http2Peer::Answer& answer = client->wait(ids[static_cast<std::size_t>(number)]);
    EXPECT_TRUE(has(answer.body, ":path=/" + std::to_string(number) + "\n"));
    EXPECT_TRUE(has(answer.body, "\n\n" + body));
    EXPECT_EQ(answer.fields.at("content-length"), std::to_string(answer.body.size()));
  }
  EXPECT_EQ(backend.connections(), 1U);
}

TEST(UpstreamHttp2, GivesAReplicaNoMoreStreamsThanItLetsIn) {
  std::atomic<int> connection = 0;
  std::latch all_there(5);
  const Backend backend([&](Peer& peer) {
    Http2Replica replica(peer, {.streams = 2});
    const std::size_t expected = connection++ < 2 ? 2 : 1;
    std::vector<std::int32_t> ids;
    while (ids.size() < expected) {
      ids.push_back(replica.next());
      all_there.count_down();
    }
    all_there.wait();
    for (const std::int32_t each : ids) replica.answer(each, kOk, "ok");
    EXPECT_EQ(replica.next(), 0);
  });
  const auto gateway = start_for({backend.port()});
  const auto client = Http2Peer::connect(gateway->port());
  std::vector<std::int32_t> ids;
  for (int number = 0; number < 5; ++number) ids.push_back(client->ask(Http2Peer::get("/services/s/")));
  for (const std::int32_t id : ids) EXPECT_EQ(client->wait(id).body, "ok");
  EXPECT_EQ(backend.connections(), 3U);
}

TEST(UpstreamHttp2, AnswersWhatHasNoBody) {
  const Backend backend([](Peer& peer) {
    Http2Replica replica(peer);
    while (const std::int32_t id = replica.next()) {
      const std::string path = replica.wait(id).fields[":path"];
      replica.inform(id, "103");
      if (path == "/none") replica.answer(id, {{":status", "204"}});
      if (path == "/head") replica.answer(id, {{":status", "200"}, {"content-length", "5"}});
      if (path == "/zero") replica.answer(id, {{":status", "200"}, {"content-length", "0"}});
      if (path == "/empty") replica.answer(id, {{":status", "404"}});
    }
  });
  const auto gateway = start_for({backend.port()});
  Peer client = Peer::connect(gateway->port());
  const auto get = [&client](const std::string& line) {
    client.send(line + " HTTP/1.1\r\nHost: gw\r\n\r\n");
    return client.read_message();
  };
  EXPECT_EQ(get("GET /services/s/none"), "HTTP/1.1 204 No Content\r\n\r\n");
  client.send("HEAD /services/s/head HTTP/1.1\r\nHost: gw\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
  EXPECT_EQ(get("GET /services/s/empty"), "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  client.send("GET /services/s/zero HTTP/1.1\r\nHost: gw\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  const auto other = Http2Peer::connect(gateway->port());
  EXPECT_EQ(other->wait(other->ask(Http2Peer::get("/services/s/empty"))).status, 404);
  EXPECT_EQ(other->wait(other->ask(Http2Peer::get("/services/s/zero"))).status, 200);
}

TEST(UpstreamHttp2, PassesTrailersOn) {
  const Backend backend([](Peer& peer) {
    Http2Replica replica(peer);
    while (const std::int32_t id = replica.next()) {
      replica.wait(id);
      replica.answer(id, kOk, "body", {{"x-sum", "7"}, {"set-cookie", "a=b"}});
    }
  });
  const auto gateway = start_for({backend.port()});
  const auto client = Http2Peer::connect(gateway->port());
  const Http2Peer::Answer& answer = client->wait(client->ask(Http2Peer::get("/services/s/")));
  EXPECT_EQ(answer.body, "body");
  EXPECT_EQ(answer.fields.at("x-sum"), "7");
  EXPECT_EQ(answer.fields.count("set-cookie"), 0U);
  Peer old = Peer::connect(gateway->port());
  old.send("GET /services/s/ HTTP/1.1\r\nHost: gw\r\nTE: trailers\r\n\r\n");
  EXPECT_TRUE(has(old.read_until("\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n"), "0\r\nx-sum: 7\r\n\r\n"));
  old.send("GET /services/s/ HTTP/1.1\r\nHost: gw\r\n\r\n");
  EXPECT_TRUE(has(old.read_message(), "\r\n\r\n4\r\nbody\r\n0\r\n\r\n"));
}

TEST(UpstreamHttp2, PassesAClientsTrailersOn) {
  const Backend backend(shows());
  const auto gateway = start_for({backend.port()});
  const auto client = Http2Peer::connect(gateway->port());
  const std::int32_t id = client->ask(Http2Peer::post("/services/s/"), "body", true);
  client->send_trailers(id, {{"x-sum", "7"}, {"x-busbar-tenant", "root"}, {"authorization", "Bearer x"}});
  EXPECT_TRUE(client->wait(id).body.ends_with("\n\nbody\nx-sum=7")) << client->answer(id).body;
}

TEST(UpstreamHttp2, AnswersWhileTheRequestGoesOn) {
  const Backend backend([](Peer& peer) {
    Http2Replica replica(peer);
    const std::int32_t id = replica.next();
    replica.begin_answer(id, kOk);
    for (const std::string expected : {"one", "onetwo", "onetwothree"}) {
      replica.wait_until([&] { return replica.request(id).body == expected; });
      replica.send_body(id, "<" + expected + ">");
    }
    replica.wait(id);
    replica.end_answer(id, {{"x-end", "yes"}});
    replica.next();
  });
  const auto gateway = start_for({backend.port()});
  const auto client = Http2Peer::connect(gateway->port());
  const std::int32_t id = client->ask(Http2Peer::post("/services/s/"), {}, true);
  client->wait_until([&] { return client->answer(id).status == 200; });
  std::string sofar;
  std::string expected;
  for (const std::string word : {"one", "two", "three"}) {
    client->send_body(id, word, false);
    sofar += word;
    expected += "<" + sofar + ">";
    client->wait_until([&] { return client->answer(id).body == expected; });
    EXPECT_EQ(client->answer(id).body, expected);
  }
  client->send_body(id, {}, true);
  EXPECT_EQ(client->wait(id).fields.at("x-end"), "yes");
}

TEST(UpstreamHttp2, AClientThatGoesAwayResetsItsStreamAndNoOther) {
  std::latch is_reset(1);
  const Backend backend([&](Peer& peer) {
    Http2Replica replica(peer);
    const std::int32_t first = replica.next();
    const std::int32_t second = replica.next();
    replica.begin_answer(second, kOk);
    replica.wait_until([&] { return replica.request(first).was_reset; });
    EXPECT_EQ(replica.request(first).reset_code, static_cast<std::uint32_t>(NGHTTP2_CANCEL));
    replica.send_body(second, "still here");
    replica.end_answer(second);
    is_reset.count_down();
    replica.next();
  });
  const auto gateway = start_for({backend.port()});
  Peer gone = Peer::connect(gateway->port());
  gone.send(kGet);
  const auto client = Http2Peer::connect(gateway->port());
  const std::int32_t id = client->ask(Http2Peer::get("/services/s/"));
  client->wait_until([&] { return client->answer(id).status == 200; });
  gone.close();
  EXPECT_EQ(client->wait(id).body, "still here");
  is_reset.wait();
  EXPECT_TRUE(counts(*gateway, "aborts_total", 1));
}

TEST(UpstreamHttp2, TriesARefusedStreamAgain) {
  std::atomic<int> refused = 0;
  const Backend backend([&refused](Peer& peer) {
    Http2Replica replica(peer);
    while (const std::int32_t id = replica.next()) {
      replica.wait(id);
      if (refused++ < 2) {
        replica.reset(id, NGHTTP2_REFUSED_STREAM);
      } else {
        replica.answer(id, kOk, replica.request(id).body);
      }
    }
  });
  const auto gateway = start_for({backend.port()});
  // Also one that may not be repeated otherwise: the replica did nothing with it.
  EXPECT_TRUE(has(ask(*gateway, "POST /services/s/ HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\n\r\nabc"), "abc"));
  EXPECT_TRUE(counts(*gateway, "retries_total", 2));
  refused = -100;
  EXPECT_TRUE(has(ask(*gateway, kGet), "HTTP/1.1 502 "));
}

TEST(UpstreamHttp2, AResetIsTheRequestsFailure) {
  const Backend backend([](Peer& peer) {
    Http2Replica replica(peer);
    while (const std::int32_t id = replica.next()) {
      const std::string path = replica.wait(id).fields[":path"];
      if (path == "/late") {
        replica.begin_answer(id, {{":status", "200"}, {"content-length", "100"}});
        replica.send_body(id, "begun");
      }
      if (path == "/ok") {
        replica.answer(id, kOk, "ok");
      } else {
        replica.reset(id, NGHTTP2_INTERNAL_ERROR);
      }
    }
  });
  const auto gateway = start_for({backend.port()});
  const auto client = Http2Peer::connect(gateway->port());
  EXPECT_EQ(client->wait(client->ask(Http2Peer::post("/services/s/early"), "x")).status, 502);
  EXPECT_TRUE(counts(*gateway, "retries_total", 0));
  EXPECT_TRUE(client->wait(client->ask(Http2Peer::get("/services/s/late"))).was_reset);
  EXPECT_EQ(client->wait(client->ask(Http2Peer::get("/services/s/ok"))).body, "ok");
  Peer old = Peer::connect(gateway->port());
  old.send("GET /services/s/late HTTP/1.1\r\nHost: gw\r\n\r\n");
  EXPECT_TRUE(old.read_to_end().ends_with("\r\n\r\nbegun"));
  EXPECT_EQ(backend.connections(), 1U);
}

TEST(UpstreamHttp2, WhatAGoodbyeLeavesOutGoesElsewhere) {
  std::atomic<int> connection = 0;
  const Backend backend([&connection](Peer& peer) {
    Http2Replica replica(peer);
    const bool is_first = connection++ == 0;
    while (const std::int32_t id = replica.next()) {
      const std::string path = replica.wait(id).fields[":path"];
      if (!is_first || path == "/before") {
        replica.answer(id, kOk, is_first ? "first" : "second");
        continue;
      }
      const std::int32_t other = replica.next();
      replica.goaway(id);
      replica.answer(id, kOk, "first");
      EXPECT_NE(other, 0);
    }
  });
  const auto gateway = start_for({backend.port()});
  const auto client = Http2Peer::connect(gateway->port());
  EXPECT_EQ(client->wait(client->ask(Http2Peer::get("/services/s/before"))).body, "first");
  const std::int32_t kept = client->ask(Http2Peer::post("/services/s/"), "x");
  const std::int32_t left_out = client->ask(Http2Peer::post("/services/s/"), "x");
  EXPECT_EQ(client->wait(kept).body, "first");
  EXPECT_EQ(client->wait(left_out).body, "second");
  EXPECT_EQ(client->wait(client->ask(Http2Peer::get("/services/s/"))).body, "second");
  EXPECT_EQ(backend.connections(), 2U);
}

TEST(UpstreamHttp2, AConnectionThatBreaksFailsItsRequestsEachByItsRules) {
  std::atomic<int> connection = 0;
  const Backend backend([&connection](Peer& peer) {
    Http2Replica replica(peer);
    if (connection++ == 0) {
      for (int count = 0; count < 3; ++count) {
        const std::int32_t id = replica.next();
        replica.wait(id);
        if (replica.request(id).fields[":path"] == "/begun") {
          replica.begin_answer(id, kOk);
          replica.send_body(id, "half");
        }
      }
      peer.reset();
      return;
    }
    while (const std::int32_t id = replica.next()) replica.answer(id, kOk, "again");
  });
  const auto gateway = start_for({backend.port()});
  const auto client = Http2Peer::connect(gateway->port());
  const std::int32_t get = client->ask(Http2Peer::get("/services/s/"));
  const std::int32_t post = client->ask(Http2Peer::post("/services/s/"), "x");
  const std::int32_t begun = client->ask(Http2Peer::get("/services/s/begun"));
  EXPECT_EQ(client->wait(get).body, "again");
  EXPECT_EQ(client->wait(post).status, 502);
  client->wait(begun);
  EXPECT_TRUE(client->answer(begun).was_reset || client->answer(begun).body == "again");
}

TEST(UpstreamHttp2, AClientThatDoesNotReadStopsItsReplicaAndNoOther) {
  const Backend backend([](Peer& peer) {
    Http2Replica replica(peer);
    while (const std::int32_t id = replica.next()) {
      const bool is_long = replica.wait(id).fields[":path"] == "/long";
      replica.answer(id, kOk, is_long ? repeated(2 << 20) : "ok");
    }
  });
  const auto gateway = start_for({backend.port()});
  const auto stuck = Http2Peer::connect(gateway->port(), 0);
  const std::int32_t id = stuck->ask(Http2Peer::get("/services/s/long"));
  stuck->wait_until([&] { return stuck->answer(id).status == 200; });
  for (int round = 0; round < 100; ++round) EXPECT_TRUE(has(ask(*gateway, kGet), "\r\nok\r\n"));
  const auto client = Http2Peer::connect(gateway->port());
  EXPECT_EQ(client->wait(client->ask(Http2Peer::get("/services/s/long"))).body, repeated(2 << 20));
  EXPECT_EQ(backend.connections(), 1U);
}

TEST(UpstreamHttp2, AReplicaThatDoesNotReadHoldsItsClientBack) {
  std::latch may_read(1);
  const std::string body = repeated(4 << 20);
  const Backend backend([&](Peer& peer) {
    Http2Replica replica(peer, {.window = 0});
    const std::int32_t held = replica.next();
    const std::int32_t other = replica.next();
    replica.answer(other, kOk, "ok");
    may_read.wait();
    EXPECT_EQ(replica.request(held).body, "");
    replica.allow(1 << 20);
    replica.answer(held, kOk, replica.wait(held).body == body ? "all of it" : "something else");
    replica.next();
  });
  const auto gateway = start_for({backend.port()});
  const auto client = Http2Peer::connect(gateway->port());
  const std::int32_t held = client->ask(Http2Peer::post("/services/s/"), body);
  EXPECT_EQ(client->wait(client->ask(Http2Peer::get("/services/s/"))).body, "ok");
  may_read.count_down();
  EXPECT_EQ(client->wait(held).body, "all of it");
}

TEST(UpstreamHttp2, RefusesWhatIsNoAnswer) {
  const std::vector<Http2Replica::Fields> bad = {{{":status", "200"}, {"transfer-encoding", "chunked"}},
                                                 {{":status", "200"}, {"connection", "close"}},
                                                 {{":status", "200"}, {"x-a", "b\r\nx-smuggled: 1"}},
                                                 {{":status", "200"}, {"x a", "b"}},
                                                 {{":status", "200"}, {"content-length", "1"}, {"content-length", "1"}},
                                                 {{":status", "200"}, {"content-length", "5"}},
                                                 {{":status", "101"}},
                                                 {{":status", "abc"}},
                                                 {{"x-a", "b"}},
                                                 {{":status", "200"}, {"x-a", std::string(40'000, 'a')}}};
  const Backend backend([&bad](Peer& peer) {
    Http2Replica replica(peer);
    while (const std::int32_t id = replica.next()) {
      replica.answer(id, bad[std::stoul(replica.wait(id).fields[":path"].substr(1))]);
    }
  });
  const auto gateway = start_for({backend.port()});
  for (std::size_t index = 0; index < bad.size(); ++index) {
    SCOPED_TRACE(index);
    const std::string answer = ask(
        *gateway, "POST /services/s/" + std::to_string(index) + " HTTP/1.1\r\nHost: gw\r\nContent-Length: 1\r\n\r\nx");
    EXPECT_TRUE(has(answer, "HTTP/1.1 502 ")) << answer;
  }
}

TEST(UpstreamHttp2, SaysSoWhereTheReplicaSpeaksSomethingElse) {
  const Backend backend([](Peer& peer) {
    peer.read_some();
    peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    peer.read_to_end();
  });
  const auto gateway = start_for({backend.port()});
  EXPECT_TRUE(has(ask(*gateway, kGet), "the replica does not speak HTTP/2"));
}

TEST(UpstreamHttp2, AsksASecondReplicaWhereTheFirstIsSlow) {
  std::atomic<int> connection = 0;
  const auto serve = [&connection](Peer& peer) {
    Http2Replica replica(peer);
    while (const std::int32_t id = replica.next()) {
      if (connection++ == 0) continue;  // The first that is asked says nothing.
      replica.answer(id, kOk, "second");
    }
  };
  const Backend first(serve);
  const Backend second(serve);
  route::Service service;
  service.traffic.hedge = {.after_ms = 1, .percent = 100};
  const auto gateway = start_for({first.port(), second.port()}, service);
  EXPECT_TRUE(has(ask(*gateway, kGet), "second"));
  EXPECT_TRUE(counts(*gateway, "hedges_won_total", 1));
}

TEST(UpstreamHttp2, SaysThatNoReplicaIsThereWhenAllAreEjected) {
  const auto gateway = start_for({closed_port(), closed_port()});
  for (int round = 0; round < 8; ++round) {
    SCOPED_TRACE(round);
    EXPECT_TRUE(has(ask(*gateway, kGet), "HTTP/1.1 502 "));
  }
}

TEST(UpstreamHttp2, AReplicaMayChangeWhatItSpeaks) {
  const Backend old(echoes());
  const Backend fresh(shows());
  const auto gateway = start_for({fresh.port()});
  Peer client = Peer::connect(gateway->port());
  client.send(kGet);
  EXPECT_TRUE(has(client.read_message(), ":method=GET"));
  route::Service service{.name = "s"};
  service.endpoints.push_back({.replica = "s-old", .address = "127.0.0.1", .port = old.port()});
  ASSERT_TRUE(gateway->update({.version = 2, .services = {service}}));
  client.send(kGet);
  EXPECT_TRUE(has(client.read_message(), "GET /a?b=c HTTP/1.1\r\n"));
}

}  // namespace
}  // namespace busbar::gateway
