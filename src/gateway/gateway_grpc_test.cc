#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <string>

#include "gateway/gateway.h"
#include "gateway/internal/grpc.h"
#include "gateway/test_http2.h"
#include "gateway/test_http2_replica.h"
#include "gateway/test_metrics.h"
#include "gateway/test_peers.h"

namespace busbar::gateway {
namespace {

using testing::Backend;
using testing::closed_port;
using testing::comes_to_show;
using testing::has;
using testing::Http2Peer;
using testing::Http2Replica;
using testing::Peer;

std::unique_ptr<Gateway> start_for(std::uint16_t port) {
  auto gateway = Gateway::start({.threads = 1});
  EXPECT_TRUE(gateway) << gateway.error().to_string();
  route::Service service{.name = "s"};
  service.endpoints.push_back(
      {.replica = "s-1", .address = "127.0.0.1", .port = port, .protocol = model::ReplicaProtocol::kHttp2});
  EXPECT_TRUE((*gateway)->update({.version = 1, .services = {service}}));
  return *std::move(gateway);
}

Http2Peer::Fields call(const std::string& path) {
  Http2Peer::Fields fields = Http2Peer::post(path);
  fields.insert(fields.end(), {{"content-type", "application/grpc+proto"}, {"te", "trailers"}});
  return fields;
}

TEST(Grpc, ReadsTimeouts) {
  using internal::grpc_timeout_us;
  EXPECT_EQ(grpc_timeout_us("2H"), 7'200'000'000);
  EXPECT_EQ(grpc_timeout_us("3M"), 180'000'000);
  EXPECT_EQ(grpc_timeout_us("1S"), 1'000'000);
  EXPECT_EQ(grpc_timeout_us("100m"), 100'000);
  EXPECT_EQ(grpc_timeout_us("7u"), 7);
  EXPECT_EQ(grpc_timeout_us("1n"), 1);
  EXPECT_EQ(grpc_timeout_us("99999999n"), 99'999);
  for (const char* wrong : {"", "S", "1", "1s", "-1S", "1.5S", "999999999S", "99999999H", "1 S", "0x1S"}) {
    EXPECT_EQ(grpc_timeout_us(wrong), 0) << wrong;
  }
}

TEST(Grpc, WritesAndFindsStatuses) {
  std::string lines = "x-grpc-status: 3\r\n";
  internal::append_grpc_status(lines, 14, "100 % \"gone\"\n");
  EXPECT_EQ(lines, "x-grpc-status: 3\r\ngrpc-status: 14\r\ngrpc-message: 100 %25 \"gone\"%0A\r\n");
  EXPECT_EQ(internal::find_grpc_status(lines), 14);
  EXPECT_EQ(internal::find_grpc_status("grpc-status: 0\r\n"), 0);
  EXPECT_EQ(internal::find_grpc_status("grpc-status: x\r\n"), -1);
  EXPECT_EQ(internal::find_grpc_status(""), -1);
}

TEST(Grpc, ErrorsOfTheGatewayAreStatuses) {
  const auto gateway = start_for(closed_port());
  const auto client = Http2Peer::connect(gateway->port());
  const Http2Peer::Answer& nowhere = client->wait(client->ask(call("/pkg.Service/Method"), "x"));
  EXPECT_EQ(nowhere.status, 200);
  EXPECT_EQ(nowhere.fields.at("grpc-status"), "12");
  EXPECT_EQ(nowhere.fields.at("content-type"), "application/grpc");
  EXPECT_EQ(nowhere.fields.count("content-length"), 0U);
  EXPECT_EQ(nowhere.body, "");
  const Http2Peer::Answer& down = client->wait(client->ask(call("/services/s/pkg.Service/Method"), "x"));
  EXPECT_EQ(down.fields.at("grpc-status"), "14");
  EXPECT_EQ(down.fields.at("grpc-message"), "the replica refused the connection");
  // Others are told as ever.
  EXPECT_EQ(client->wait(client->ask(Http2Peer::post("/pkg.Service/Method"), "x")).status, 404);
}

TEST(Grpc, ADeadlineIsKept) {
  std::latch is_reset(1);
  const Backend backend([&is_reset](Peer& peer) {
    Http2Replica replica(peer);
    const std::int32_t id = replica.next();
    EXPECT_EQ(replica.request(id).fields["grpc-timeout"], "100m");
    EXPECT_EQ(replica.request(id).fields["te"], "trailers");
    replica.wait_until([&] { return replica.request(id).was_reset; });
    is_reset.count_down();
  });
  const auto gateway = start_for(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  Http2Peer::Fields fields = call("/services/s/pkg.Service/Method");
  fields.emplace_back("grpc-timeout", "100m");
  const Http2Peer::Answer& late = client->wait(client->ask(fields, "x"));
  EXPECT_EQ(late.fields.at("grpc-status"), "4");
  is_reset.wait();
}

TEST(Grpc, AnAnswerThatBreaksOffEndsWithAStatus) {
  const Backend backend([](Peer& peer) {
    Http2Replica replica(peer);
    const std::int32_t id = replica.next();
    replica.begin_answer(id, {{":status", "200"}, {"content-type", "application/grpc"}});
    replica.send_body(id, "half");
    peer.finish_sending();
    replica.next();
  });
  const auto gateway = start_for(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  const Http2Peer::Answer& answer = client->wait(client->ask(call("/services/s/pkg.Service/Method"), "x"));
  EXPECT_EQ(answer.body, "half");
  EXPECT_FALSE(answer.was_reset);
  EXPECT_EQ(answer.fields.at("grpc-status"), "14");
}

TEST(Grpc, CallsAreMirroredAndReplicasAskedForTheirHealth) {
  std::latch is_mirrored(1);
  std::latch is_asked(1);
  const Backend first([&is_asked](Peer& peer) {
    Http2Replica replica(peer);
    while (const std::int32_t id = replica.next()) {
      if (replica.wait(id).fields[":path"] != "/healthz") {
        replica.answer(id, {{":status", "200"}, {"grpc-status", "0"}});
        continue;
      }
      replica.answer(id, {{":status", "204"}});
      // Whoever asks goes as soon as it has been told.
      EXPECT_EQ(replica.next(), 0);
      if (!is_asked.try_wait()) is_asked.count_down();
      return;
    }
  });
  const std::string message(1'000, 'x');
  const Backend second([&is_mirrored, &message](Peer& peer) {
    Http2Replica replica(peer);
    const std::int32_t id = replica.next();
    EXPECT_EQ(replica.wait(id).body, message);
    EXPECT_EQ(replica.request(id).fields["x-busbar-mirror"], "s");
    EXPECT_EQ(replica.request(id).fields["te"], "trailers");
    EXPECT_EQ(replica.request(id).fields.count("connection"), 0U);
    replica.answer(id, {{":status", "200"}}, message, {{"grpc-status", "0"}});
    EXPECT_EQ(replica.next(), 0);
    is_mirrored.count_down();
  });
  auto gateway = Gateway::start({.threads = 1});
  ASSERT_TRUE(gateway) << gateway.error().to_string();
  const auto endpoint = [](const char* name, std::uint16_t port) {
    return route::Endpoint{
        .replica = name, .address = "127.0.0.1", .port = port, .protocol = model::ReplicaProtocol::kHttp2};
  };
  const route::Service service{.name = "s",
                               .traffic = {.mirror = {.to = "shadow", .percent = 100}},
                               .health = {.path = "/healthz", .every_ms = 60'000},
                               .endpoints = {endpoint("s-1", first.port())}};
  const route::Service shadow{.name = "shadow", .endpoints = {endpoint("t-1", second.port())}};
  ASSERT_TRUE((*gateway)->update({.version = 1, .services = {service, shadow}}));
  is_asked.wait();
  const auto client = Http2Peer::connect((*gateway)->port());
  Http2Peer::Fields fields = call("/services/s/pkg.Service/Method");
  fields.emplace_back("content-length", std::to_string(message.size()));
  EXPECT_EQ(client->wait(client->ask(fields, message)).fields.at("grpc-status"), "0");
  is_mirrored.wait();
}

TEST(Grpc, StatusesCountAsFailuresWhereTheReplicaIsToBlame) {
  const Backend backend([](Peer& peer) {
    Http2Replica replica(peer);
    while (const std::int32_t id = replica.next()) {
      const std::string status = replica.wait(id).fields[":path"].substr(1);
      if (status.ends_with("t")) {
        replica.answer(id, {{":status", "200"}}, "body", {{"grpc-status", status.substr(0, status.size() - 1)}});
      } else {
        replica.answer(id, {{":status", "200"}, {"grpc-status", status}});
      }
    }
  });
  const auto gateway = start_for(backend.port());
  const auto client = Http2Peer::connect(gateway->port());
  for (const char* fine : {"0", "0t", "3t", "5", "4t", "16"}) {
    EXPECT_EQ(client->wait(client->ask(call(std::string("/services/s/") + fine), "x")).fields.count("grpc-status"), 1U);
  }
  EXPECT_TRUE(comes_to_show(*gateway, "busbar_gateway_failures_total{service=\"s\"} 0\n"));
  for (const char* bad : {"2", "13t", "14", "14t", "15"}) {
    client->wait(client->ask(call(std::string("/services/s/") + bad), "x"));
  }
  EXPECT_TRUE(comes_to_show(*gateway, "busbar_gateway_failures_total{service=\"s\"} 5\n"));
}

}  // namespace
}  // namespace busbar::gateway
