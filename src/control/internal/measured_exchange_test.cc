#include "control/internal/measured_exchange.h"

#include <gtest/gtest.h>

namespace busbar::control {
namespace {

class NoExchange final : public net::HttpExchange {
 public:
  void respond(net::HttpResponse) override {}
  std::shared_ptr<net::StreamWriter> start_stream(int, net::HttpHeaders, net::StreamOptions) override { return {}; }
  void accept_websocket(std::unique_ptr<net::WebSocketHandler>, net::WebSocketOptions) override {}
};

class MeasuredExchangeTest : public testing::Test {
 protected:
  std::shared_ptr<net::HttpExchange> ask(std::string_view route) {
    return measured(std::make_shared<NoExchange>(), route, metrics_, clock_);
  }
  bool shows(const std::string& line) const { return metrics_.render().find(line + "\n") != std::string::npos; }

  Metrics metrics_;
  FakeClock clock_;
};

TEST_F(MeasuredExchangeTest, CountsByRouteAndStatusClassAndTimesTheAnswer) {
  ask("submit")->respond({.status = 201});
  ask("submit")->respond({.status = 404});
  const auto slow = ask("submit");
  clock_.advance_ms(300);
  slow->respond({.status = 200});
  EXPECT_TRUE(shows(R"(busbar_api_requests_total{route="submit",status="2xx"} 2)")) << metrics_.render();
  EXPECT_TRUE(shows(R"(busbar_api_requests_total{route="submit",status="4xx"} 1)"));
  EXPECT_TRUE(shows(R"(busbar_api_answer_seconds_bucket{route="submit",le="0.2"} 2)"));
  EXPECT_TRUE(shows(R"(busbar_api_answer_seconds_bucket{route="submit",le="0.5"} 3)"));
}

TEST_F(MeasuredExchangeTest, CountsEachRequestOnce) {
  const auto exchange = ask("jobs_read");
  exchange->respond({.status = 200});
  exchange->respond({.status = 500});
  EXPECT_TRUE(shows(R"(busbar_api_requests_total{route="jobs_read",status="2xx"} 1)")) << metrics_.render();
  EXPECT_EQ(metrics_.render().find("5xx"), std::string::npos);
}

TEST_F(MeasuredExchangeTest, CountsStreamsTerminalsAndWhatNobodyAnswered) {
  ask("streams")->start_stream(200, {}, {});
  ask("terminals")->accept_websocket({}, {});
  ask("nodes").reset();
  EXPECT_TRUE(shows(R"(busbar_api_requests_total{route="streams",status="2xx"} 1)")) << metrics_.render();
  EXPECT_TRUE(shows(R"(busbar_api_requests_total{route="terminals",status="1xx"} 1)"));
  EXPECT_TRUE(shows(R"(busbar_api_requests_total{route="nodes",status="5xx"} 1)"));
}

TEST(RouteClass, EveryOperationHasOne) {
  for (const api::Route& route : api::routes()) {
    EXPECT_NE(route_class(route.operation), kUnroutedClass) << route.path;
  }
}

}  // namespace
}  // namespace busbar::control
