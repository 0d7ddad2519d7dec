#include <gtest/gtest.h>

#include "route/table.h"

namespace busbar::route {
namespace {

Table sample() {
  return {.version = 7,
          .services = {{.name = "chat",
                        .hosts = {"chat.example"},
                        .models = {"tiny"},
                        .can_start = true,
                        .start_ms = 230,
                        .target = 4,
                        .limits = {.concurrency = 4,
                                   .waiting = 10,
                                   .waiting_each = 3,
                                   .wait_ms = 5,
                                   .response_ms = 6,
                                   .max_body_bytes = 7},
                        .access = {.auth = model::ServiceAuth::kKey,
                                   .allow = {"research"},
                                   .rates = {.requests = {.count = 5}, .tokens = {.count = 9, .period_ms = 60'000}}},
                        .traffic = {.affinity = {.kind = model::AffinityKind::kPrefix},
                                    .mirror = {.to = "vad", .percent = 3},
                                    .hedge = {.after_ms = 40, .percent = 1}},
                        .rules = {{.header = "x-canary", .value = "yes", .revision = 2}},
                        .health = {.path = "/healthz", .every_ms = 5, .timeout_ms = 6},
                        .endpoints = {{.replica = "chat-1",
                                       .address = "127.0.0.1",
                                       .port = 8000,
                                       .weight = 5,
                                       .revision = 2,
                                       .role = Role::kDecode,
                                       .protocol = model::ReplicaProtocol::kHttp2,
                                       .adapters = {"fr"},
                                       .is_draining = true}}},
                       {.name = "vad"}},
          .keys = {{.id = "k1",
                    .sha256 = std::string(64, 'a'),
                    .user = "ada",
                    .tenant = "research",
                    .services = {"chat"},
                    .rates = {.requests = {.count = 2}}}},
          .tenants = {{.name = "research", .weight = 3, .rates = {.tokens = {.count = 7, .period_ms = 3'600'000}}}},
          .gateways = 2};
}

TEST(RouteTable, ComesBackFromItsJson) {
  const Result<Table> read = table_from_json(to_json(sample()));
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(*read, sample());
}

TEST(RouteTable, SortsServicesAndTakesDefaultsAndSkipsUnknownKeys) {
  const Result<Json> json =
      parse_json(R"({"version":1,"new":{},"services":[{"name":"b"},{"name":"a","colour":"red"}]})");
  ASSERT_TRUE(json);
  const Result<Table> table = table_from_json(*json);
  ASSERT_TRUE(table) << table.error().to_string();
  EXPECT_EQ(table->services.at(0).name, "a");
  EXPECT_EQ(table->services.at(1), Service{.name = "b"});
}

TEST(RouteTable, NamesWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "route table: is not an object"},
      {R"({"services":{}})", "services is not a list"},
      {R"({"services":[{}]})", "needs a name"},
      {R"({"services":[{"name":"a"},{"name":"a"}]})", "service \"a\" stands there twice"},
      {R"({"services":[{"name":"a","limits":3}]})", "limits of service \"a\": is not an object"},
      {R"({"services":[{"name":"a","limits":{"waiting":-1}}]})", "waiting -1 is not a whole number"},
      {R"({"services":[{"name":"a","endpoints":[{"replica":"a-1","port":80}]}]})",
       "endpoint \"a-1\" of service \"a\": needs address and port"},
      {R"({"services":[{"name":"a","endpoints":[{"address":"::1","port":65536}]}]})", "port 65536"},
      {R"({"services":[{"name":"a","endpoints":[{"address":"::1","port":1,"role":"both"}]}]})", "role \"both\""},
      {R"({"services":[{"name":"a","auth":"all"}]})", "auth \"all\" is none of none, key"},
      {R"({"services":[{"name":"a","rules":[{}]}]})", "needs a header"},
      {R"({"services":[{"name":"a","traffic":{"affinity":{"by":"moon"}}}]})", "moon"},
      {R"({"services":[{"name":"a","requests":"5/w"}]})", "\"5/w\" is no rate"},
      {R"({"keys":[{"id":"k","tenant":"t","sha256":"abc"}]})", "key \"k\": sha256 is not 64"},
      {R"({"keys":[{"id":"k"}]})", "needs id and tenant"},
      {R"({"tenants":[{"name":"t","weight":0}]})", "weight is 0"}};
  for (const auto& [text, message] : cases) {
    SCOPED_TRACE(text);
    const Result<Json> json = parse_json(text);
    ASSERT_TRUE(json);
    const Result<Table> table = table_from_json(*json);
    ASSERT_FALSE(table);
    EXPECT_EQ(table.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(table.error().message.find(message), std::string::npos) << table.error().message;
  }
}

TEST(Demand, ComesBackFromItsJson) {
  const Demand demand{.gateway = "g1",
                      .table_version = 7,
                      .interval_ms = 250,
                      .services = {{.name = "vad",
                                    .waiting = 3,
                                    .running = 2,
                                    .arrivals = 10,
                                    .finished = 5,
                                    .failed = 1,
                                    .busy_us = 12'345,
                                    .revisions = {{.revision = 2, .finished = 5, .failed = 1, .busy_us = 12'345}},
                                    .replicas = {{.replica = "vad-3", .running = 2}}}}};
  const Result<Demand> read = demand_from_json(to_json(demand));
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(*read, demand);
  EXPECT_FALSE(demand_from_json(Json::object({{"services", Json::array()}})));
}

}  // namespace
}  // namespace busbar::route
