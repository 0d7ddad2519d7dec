#include "gateway/route_feed.h"

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include "base/json.h"
#include "os/event_fd.h"
#include "os/files.h"
#include "os/gate.h"
#include "os/log.h"
#include "route/table.h"

namespace busbar::gateway {
namespace {

constexpr std::size_t kMaxTableBytes = 64 << 20;
constexpr std::int64_t kFirstPauseMs = 50;
constexpr std::int64_t kLongestPauseMs = 2'000;

Result<route::Table> parse_table(std::string_view text) {
  TRY_ASSIGN(const Json json, parse_json(text));
  return route::table_from_json(json);
}

class ServerFeed final : public RouteFeed {
 public:
  ServerFeed(Gateway& gateway, RouteFeedOptions options, os::EventFd stop)
      : gateway_(gateway), options_(std::move(options)), stop_(std::move(stop)) {}
  ~ServerFeed() override {
    is_stopping_ = true;
    stop_.set();
    {
      const std::lock_guard lock(client_mutex_);
      if (watching_ != nullptr) watching_->cancel();
      if (telling_ != nullptr) telling_->cancel();
    }
    for (std::thread* thread : {&watcher_, &teller_}) {
      if (thread->joinable()) thread->join();
    }
  }

  void begin() {
    read_cache();
    watcher_ = os::start_thread("routes", [this] { watch(); });
    teller_ = os::start_thread("demand", [this] { tell(); });
  }
  bool is_connected() const override { return is_connected_; }

 private:
  /// The client of a thread, while it has one, for cancelling.
  using Slot = net::HttpClient*;

  void read_cache() {
    if (options_.cache_file.empty() || !os::file_exists(options_.cache_file)) return;
    const auto text = os::read_file(options_.cache_file, kMaxTableBytes);
    const auto table = text ? parse_table(*text) : tl::unexpected(text.error());
    const auto done = table ? gateway_.update(*table) : tl::unexpected(table.error());
    if (!done) {
      LOG(kWarning, "route_cache_unreadable", {{"file", options_.cache_file}, {"error", done.error().to_string()}});
    }
  }

  void watch() {
    std::int64_t pause_ms = kFirstPauseMs;
    while (!is_stopping_) {
      const auto ended = watch_once(pause_ms);
      // Nobody says any more what others have: better nothing than what was long ago.
      gateway_.update_loads({});
      if (is_connected_.exchange(false)) {
        LOG(kWarning, "routes_lost", {{"error", ended ? "the server ended the stream" : ended.error().to_string()}});
      }
      pause(pause_ms);
      pause_ms = std::min(pause_ms * 2, kLongestPauseMs);
    }
  }

  Result<void> watch_once(std::int64_t& pause_ms) {
    TRY_ASSIGN(net::HttpClientOptions where, options_.locate());
    TRY_ASSIGN(const std::unique_ptr<net::HttpClient> client, net::HttpClient::create(std::move(where)));
    const InSlot in_slot(*this, watching_, client.get());
    return client->stream_events({.target = "/v1/routes/watch", .headers = {{"Accept", "text/event-stream"}}},
                                 [this, &pause_ms](const net::SseEvent& event) {
                                   pause_ms = kFirstPauseMs;
                                   if (event.event == "routes") take_table(event.data);
                                   if (event.event == "loads") take_loads(event.data);
                                   return !is_stopping_.load();
                                 });
  }

  void take_loads(const std::string& text) {
    const auto json = parse_json(text);
    const auto loads = json ? route::loads_from_json(*json) : tl::unexpected(json.error());
    if (loads) {
      gateway_.update_loads(*loads);
    } else {
      LOG(kWarning, "loads_refused", {{"error", loads.error().to_string()}});
    }
  }

  void take_table(const std::string& text) {
    const auto table = parse_table(text);
    const auto done = table ? gateway_.update(*table) : tl::unexpected(table.error());
    if (!done) {
      LOG(kError, "routes_refused", {{"error", done.error().to_string()}});
      return;
    }
    if (!is_connected_.exchange(true)) LOG(kInfo, "routes_connected", {{"version", table->version}});
    if (options_.cache_file.empty()) return;
    const auto kept = os::write_file_atomic(options_.cache_file, text, 0600, os::Durability::kCached);
    if (!kept) LOG(kWarning, "route_cache_not_written", {{"error", kept.error().to_string()}});
  }

  void tell() {
    std::unique_ptr<net::HttpClient> client;
    std::uint64_t told_version = 0;
    while (!is_stopping_) {
      wait_for_demand();
      if (is_stopping_) return;
      const route::Demand demand = gateway_.take_demand();
      if (demand.services.empty() && demand.table_version == told_version) continue;
      if (client == nullptr) client = connect();
      if (client == nullptr) {
        pause(options_.demand_every_ms);
        continue;
      }
      const InSlot in_slot(*this, telling_, client.get());
      const auto answer = client->request({.method = "POST",
                                           .target = "/v1/demand",
                                           .headers = {{"Content-Type", "application/json"}},
                                           .body = route::to_json(demand).dump(),
                                           .timeout_ms = 5'000});
      // What was counted is lost with the message; who waits is counted again the next time.
      if (!answer || !answer->is_success()) {
        client.reset();
      } else {
        told_version = demand.table_version;
      }
    }
  }

  std::unique_ptr<net::HttpClient> connect() {
    auto where = options_.locate();
    if (!where) return nullptr;
    auto client = net::HttpClient::create(*std::move(where));
    return client ? *std::move(client) : nullptr;
  }

  /// Until a request begins to wait, the period is over, or the end.
  void wait_for_demand() {
    pollfd entries[2] = {{.fd = gateway_.demand_event().fd(), .events = POLLIN, .revents = 0},
                         {.fd = stop_.fd(), .events = POLLIN, .revents = 0}};
    poll(entries, 2, static_cast<int>(options_.demand_every_ms));
    gateway_.demand_event().take();
  }
  void pause(std::int64_t ms) const { stop_.wait(std::chrono::milliseconds(ms)); }

  class InSlot {
   public:
    InSlot(ServerFeed& feed, Slot& slot, net::HttpClient* client) : feed_(feed), slot_(slot) {
      const std::lock_guard lock(feed_.client_mutex_);
      slot_ = client;
      if (feed_.is_stopping_) client->cancel();
    }
    ~InSlot() {
      const std::lock_guard lock(feed_.client_mutex_);
      slot_ = nullptr;
    }
    InSlot(const InSlot&) = delete;
    InSlot& operator=(const InSlot&) = delete;

   private:
    ServerFeed& feed_;
    Slot& slot_;
  };

  Gateway& gateway_;
  const RouteFeedOptions options_;
  os::EventFd stop_;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<bool> is_connected_ = false;
  std::mutex client_mutex_ = {};
  Slot watching_ = nullptr;
  Slot telling_ = nullptr;
  std::thread watcher_ = {};
  std::thread teller_ = {};
};

}  // namespace

Result<std::unique_ptr<RouteFeed>> RouteFeed::start(Gateway& gateway, RouteFeedOptions options) {
  TRY_ASSIGN(os::EventFd stop, os::EventFd::create());
  auto feed = std::make_unique<ServerFeed>(gateway, std::move(options), std::move(stop));
  feed->begin();
  return std::unique_ptr<RouteFeed>(std::move(feed));
}

}  // namespace busbar::gateway
