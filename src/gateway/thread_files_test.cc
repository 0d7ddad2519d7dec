#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include "gateway/gateway.h"
#include "gateway/test_peers.h"

namespace busbar::gateway {
namespace {

using testing::Backend;
using testing::Peer;

std::ptrdiff_t files_of_this_thread() {
  const std::filesystem::directory_iterator all("/proc/thread-self/fd");
  return std::distance(begin(all), end(all));
}

TEST(GatewayThreadFiles, ServesFromTablesOfItsThreadsAndLeavesNothingBehind) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer takes a number in two tables of files for the same file";
#endif
  const std::ptrdiff_t before = files_of_this_thread();
  {
    const Backend backend(testing::answers("hello"));
    auto gateway = Gateway::start({.threads = 3, .has_thread_files = true});
    ASSERT_TRUE(gateway) << gateway.error().to_string();
    ASSERT_TRUE((*gateway)->update(
        {.version = 1,
         .services = {{.name = "s",
                       .hosts = {"a"},
                       .endpoints = {{.replica = "s-1", .address = "127.0.0.1", .port = backend.port()}}}}}));
    // The first connection to the replica, which the test's own process ends too, is made here.
    const std::ptrdiff_t idle = files_of_this_thread();
    std::vector<Peer> clients;
    for (int number = 0; number < 12; ++number) {
      clients.push_back(Peer::connect((*gateway)->port()));
      clients.back().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      EXPECT_TRUE(clients.back().read_message().ends_with("hello"));
    }
    // Ours are twelve and the replica's one or more; the gateway's ends are in none of our numbers.
    const auto replica = static_cast<std::ptrdiff_t>(backend.connections());
    EXPECT_EQ(files_of_this_thread(), idle + 12 + replica);
    // A listener whose copy stayed open somewhere would still take connections.
    const std::uint16_t port = (*gateway)->port();
    (*gateway)->stop(0);
    auto again = Gateway::start({.port = port, .threads = 1});
    EXPECT_TRUE(again) << again.error().to_string();
    for (Peer& client : clients) EXPECT_TRUE(client.is_closed());
  }
  EXPECT_EQ(files_of_this_thread(), before);
}

}  // namespace
}  // namespace busbar::gateway
