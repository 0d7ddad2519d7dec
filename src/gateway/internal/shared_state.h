#pragma once

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gateway/internal/callers.h"
#include "gateway/internal/histogram.h"
#include "os/event_fd.h"
#include "route/latency_sketch.h"
#include "route/picker.h"
#include "route/prefix.h"
#include "route/table.h"

namespace busbar::gateway::internal {

/// What all workers know of one replica. Lives as long as a table or a request names it.
struct EndpointState {
  explicit EndpointState(std::string name) : replica(std::move(name)), tag(route::name_tag(replica)) {}
  const std::string replica;
  const std::uint16_t tag;                     ///< Of the replica, in prefix maps.
  std::atomic<std::uint32_t> outstanding = 0;  ///< Requests given to it and not ended, by all workers.
  /// Requests that other gateways gave it, as the server said last.
  std::atomic<std::uint32_t> elsewhere = 0;
  /// Tokens of calls of models beyond one for each: with `outstanding` the work that it has.
  std::atomic<std::uint64_t> more_work = 0;
  std::atomic<std::uint32_t> failures = 0;   ///< In a row.
  std::atomic<std::uint32_t> ejections = 0;  ///< In a row; the next one lasts longer.
  std::atomic<std::int64_t> ejected_until_us = 0;
  std::atomic<bool> is_sick = false;  ///< It fails its health checks.
  // Of the worker that makes the health checks.
  bool is_probed = false;  ///< One is under way.
  std::uint32_t failed_probes = 0;
  /// May be given requests as far as is known.
  bool is_well(std::int64_t now_us) const {
    return ejected_until_us.load(std::memory_order_relaxed) <= now_us && !is_sick.load(std::memory_order_relaxed);
  }
  std::atomic<std::uint64_t> finished = 0;
  std::atomic<std::uint64_t> failed = 0;
  std::atomic<std::uint64_t> busy_us = 0;
  /// Only while its service has replicas of more than one revision.
  std::array<std::atomic<std::uint32_t>, route::LatencySketch::kBuckets> latency = {};
};

/// What one worker counts of one service; only it writes.
struct alignas(64) ServiceCounters {
  Counter arrivals = {};
  Counter finished = {};
  Counter failed = {};
  Counter busy_us = {};
  Counter retries = {};
  Counter shed = {};     ///< Refused with 503 or 429 because too many waited or waited too long.
  Counter aborted = {};  ///< The client went away.
  Counter denied = {};   ///< Refused with 401 or 403.
  Counter limited = {};  ///< Refused with 429 for a rate that was used up.
  Counter mirrors = {};  ///< Copies sent to another service.
  Counter mirrors_dropped = {};
  Counter hedges = {};  ///< Requests sent to a second replica since the first was slow.
  Counter hedges_won = {};
  std::array<Counter, 6> by_status_class = {};
  std::atomic<std::uint32_t> waiting = 0;
  std::atomic<std::uint32_t> running = 0;
  Histogram latency = {};     ///< From the request's head to the end of its answer.
  Histogram first_byte = {};  ///< From the request's head to the first byte of the answer.
  Histogram event_gap = {};   ///< Between pieces of an event stream.
};

/// What all workers know of one service.
struct ServiceState {
  explicit ServiceState(std::size_t workers) {
    for (std::size_t index = 0; index < workers; ++index) counters.push_back(std::make_unique<ServiceCounters>());
  }
  std::vector<std::unique_ptr<ServiceCounters>> counters = {};  ///< By worker.
  /// Bit of each worker (modulo 64) with requests that wait; who ends a request wakes one of them.
  std::atomic<std::uint64_t> waiting_workers = 0;
  UseState use = {};  ///< Of all callers together.
  /// Where beginnings of prompts went; nullptr for services that do not want it. Once made it stays.
  const route::PrefixMap* prefixes() const { return prefixes_.load(std::memory_order_acquire); }
  route::PrefixMap* prefixes() { return prefixes_.load(std::memory_order_acquire); }
  void want_prefixes() {
    if (prefixes_.load(std::memory_order_acquire) != nullptr) return;
    owned_prefixes_ = std::make_unique<route::PrefixMap>();
    prefixes_.store(owned_prefixes_.get(), std::memory_order_release);
  }
  /// Worker that a place at a replica was offered to; -1: none.
  std::atomic<int> offered_to = -1;
  /// Requests that wait, by their tenant's slot modulo the size: two tenants in one place are bounded together.
  std::array<std::atomic<std::uint32_t>, 256> waiting_by_tenant = {};

 private:
  std::unique_ptr<route::PrefixMap> owned_prefixes_ = {};
  std::atomic<route::PrefixMap*> prefixes_ = nullptr;
};

struct EndpointEntry {
  sockaddr_storage address = {};
  socklen_t address_size = 0;
  bool speaks_http2 = false;
  std::shared_ptr<EndpointState> state = {};
};

struct ServiceEntry {
  route::Service value = {};
  std::vector<EndpointEntry> endpoints = {};  ///< As value.endpoints.
  route::Picker picker = {};
  UseLimits limits = {};
  bool has_revisions = false;  ///< More than one: their latencies are compared.
  std::shared_ptr<ServiceState> state = {};
};

/// A route table made ready for lookups. Immutable.
class Directory {
 public:
  /// Takes over the states of services and replicas that `previous` (may be nullptr) knows. kInvalidArgument: an
  /// address that is none.
  static Result<std::shared_ptr<const Directory>> make(route::Table table, const Directory* previous,
                                                       std::size_t workers);

  std::uint64_t version() const { return version_; }
  const std::vector<std::shared_ptr<const ServiceEntry>>& services() const { return services_; }
  /// Index into services(), -1 if there is none.
  int by_name(std::string_view name) const { return find(by_name_, name); }
  int by_host(std::string_view host) const;  ///< Ignores case.
  /// What a call of a model is for.
  struct Target {
    int service = -1;               ///< -1: nobody offers it.
    std::string_view adapter = {};  ///< That a replica must have; a view into `model`.
    bool is_qualified = false;      ///< "base:adapter": replicas know the adapter by its own name.
  };
  /// A model of a service, one of its adapters, a service's name, or BASE:ADAPTER.
  Target by_model(std::string_view model) const;
  const Callers& callers() const { return *callers_; }
  /// Every service wants a key.
  bool is_closed() const { return is_closed_; }
  /// The answer to GET /v1/models.
  const std::string& models_json() const { return models_json_; }

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using Index = std::unordered_map<std::string, int, TextHash, std::equal_to<>>;
  static int find(const Index& index, std::string_view key) {
    const auto found = index.find(key);
    return found == index.end() ? -1 : found->second;
  }

  std::uint64_t version_ = 0;
  std::vector<std::shared_ptr<const ServiceEntry>> services_ = {};
  Index by_name_ = {};
  Index by_host_ = {};
  Index by_model_ = {};
  Index by_adapter_ = {};
  std::string models_json_ = {};
  bool is_closed_ = false;
  std::shared_ptr<const Callers> callers_ = {};
};

}  // namespace busbar::gateway::internal
