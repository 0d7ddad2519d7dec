#pragma once

#include <atomic>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "net/internal/host_policy.h"
#include "net/server.h"

namespace busbar::net {

/// TCP or unix; on a strand, so that one connection's handlers never overlap whatever the number of threads.
using Socket = boost::asio::generic::stream_protocol::socket;

/// What lives on the server's threads and has to end when it stops: connections and WebSockets. Both are thread-safe.
class Stoppable {
 public:
  virtual ~Stoppable() = default;
  virtual void stop_gracefully() = 0;
  virtual void abort() = 0;
};

/// Everything that is open. Thread-safe.
class Registry {
 public:
  void add(const std::shared_ptr<Stoppable>& item) {
    bool is_stopping = false;
    {
      const std::lock_guard lock(mutex_);
      items_.emplace(item.get(), item);
      is_stopping = is_stopping_;
    }
    if (is_stopping) item->stop_gracefully();
  }
  void remove(Stoppable* item) {
    const std::lock_guard lock(mutex_);
    items_.erase(item);
    if (items_.empty()) is_empty_.notify_all();
  }
  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return items_.size();
  }
  /// True as soon as stop_all has begun, before each item has heard of it.
  bool is_stopping() const {
    const std::lock_guard lock(mutex_);
    return is_stopping_;
  }
  /// Also stops what is added later.
  void stop_all() {
    for (const auto& item : snapshot(true)) item->stop_gracefully();
  }
  void abort_all() {
    for (const auto& item : snapshot(true)) item->abort();
  }
  bool wait_empty(std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    return is_empty_.wait_for(lock, timeout, [this] { return items_.empty(); });
  }

 private:
  std::vector<std::shared_ptr<Stoppable>> snapshot(bool is_stopping) {
    const std::lock_guard lock(mutex_);
    is_stopping_ = is_stopping;
    std::vector<std::shared_ptr<Stoppable>> items;
    for (const auto& [key, weak] : items_) {
      if (auto item = weak.lock()) items.push_back(std::move(item));
    }
    return items;
  }

  mutable std::mutex mutex_;
  std::condition_variable is_empty_;
  std::map<Stoppable*, std::weak_ptr<Stoppable>> items_;
  bool is_stopping_ = false;
};

/// What the parts of one server share. Connections hold it, so that exchanges that outlive the server stay harmless.
struct ServerContext {
  ServerContext(HttpServerOptions the_options, HttpHandler& the_handler)
      : options(std::move(the_options)),
        handler(the_handler),
        hosts(options.bind_address, options.allowed_hosts),
        io(options.threads) {}

  const HttpServerOptions options;
  HttpHandler& handler;
  const HostPolicy hosts;
  boost::asio::io_context io;
  Registry registry;
  std::atomic<std::uint64_t> connections_accepted = 0;
  std::atomic<std::uint64_t> connections_refused = 0;
  std::atomic<std::uint64_t> accept_errors = 0;
  std::atomic<std::uint64_t> requests = 0;
  std::atomic<std::uint64_t> requests_refused = 0;
};

}  // namespace busbar::net
