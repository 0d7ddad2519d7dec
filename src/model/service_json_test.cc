#include "model/service_json.h"

#include <gtest/gtest.h>

#include "model/job_json.h"
#include "model/spec_text.h"

namespace busbar::model {
namespace {

ServiceSpec full_service() {
  return {.port = 8080,
          .protocol = ReplicaProtocol::kHttp2,
          .min_replicas = 0,
          .max_replicas = 8,
          .warm = 2,
          .target = 3,
          .health =
              {.path = "/healthz", .grpc = "", .every_ms = 2'500, .timeout_ms = 300, .failures = 5, .start_ms = 60'000},
          .drain_ms = 5'000,
          .hosts = {"chat.example"},
          .models = {"tiny", "tiny:fr"},
          .adapters = {"fr"},
          .limits = {.concurrency = 1,
                     .waiting = 2,
                     .waiting_each = 1,
                     .wait_ms = 3'000,
                     .response_ms = 4'500,
                     .max_body_bytes = 5},
          .access = {.auth = ServiceAuth::kKey,
                     .allow = {"research", "ada"},
                     .rates = {.requests = {.count = 10}, .tokens = {.count = 50'000, .period_ms = 60'000}}},
          .traffic = {.affinity = {.kind = AffinityKind::kCookie, .name = "sid", .bound_permille = 1'500},
                      .mirror = {.to = "shadow", .percent = 10},
                      .hedge = {.after_ms = 300, .percent = 2}},
          .canary = CanaryPolicy{.weight = 5,
                                 .abort_above_permille = 12,
                                 .abort_above_latency_permille = 1'500,
                                 .hold_ms = 30'000,
                                 .header = "x-canary",
                                 .header_value = "yes"}};
}

TEST(ServiceJson, ComesBackFromItsJson) {
  for (const ServiceSpec& service : {ServiceSpec{}, full_service()}) {
    const auto read = service_from_json(to_json(service));
    ASSERT_TRUE(read) << read.error().to_string();
    EXPECT_EQ(*read, service);
  }
}

TEST(ServiceJson, TravelsInsideTheJob) {
  const JobSpec spec{.name = "chat", .type = JobType::kService, .run = "serve", .service = full_service()};
  const auto read = job_spec_from_json(to_json(spec));
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(*read, spec);
}

TEST(ServiceJson, NamesWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {{R"({"replicas":"3..1"})", "runs backwards"},
                                                       {R"({"health":{"every":"soon"}})", "soon"},
                                                       {R"({"colour":"red"})", "colour"},
                                                       {R"({"affinity":{"by":"moon"}})", "moon"},
                                                       {R"({"mirror":{"percent":101}})", "percent"},
                                                       {R"({"protocol":"http3"})", "http3"},
                                                       {R"({"port":70000})", "port"}};
  for (const auto& [text, message] : cases) {
    SCOPED_TRACE(text);
    const auto read = service_from_json(*parse_json(text));
    ASSERT_FALSE(read);
    EXPECT_NE(read.error().to_string().find(message), std::string::npos) << read.error().to_string();
  }
}

TEST(ServiceJson, ReplicasMayBeNone) {
  EXPECT_EQ(parse_replicas("0..8").value(), (std::pair<std::uint32_t, std::uint32_t>{0, 8}));
  EXPECT_EQ(parse_replicas("0").value(), (std::pair<std::uint32_t, std::uint32_t>{0, 0}));
  EXPECT_FALSE(parse_replicas("0..1001"));
}

}  // namespace
}  // namespace busbar::model
