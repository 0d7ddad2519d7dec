#include "route/demand_book.h"

#include <gtest/gtest.h>

namespace busbar::route {
namespace {

Demand demand(const std::string& gateway, std::uint64_t version, std::vector<ServiceDemand> services) {
  return {.gateway = gateway, .table_version = version, .interval_ms = 250, .services = std::move(services)};
}

TEST(DemandBook, AddsUpWhatGatewaysSaidLast) {
  DemandBook book;
  book.take(demand("g1", 1, {{.name = "vad", .waiting = 2, .running = 3}}), 0);
  book.take(demand("g2", 1, {{.name = "vad", .waiting = 1, .running = 4}}), 0);
  book.take(demand("g1", 1, {{.name = "vad", .waiting = 0, .running = 1}}), 10);
  EXPECT_EQ(book.total("vad").waiting, 1u);
  EXPECT_EQ(book.total("vad").running, 5u);
  EXPECT_EQ(book.total("chat").running, 0u);
  book.take(demand("g1", 1, {}), 20);  // not named: as it was
  EXPECT_EQ(book.total("vad").running, 5u);
}

TEST(DemandBook, ForgetsGatewaysThatAreSilent) {
  DemandBook book;
  EXPECT_FALSE(book.next_expiry_ms());
  book.take(demand("g1", 1, {{.name = "vad", .running = 3}}), 1'000);
  book.take(demand("g2", 1, {{.name = "chat", .running = 3}}), 5'000);
  EXPECT_EQ(book.next_expiry_ms(), 11'000);
  EXPECT_TRUE(book.expire(10'999).empty());
  EXPECT_EQ(book.expire(11'000), std::vector<std::string>{"vad"});
  EXPECT_EQ(book.total("vad").running, 0u);
  EXPECT_EQ(book.next_expiry_ms(), 15'000);
}

TEST(DemandBook, KeepsSlowGatewaysForThreeIntervals) {
  DemandBook book;
  book.take({.gateway = "g", .interval_ms = 20'000}, 0);
  EXPECT_EQ(book.next_expiry_ms(), 60'000);
}

TEST(DemandBook, AReplicaIsIdleWhenEveryGatewayHasTheTableAndNothingOnIt) {
  DemandBook book;
  book.take(demand("g1", 7, {{.name = "vad", .running = 1, .replicas = {{"vad-1", 1}}}}), 0);
  book.take(demand("g2", 6, {{.name = "vad"}}), 0);
  EXPECT_FALSE(book.is_idle("vad", "vad-1", 7));  // g1 has a request there
  EXPECT_FALSE(book.is_idle("vad", "vad-2", 7));  // g2 may still send one
  EXPECT_TRUE(book.is_idle("vad", "vad-2", 6));
  EXPECT_EQ(book.running_on("vad", "vad-1"), 1u);
  book.take(demand("g1", 7, {{.name = "vad"}}), 5);
  book.take(demand("g2", 7, {}), 5);
  EXPECT_TRUE(book.is_idle("vad", "vad-1", 7));
}

}  // namespace
}  // namespace busbar::route
