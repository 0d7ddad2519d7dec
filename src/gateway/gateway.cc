#include "gateway/gateway.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "gateway/internal/metrics_text.h"
#include "gateway/internal/thread_files.h"
#include "gateway/internal/worker.h"
#include "os/errno_error.h"
#include "os/files.h"
#include "os/gate.h"
#include "os/log.h"
#include "os/system_clock.h"

namespace busbar::gateway {
namespace {

using internal::Board;
using internal::Directory;
using internal::Worker;

constexpr int kBacklog = 4096;

void raise_descriptor_limit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

struct BindAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

Result<BindAddress> parse_bind_address(const std::string& address, std::uint16_t port) {
  BindAddress result;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&result.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    result.size = sizeof(*v4);
  } else if (inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    result.size = sizeof(*v6);
  } else {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("\"{}\" is not an IPv4 or IPv6 address to listen on", address));
  }
  return result;
}

Result<os::UniqueFd> open_listener(const std::string& address, std::uint16_t port) {
  TRY_ASSIGN(const BindAddress bind_address, parse_bind_address(address, port));
  os::UniqueFd fd(socket(bind_address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_valid()) return os::errno_failure("cannot make a socket");
  const int one = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&bind_address.storage), bind_address.size) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    return os::errno_failure(fmt::format("cannot listen on {} port {}", address, port));
  }
  return fd;
}

/// With SO_REUSEPORT a second gateway would get half of the connections of the first, unseen: so one socket without it
/// asks first.
Result<void> check_port_is_free(const std::string& address, std::uint16_t port) {
  if (port == 0) return {};
  TRY_ASSIGN(const BindAddress bind_address, parse_bind_address(address, port));
  const os::UniqueFd fd(socket(bind_address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&bind_address.storage), bind_address.size) == 0) return {};
  if (errno != EADDRINUSE) return os::errno_failure(fmt::format("cannot listen on {} port {}", address, port));
  return make_error(ErrorCode::kAlreadyExists,
                    fmt::format("port {} of {} is taken: another gateway or program listens there", port, address));
}

std::uint16_t port_of(int fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

/// Totals of one service at the last message, to take differences from.
struct SeenService {
  std::uint64_t arrivals = 0;
  std::uint64_t finished = 0;
  std::uint64_t failed = 0;
  std::uint64_t busy_us = 0;
};
struct SeenEndpoint {
  std::uint64_t finished = 0;
  std::uint64_t failed = 0;
  std::uint64_t busy_us = 0;
  std::vector<std::uint32_t> latency = {};  ///< Empty: not compared.
};

/// Adds what has come since the last message.
void add_latency(route::ServiceDemand::Revision& revision, const std::vector<std::uint32_t>& now,
                 const std::vector<std::uint32_t>& last) {
  for (std::uint32_t bucket = 0; bucket < now.size(); ++bucket) {
    const std::uint32_t count = now[bucket] - (bucket < last.size() ? last[bucket] : 0);
    if (count == 0) continue;
    const auto known = std::find_if(revision.latency.begin(), revision.latency.end(),
                                    [bucket](const auto& each) { return each.first == bucket; });
    if (known != revision.latency.end()) {
      known->second += count;
    } else {
      revision.latency.emplace_back(bucket, count);
    }
  }
}

class ProxyGateway final : public Gateway {
 public:
  explicit ProxyGateway(GatewayOptions options, os::EventFd demand)
      : options_(std::move(options)), demand_(std::move(demand)) {
    board_.demand = &demand_;
  }
  ~ProxyGateway() override { stop(0); }

  Result<void> open();

  std::uint16_t port() const override { return port_; }
  std::uint16_t tls_port() const override { return tls_port_; }
  Result<void> reload_certificates() override;
  Result<void> update(route::Table table) override;
  void update_loads(const route::Loads& loads) override;
  std::uint64_t table_version() const override {
    const std::lock_guard lock(mutex_);
    return directory_ == nullptr ? 0 : directory_->version();
  }
  route::Demand take_demand() override;
  os::EventFd& demand_event() override { return demand_; }
  std::string metrics_text() const override;
  std::uint64_t clients() const override;
  void stop(std::int64_t grace_ms) override;

 private:
  Result<std::vector<internal::Listener>> open_listeners();
  Result<void> add_worker(std::size_t index, std::vector<internal::Listener> listeners);
  std::shared_ptr<const Directory> directory() const {
    const std::lock_guard lock(mutex_);
    return directory_;
  }
  /// Of the table that every worker has taken up.
  std::uint64_t routed_version(const Directory& directory) const {
    std::uint64_t version = directory.version();
    for (const auto& worker : workers_) version = std::min(version, worker->applied_version());
    return version;
  }

  GatewayOptions options_;
  os::EventFd demand_;
  os::SystemClock clock_ = {};
  Board board_ = {};
  os::UniqueFd log_ = {};
  std::uint16_t port_ = 0;
  std::uint16_t tls_port_ = 0;
  mutable std::mutex mutex_;
  std::shared_ptr<const Directory> directory_ = {};
  std::shared_ptr<const internal::TlsIdentities> identities_ = {};
  std::vector<std::unique_ptr<Worker>> workers_ = {};
  std::unique_ptr<internal::ThreadFiles> thread_files_ = {};  ///< Where threads have tables of their own.
  std::vector<std::thread> threads_ = {};
  std::mutex ended_mutex_ = {};
  std::condition_variable has_ended_ = {};
  std::size_t running_ = 0;
  bool is_stopped_ = false;
  // Of take_demand's caller.
  std::map<std::string, SeenService> seen_services_ = {};
  std::map<std::string, SeenEndpoint> seen_endpoints_ = {};
  std::int64_t last_demand_ns_ = 0;
};

Result<void> ProxyGateway::open() {
  raise_descriptor_limit();
  if (options_.threads == 0) options_.threads = std::max(1U, std::thread::hardware_concurrency());
  if (!options_.access_log.empty()) {
    TRY_ASSIGN(log_, os::open_file(options_.access_log, O_WRONLY | O_CREAT | O_APPEND, 0640));
  }
  TRY(check_port_is_free(options_.bind_address, options_.port));
  port_ = options_.port;
  if (!options_.tls_certificates.empty()) {
    TRY(check_port_is_free(options_.tls_bind_address, options_.tls_port));
    tls_port_ = options_.tls_port;
    TRY_ASSIGN(identities_, internal::TlsIdentities::load(options_.tls_certificates, nullptr));
  }
  last_demand_ns_ = clock_.monotonic_ns();
  for (std::size_t index = 0; index < options_.threads; ++index) {
    TRY_ASSIGN(std::vector<internal::Listener> listeners, open_listeners());
    TRY(add_worker(index, std::move(listeners)));
  }
  for (const auto& worker : workers_) board_.wakers.push_back(&worker->waker());
  if (options_.has_thread_files) {
    std::vector<std::vector<int>> own;
    for (const auto& worker : workers_) own.push_back(worker->own_files());
    thread_files_ = std::make_unique<internal::ThreadFiles>(std::move(own));
  }
  running_ = workers_.size();
  for (std::size_t index = 0; index < workers_.size(); ++index) {
    threads_.push_back(os::start_thread(fmt::format("gateway-{}", index), [this, index] {
      if (thread_files_ != nullptr) thread_files_->separate(index);
      workers_[index]->run();
      workers_[index]->close_files();
      const std::lock_guard lock(ended_mutex_);
      --running_;
      has_ended_.notify_all();
    }));
  }
  if (thread_files_ != nullptr && thread_files_->leave() < workers_.size()) {
    LOG(kWarning, "gateway_threads_share_files", {{"why", "the kernel refuses unshare(CLONE_FILES)"}});
  }
  return {};
}

Result<std::vector<internal::Listener>> ProxyGateway::open_listeners() {
  std::vector<internal::Listener> listeners;
  TRY_ASSIGN(os::UniqueFd plain, open_listener(options_.bind_address, port_));
  port_ = port_of(plain.get());
  listeners.push_back({.fd = std::move(plain)});
  if (identities_ == nullptr) return listeners;
  TRY_ASSIGN(os::UniqueFd secure, open_listener(options_.tls_bind_address, tls_port_));
  tls_port_ = port_of(secure.get());
  listeners.push_back({.fd = std::move(secure), .is_secure = true});
  return listeners;
}

Result<void> ProxyGateway::reload_certificates() {
  const std::lock_guard lock(mutex_);
  if (identities_ == nullptr) return {};
  TRY_ASSIGN(identities_, internal::TlsIdentities::load(options_.tls_certificates, identities_.get()));
  for (const auto& worker : workers_) worker->set_identities(identities_);
  return {};
}

Result<void> ProxyGateway::add_worker(std::size_t index, std::vector<internal::Listener> listeners) {
  TRY_ASSIGN(os::EventFd waker, os::EventFd::create());
  os::UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.is_valid()) return os::errno_failure("cannot make an epoll instance");
  const internal::WorkerSettings settings{
      .idle_timeout_ms = options_.idle_timeout_ms,
      .head_timeout_ms = options_.head_timeout_ms,
      .body_timeout_ms = options_.body_timeout_ms,
      .connect_timeout_ms = options_.connect_timeout_ms,
      .max_clients = options_.has_thread_files ? options_.max_clients : options_.max_clients / options_.threads + 1,
      .log_fd = log_.get()};
  route::HashKey secret;
  os::SystemRandom().fill(std::span(reinterpret_cast<unsigned char*>(&secret), sizeof(secret)));
  workers_.push_back(std::make_unique<Worker>(index, settings, std::move(listeners), board_, std::move(waker),
                                              std::move(epoll), secret));
  if (identities_ != nullptr) workers_.back()->set_identities(identities_);
  return {};
}

Result<void> ProxyGateway::update(route::Table table) {
  const std::lock_guard lock(mutex_);
  TRY_ASSIGN(std::shared_ptr<const Directory> directory,
             Directory::make(std::move(table), directory_.get(), workers_.size()));
  directory_ = std::move(directory);
  for (const auto& worker : workers_) worker->update(directory_);
  return {};
}

void ProxyGateway::update_loads(const route::Loads& loads) {
  const std::shared_ptr<const Directory> directory = this->directory();
  if (directory == nullptr) return;
  const auto others = route::others_of(loads, options_.name);
  for (const auto& entry : directory->services()) {
    for (const internal::EndpointEntry& endpoint : entry->endpoints) {
      const auto found = others.find(endpoint.state->replica);
      endpoint.state->elsewhere.store(found == others.end() ? 0 : found->second, std::memory_order_relaxed);
    }
  }
}

route::Demand ProxyGateway::take_demand() {
  const std::shared_ptr<const Directory> directory = this->directory();
  const std::int64_t now_ns = clock_.monotonic_ns();
  route::Demand demand{.gateway = options_.name, .interval_ms = (now_ns - last_demand_ns_) / 1'000'000};
  last_demand_ns_ = now_ns;
  if (directory == nullptr) return demand;
  // A replica that drains is stopped by what is said here.
  demand.table_version = routed_version(*directory);
  std::map<std::string, SeenService> services;
  std::map<std::string, SeenEndpoint> endpoints;
  for (const auto& entry : directory->services()) {
    SeenService total;
    route::ServiceDemand service{.name = entry->value.name};
    for (const auto& counters : entry->state->counters) {
      total.arrivals += counters->arrivals.value();
      total.finished += counters->finished.value();
      total.failed += counters->failed.value();
      total.busy_us += counters->busy_us.value();
      service.waiting += counters->waiting.load(std::memory_order_relaxed);
      service.running += counters->running.load(std::memory_order_relaxed);
    }
    service.running -= std::min(service.running, service.waiting);
    const SeenService before = seen_services_[entry->value.name];
    service.arrivals = total.arrivals - before.arrivals;
    service.finished = total.finished - before.finished;
    service.failed = total.failed - before.failed;
    service.busy_us = total.busy_us - before.busy_us;
    std::map<std::uint32_t, route::ServiceDemand::Revision> revisions;
    for (std::size_t index = 0; index < entry->endpoints.size(); ++index) {
      const internal::EndpointState& state = *entry->endpoints[index].state;
      SeenEndpoint now{.finished = state.finished.load(std::memory_order_relaxed),
                       .failed = state.failed.load(std::memory_order_relaxed),
                       .busy_us = state.busy_us.load(std::memory_order_relaxed)};
      if (entry->has_revisions) {
        for (const auto& count : state.latency) now.latency.push_back(count.load(std::memory_order_relaxed));
      }
      if (const std::uint32_t running = state.outstanding.load(); running > 0) {
        service.replicas.push_back({.replica = state.replica, .running = running});
      }
      const SeenEndpoint last = seen_endpoints_[state.replica];
      endpoints[state.replica] = now;
      const std::uint32_t number = entry->value.endpoints[index].revision;
      route::ServiceDemand::Revision& revision = revisions[number];
      revision.revision = number;
      revision.finished += now.finished - last.finished;
      revision.failed += now.failed - last.failed;
      revision.busy_us += now.busy_us - last.busy_us;
      add_latency(revision, now.latency, last.latency);
    }
    for (const auto& [number, revision] : revisions) {
      if (revision.finished > 0) service.revisions.push_back(revision);
    }
    services[entry->value.name] = total;
    if (service.arrivals + service.finished + service.waiting + service.running > 0) {
      demand.services.push_back(std::move(service));
    }
  }
  seen_services_ = std::move(services);
  seen_endpoints_ = std::move(endpoints);
  return demand;
}

std::string ProxyGateway::metrics_text() const {
  std::vector<const internal::WorkerCounters*> workers;
  for (const auto& worker : workers_) workers.push_back(&worker->counters());
  const std::shared_ptr<const Directory> directory = this->directory();
  return internal::metrics_text(directory.get(), directory == nullptr ? 0 : routed_version(*directory), workers);
}

std::uint64_t ProxyGateway::clients() const {
  std::uint64_t sum = 0;
  for (const auto& worker : workers_) sum += worker->counters().clients.load(std::memory_order_relaxed);
  return sum;
}

void ProxyGateway::stop(std::int64_t grace_ms) {
  if (std::exchange(is_stopped_, true)) return;
  for (const auto& worker : workers_) worker->drain();
  {
    std::unique_lock lock(ended_mutex_);
    has_ended_.wait_for(lock, std::chrono::milliseconds(grace_ms), [this] { return running_ == 0; });
  }
  for (const auto& worker : workers_) worker->cut();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace

Result<std::unique_ptr<Gateway>> Gateway::start(GatewayOptions options) {
  TRY_ASSIGN(os::EventFd demand, os::EventFd::create());
  auto gateway = std::make_unique<ProxyGateway>(std::move(options), std::move(demand));
  TRY(gateway->open());
  return std::unique_ptr<Gateway>(std::move(gateway));
}

}  // namespace busbar::gateway
