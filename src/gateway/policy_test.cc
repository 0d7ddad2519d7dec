#include "gateway/policy_testing.h"

// Who may call, and how much: through real sockets.
namespace busbar::gateway {
namespace {

using namespace testing;

TEST_F(GatewayPolicy, LetsInOnlyThoseWithAKeyAndKeepsItFromTheReplica) {
  const Backend backend(echoes());
  start({.services = {guarded(backend.port())}, .keys = {key("one", "research")}});
  for (const char* field : {"Authorization: Bearer one", "authorization: bearer one", "x-api-key: one",
                            "X-Api-Key: one\r\nX-Busbar-Tenant: liar\r\nX-Busbar-Key: liar"}) {
    SCOPED_TRACE(field);
    // Twice: the second time it is known without its hash.
    for (int round = 0; round < 2; ++round) {
      const std::string answer = get(field);
      EXPECT_EQ(status_in(answer), 200) << answer;
      EXPECT_TRUE(holds(answer, "X-Busbar-Tenant: research\r\nX-Busbar-Key: id-one\r\n")) << answer;
      EXPECT_FALSE(holds(answer, "liar")) << answer;
      const std::string seen = answer.substr(answer.find("\r\n\r\n"));
      EXPECT_FALSE(holds(seen, "earer")) << seen;
      EXPECT_FALSE(holds(seen, "pi-")) << seen;
    }
  }
  // A field that is not the key is the replica's.
  EXPECT_TRUE(holds(get("Authorization: Basic eDp5\r\nx-api-key: one"), "Authorization: Basic eDp5"));
  for (const char* field : {"", "Authorization: Bearer two", "Authorization: Basic one", "Authorization: Bearer ",
                            "x-api-key: ", "x-api-key: one\r\nx-api-key2: one "}) {
    SCOPED_TRACE(field);
    if (std::string_view(field).starts_with("x-api-key: one")) continue;
    const std::string answer = get(field);
    EXPECT_EQ(status_in(answer), 401) << answer;
    EXPECT_TRUE(holds(answer, "WWW-Authenticate: Bearer\r\n")) << answer;
  }
  until("busbar_gateway_denied_total{service=\"s\"} 5\n");
  until("busbar_gateway_requests_total{service=\"s\"} 9\n");
}

TEST_F(GatewayPolicy, AnswersCallsOfModelsInOpenAIsForm) {
  const Backend backend(echoes());
  start({.services = {guarded(backend.port())}, .keys = {key("one", "research")}});
  const std::string body = R"({"model":"m","messages":[]})";
  EXPECT_EQ(status_in(chat("Authorization: Bearer one", body)), 200);
  const std::string refused = chat("Authorization: Bearer no", body);
  EXPECT_EQ(status_in(refused), 401);
  EXPECT_TRUE(holds(refused, R"("type":"invalid_request_error","param":null,"code":"invalid_api_key")")) << refused;
}

TEST_F(GatewayPolicy, WhereAllServicesWantKeysNobodyElsesBodyIsTaken) {
  const Backend backend(echoes());
  start({.services = {guarded(backend.port())}, .keys = {key("one", "research")}});
  Peer client = Peer::connect(gateway_->port());
  client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_EQ(status_in(client.read_message()), 401);
  route::Service open{.name = "open"};
  update({.services = {open, guarded(backend.port())}, .keys = {key("one", "research")}});
  // Whose body it is decides which service it is for.
  EXPECT_EQ(status_in(chat("", R"({"model":"m"})")), 401);
  EXPECT_EQ(status_in(chat("x-api-key: one", R"({"model":"m"})")), 200);
}

TEST_F(GatewayPolicy, AKeyOpensWhatItAndTheServiceSay) {
  const Backend backend(echoes());
  route::Service picky = guarded(backend.port());
  picky.access.allow = {"research", "user-three"};
  route::Key narrow = key("two", "research");
  narrow.services = {"other"};
  start({.services = {picky}, .keys = {key("one", "research"), narrow, key("three", "sales"), key("four", "sales")}});
  EXPECT_EQ(status_in(get("x-api-key: one")), 200);
  EXPECT_EQ(status_in(get("x-api-key: two")), 403);
  EXPECT_EQ(status_in(get("x-api-key: three")), 200);
  EXPECT_EQ(status_in(get("x-api-key: four")), 403);
}

TEST_F(GatewayPolicy, ARevokedKeyIsRefusedFromTheNextTableOn) {
  const Backend backend(echoes());
  start({.services = {guarded(backend.port())}, .keys = {key("one", "a"), key("two", "a")}});
  Peer client = Peer::connect(gateway_->port());
  const std::string request = "GET /services/s/ HTTP/1.1\r\nHost: a\r\nx-api-key: one\r\n\r\n";
  client.send(request);
  EXPECT_EQ(status_in(client.read_message()), 200);
  update({.services = {guarded(backend.port())}, .keys = {key("two", "a")}});
  // On the same connection, and without waiting: the worker takes the table up before the next request.
  client.send(request);
  EXPECT_EQ(status_in(client.read_message()), 401);
  EXPECT_EQ(status_in(get("x-api-key: two")), 200);
}

TEST_F(GatewayPolicy, RatesOfKeyTenantAndServiceAllHold) {
  const Backend backend(echoes());
  const model::Rate two{.count = 2, .period_ms = 86'400'000};
  const model::Rate three{.count = 3, .period_ms = 86'400'000};
  const model::Rate five{.count = 5, .period_ms = 86'400'000};
  route::Service service = guarded(backend.port());
  service.access.rates.requests = five;
  start({.services = {service},
         .keys = {key("one", "a", {.requests = two}), key("two", "a"), key("three", "b")},
         .tenants = {{.name = "a", .rates = {.requests = three}}}});
  const std::string first = get("x-api-key: one");
  EXPECT_EQ(status_in(first), 200);
  EXPECT_TRUE(holds(first, "x-ratelimit-limit-requests: 2\r\nx-ratelimit-remaining-requests: 1\r\n")) << first;
  EXPECT_EQ(status_in(get("x-api-key: one")), 200);
  const std::string refused = get("x-api-key: one");
  EXPECT_EQ(status_in(refused), 429);
  EXPECT_TRUE(holds(refused, "x-ratelimit-remaining-requests: 0\r\n")) << refused;
  EXPECT_TRUE(holds(refused, "Retry-After: 43")) << refused;  // half a day
  EXPECT_TRUE(holds(refused, "this key's rate of requests is used up")) << refused;
  // What its key was refused is not taken of the tenant: one is left of three.
  EXPECT_EQ(status_in(get("x-api-key: two")), 200);
  EXPECT_TRUE(holds(get("x-api-key: two"), "this tenant's rate"));
  EXPECT_EQ(status_in(get("x-api-key: three")), 200);
  EXPECT_EQ(status_in(get("x-api-key: three")), 200);
  EXPECT_TRUE(holds(get("x-api-key: three"), "this service's rate"));
  until("busbar_gateway_limited_total{service=\"s\"} 3\n");
  until("busbar_gateway_tenant_limited_total{tenant=\"a\"} 2\n");
  // A new table does not give anything back.
  update({.services = {service}, .keys = {key("one", "a", {.requests = two})}});
  EXPECT_EQ(status_in(get("x-api-key: one")), 429);
}

TEST_F(GatewayPolicy, GrantsItsPartOfARateWhereThereAreOtherGateways) {
  const Backend backend(echoes());
  start({.services = {guarded(backend.port())},
         .keys = {key("one", "a", {.requests = {.count = 4, .period_ms = 86'400'000}})},
         .gateways = 2});
  EXPECT_TRUE(holds(get("x-api-key: one"), "x-ratelimit-limit-requests: 2\r\n"));
  EXPECT_EQ(status_in(get("x-api-key: one")), 200);
  EXPECT_EQ(status_in(get("x-api-key: one")), 429);
}

TEST_F(GatewayPolicy, EstimatesTokensAndSettlesThemByTheAnswer) {
  const std::string stream =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
      chunk("data: {\"usage\":{\"total_tok") + chunk("ens\":40}}\n\ndata: [DONE]\n\n") + "0\r\n\r\n";
  for (const std::string& answer : {with_length(R"({"usage":{"total_tokens":40}})"), stream}) {
    SCOPED_TRACE(answer);
    const Backend backend(says(answer));
    start({.services = {guarded(backend.port())},
           .keys = {key("one", "a", {.tokens = {.count = 1'000, .period_ms = 86'400'000}})}});
    const std::string body = R"({"model":"m","messages":["0123456789ab"],"max_tokens":600})";
    const std::string first = chat("x-api-key: one", body);
    EXPECT_EQ(status_in(first), 200) << first;
    // Four of the prompt and 600 that it may answer with; of those 40 were used in the end.
    EXPECT_TRUE(holds(first, "x-ratelimit-limit-tokens: 1000\r\nx-ratelimit-remaining-tokens: 396\r\n")) << first;
    const std::string second = chat("x-api-key: one", body);
    EXPECT_TRUE(holds(second, "x-ratelimit-remaining-tokens: 356\r\n")) << second;
    until("busbar_gateway_tenant_settled_tokens_total{tenant=\"a\"} 80\n");
    until("busbar_gateway_tenant_estimated_tokens_total{tenant=\"a\"} 1208\n");
  }
}

TEST_F(GatewayPolicy, RefusesTokensThatAreNotThereAndChargesNothingForFailures) {
  const Backend backend(says("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"));
  start({.services = {guarded(backend.port())},
         .keys = {key("one", "a", {.tokens = {.count = 1'000, .period_ms = 86'400'000}})}});
  const std::string body = R"({"model":"m","messages":[],"max_tokens":900})";
  for (int round = 0; round < 3; ++round) EXPECT_EQ(status_in(chat("x-api-key: one", body)), 500);
  const Backend silent(says(with_length("{}")));
  route::Service next = guarded(silent.port());
  next.endpoints[0].replica = "s-2";
  update({.services = {next}, .keys = {key("one", "a", {.tokens = {.count = 1'000, .period_ms = 86'400'000}})}});
  EXPECT_EQ(status_in(chat("x-api-key: one", body)), 200);
  const std::string refused = chat("x-api-key: one", body);
  EXPECT_EQ(status_in(refused), 429) << refused;
  EXPECT_TRUE(holds(refused, "rate of tokens is used up")) << refused;
  EXPECT_TRUE(holds(refused, R"("code":"rate_limit_exceeded")")) << refused;
  // The answer said nothing of what it used, so the estimate stands.
  until("busbar_gateway_tenant_unsettled_total{tenant=\"a\"} 1\n");
}

}  // namespace
}  // namespace busbar::gateway
