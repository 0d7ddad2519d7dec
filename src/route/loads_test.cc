#include "route/loads.h"

#include <gtest/gtest.h>

#include "route/demand_book.h"

namespace busbar::route {
namespace {

TEST(Loads, ComeBackFromTheirJson) {
  const Loads loads{.running = {{"s-1", {{"a", 3}, {"b", 2}}}, {"s-2", {{"b", 1}}}}};
  const auto read = loads_from_json(to_json(loads));
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(*read, loads);
  EXPECT_FALSE(loads_from_json(*parse_json(R"({"running":{"s-1":{"a":-1}}})")));
  EXPECT_TRUE(loads_from_json(*parse_json("{}"))->running.empty());
}

TEST(Loads, OthersAreAllButOneself) {
  const Loads loads{.running = {{"s-1", {{"a", 3}, {"b", 2}, {"c", 4}}}, {"s-2", {{"a", 1}}}}};
  const auto others = others_of(loads, "a");
  EXPECT_EQ(others.size(), 1U);
  EXPECT_EQ(others.at("s-1"), 6U);
}

TEST(Loads, AreWhatGatewaysSaidLast) {
  DemandBook book;
  const auto tell = [&book](const std::string& gateway, std::uint32_t running) {
    ServiceDemand demand{.name = "s", .running = running};
    if (running > 0) demand.replicas = {{.replica = "s-1", .running = running}};
    book.take({.gateway = gateway, .interval_ms = 250, .services = {demand}}, 0);
  };
  tell("a", 3);
  EXPECT_EQ(book.gateway_count(), 1U);
  tell("b", 5);
  EXPECT_EQ(book.gateway_count(), 2U);
  EXPECT_EQ(book.loads(), (Loads{.running = {{"s-1", {{"a", 3}, {"b", 5}}}}}));
  tell("a", 0);
  EXPECT_EQ(book.loads(), (Loads{.running = {{"s-1", {{"b", 5}}}}}));
  book.expire(1'000'000);
  EXPECT_EQ(book.loads(), Loads{});
  EXPECT_EQ(book.gateway_count(), 0U);
}

}  // namespace
}  // namespace busbar::route
