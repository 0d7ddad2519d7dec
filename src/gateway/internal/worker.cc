#include "gateway/internal/worker.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "os/log.h"

namespace busbar::gateway::internal {
namespace {

constexpr std::uint32_t kEdgeEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr int kEventsAtOnce = 512;
constexpr int kAcceptsAtOnce = 256;
constexpr std::int64_t kLingerMs = 2'000;
constexpr std::int64_t kFreshGraceMs = 1'000;

std::int64_t monotonic_us() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
}

in6_addr peer_address(const sockaddr_storage& address) {
  in6_addr result = {};
  if (address.ss_family == AF_INET6) {
    result = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  } else if (address.ss_family == AF_INET) {
    result.s6_addr[10] = result.s6_addr[11] = 0xff;
    std::memcpy(&result.s6_addr[12], &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
  }
  return result;
}

}  // namespace

Worker::Worker(std::size_t index, WorkerSettings settings, std::vector<Listener> listeners, const Board& board,
               os::EventFd waker, os::UniqueFd epoll, const route::HashKey& secret)
    : index_(index),
      settings_(settings),
      board_(board),
      waker_(std::move(waker)),
      epoll_(std::move(epoll)),
      spare_(open("/dev/null", O_RDONLY | O_CLOEXEC)),
      listener_fds_(std::move(listeners)),
      timers_(monotonic_us() / 1000),
      keys_(secret),
      random_(0x9e3779b97f4a7c15U * (index + 1) ^ static_cast<std::uint64_t>(monotonic_us())) {
  refresh_clock();
}

Worker::~Worker() {
  close_files();
}

std::vector<int> Worker::own_files() const {
  std::vector<int> fds = {epoll_.get(), spare_.get()};
  for (const Listener& listener : listener_fds_) fds.push_back(listener.fd.get());
  return fds;
}

void Worker::close_files() {
  const auto close_all = [](auto& sockets) {
    for (auto& socket : sockets) {
      if (socket.fd >= 0) close(std::exchange(socket.fd, -1));
    }
  };
  close_all(clients_);
  close_all(upstreams_);
  close_all(trunks_);
  close_all(errands_);
  listener_fds_.clear();
  epoll_.reset();
  spare_.reset();
}

void Worker::update(std::shared_ptr<const Directory> directory) {
  {
    const std::lock_guard lock(mail_mutex_);
    mail_ = std::move(directory);
  }
  waker_.set();
}

void Worker::set_identities(std::shared_ptr<const TlsIdentities> identities) {
  {
    const std::lock_guard lock(mail_mutex_);
    identities_mail_ = std::move(identities);
  }
  waker_.set();
}

void Worker::drain() {
  wants_drain_ = true;
  waker_.set();
}

void Worker::cut() {
  wants_cut_ = true;
  waker_.set();
}

void Worker::refresh_clock() {
  now_us_ = monotonic_us();
}

bool Worker::add_to_epoll(Socket& socket) {
  epoll_event event = {};
  const bool is_level = socket.kind == SocketKind::kListener || socket.kind == SocketKind::kSecureListener ||
                        socket.kind == SocketKind::kWaker;
  event.events = is_level ? static_cast<std::uint32_t>(EPOLLIN) : kEdgeEvents;
  event.data.ptr = &socket;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket.fd, &event) == 0;
}

int Worker::wait_ms() const {
  const int by_timers = timers_.wait_ms();
  if (next_probe_us_ == kNeverUs) return by_timers;
  const auto by_probe = static_cast<int>(std::clamp<std::int64_t>((next_probe_us_ - now_us_) / 1000 + 1, 0, 60'000));
  return by_timers < 0 ? by_probe : std::min(by_timers, by_probe);
}

bool Worker::is_done() const {
  return wants_cut_ || (is_draining_ && counters_.clients.load(std::memory_order_relaxed) == 0);
}

void Worker::run() {
  waker_socket_ = {.fd = waker_.fd(), .kind = SocketKind::kWaker};
  add_to_epoll(waker_socket_);
  for (const Listener& listener : listener_fds_) {
    const SocketKind kind = listener.is_secure ? SocketKind::kSecureListener : SocketKind::kListener;
    listeners_.push_back(std::make_unique<Socket>(Socket{.fd = listener.fd.get(), .kind = kind}));
    add_to_epoll(*listeners_.back());
  }
  std::array<epoll_event, kEventsAtOnce> events = {};
  take_mail();
  while (!is_done()) {
    const bool has_work =
        !resumed_clients_.empty() || !ready_services_.empty() || !dirty_clients_.empty() || !dirty_trunks_.empty();
    const int count = epoll_wait(epoll_.get(), events.data(), kEventsAtOnce, has_work ? 0 : wait_ms());
    refresh_clock();
    for (int index = 0; index < count; ++index) {
      handle(*static_cast<Socket*>(events[static_cast<std::size_t>(index)].data.ptr),
             events[static_cast<std::size_t>(index)].events);
    }
    // What these do may add to the lists: that is for the next round.
    for (Client* client : std::exchange(resumed_clients_, {})) {
      if (client->fd >= 0) serve_client(*client);
    }
    for (WorkerService* service : std::exchange(ready_services_, {})) {
      service->is_ready = false;
      serve_waiting(*service);
    }
    timers_.advance(now_us_ / 1000, [this](TimerNode& node) { expire(node); });
    if (now_us_ >= next_probe_us_) probe_replicas();
    if (has_unlisted_) forget_unlisted();
    if (!dirty_trunks_.empty()) flush_trunks();
    if (!dirty_clients_.empty()) flush_dirty();
    closed_channels_.clear();
    for (Errand* errand : closed_errands_) free_errands_.push_back(errand);
    closed_errands_.clear();
    for (Client* client : closed_clients_) free_clients_.push_back(client);
    closed_clients_.clear();
    for (Upstream* upstream : closed_upstreams_) free_upstreams_.push_back(upstream);
    closed_upstreams_.clear();
    if (!closed_streams_.empty() || !closed_trunks_.empty()) recycle_trunks();
    if (!log_.empty()) flush_log();
  }
}

void Worker::handle(Socket& socket, std::uint32_t events) {
  switch (socket.kind) {
    case SocketKind::kListener:
    case SocketKind::kSecureListener:
      accept_clients(socket);
      return;
    case SocketKind::kWaker:
      waker_.take();
      take_mail();
      return;
    case SocketKind::kClient: {
      auto& client = static_cast<Client&>(socket);
      if (client.fd < 0) return;
      if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        client_gone(client);
        return;
      }
      client.is_readable = client.is_readable || (events & (EPOLLIN | EPOLLRDHUP)) != 0;
      client.is_writable = client.is_writable || (events & EPOLLOUT) != 0;
      client.has_hangup = client.has_hangup || (events & EPOLLRDHUP) != 0;
      if (Channel* const channel = channel_of(client); channel != nullptr && channel->tls != nullptr) {
        // It may have to read for what we want to write, and the other way round.
        client.is_readable = true;
        channel->tls->note_readable(client.has_hangup);
        if (!channel->tls->is_established() && !shake_hands(client)) return;
      }
      serve_client(client);
      return;
    }
    case SocketKind::kStream:
    case SocketKind::kUpstreamStream:
      return;
    case SocketKind::kTrunk: {
      auto& trunk = static_cast<Trunk&>(socket);
      if (trunk.fd >= 0) serve_trunk(trunk, events);
      return;
    }
    case SocketKind::kUpstream: {
      auto& upstream = static_cast<Upstream&>(socket);
      if (upstream.fd >= 0) serve_upstream(upstream, events);
      return;
    }
    case SocketKind::kErrand: {
      auto& errand = static_cast<Errand&>(socket);
      if (errand.fd >= 0) serve_errand(errand, events);
      return;
    }
  }
}

void Worker::accept_clients(Socket& listener) {
  for (int count = 0; count < kAcceptsAtOnce; ++count) {
    sockaddr_storage address = {};
    socklen_t size = sizeof(address);
    const int fd = accept4(listener.fd, reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE) {
        // Without a descriptor the connection would wait in the backlog for ever, and we would spin on it.
        counters_.accept_errors.add(1);
        spare_.reset();
        const int refused = accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
        if (refused >= 0) close(refused);
        spare_ = os::UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
      }
      return;
    }
    if (counters_.clients.load(std::memory_order_relaxed) >= settings_.max_clients) {
      counters_.accept_errors.add(1);
      close(fd);
      continue;
    }
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (free_clients_.empty()) free_clients_.push_back(&clients_.emplace_back());
    Client& client = *free_clients_.back();
    free_clients_.pop_back();
    client = Client{};
    client.fd = fd;
    client.peer = peer_address(address);
    counters_.clients.fetch_add(1, std::memory_order_relaxed);
    counters_.accepted.add(1);
    if (!add_to_epoll(client)) {
      close_client(client);
      continue;
    }
    const bool is_secure = listener.kind == SocketKind::kSecureListener;
    if (is_secure && !open_secure(client)) continue;
    timers_.arm(client, now_us_ / 1000 + (is_secure ? settings_.head_timeout_ms : settings_.idle_timeout_ms));
  }
}

// The answer is out but the request was not read to its end: closing at once would reset the connection and take the
// answer with it (RFC 9112 §9.6).
void Worker::linger(Client& client) {
  client.is_lingering = true;
  if (Channel* const channel = channel_of(client); channel != nullptr && channel->tls != nullptr) {
    channel->tls->finish();
  }
  shutdown(client.fd, SHUT_WR);
  timers_.disarm(client);
  timers_.arm(client, now_us_ / 1000 + kLingerMs);
  client.is_readable = true;
  read_lingering(client);
}

void Worker::read_lingering(Client& client) {
  while (client.is_readable) {
    const ssize_t count = recv(client.fd, scratch_.get(), kScratchBytes, 0);
    if (count < 0 && errno == EAGAIN) {
      client.is_readable = false;
      return;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      close_client(client);
      return;
    }
  }
}

void Worker::client_gone(Client& client) {
  if (client.exchange != nullptr && client.exchange->service != nullptr &&
      client.exchange->response_phase != ResponsePhase::kComplete &&
      client.exchange->response_phase != ResponsePhase::kTunnel) {
    client.exchange->service->counters->aborted.add(1);
    if (client.exchange->status == 0) client.exchange->status = 499;
  }
  close_client(client);
}

void Worker::close_client(Client& client) {
  if (client.fd < 0) return;
  if (client.kind == SocketKind::kStream) {
    close_stream(static_cast<Stream&>(client));
    return;
  }
  if (client.exchange != nullptr) end_exchange(*client.exchange);
  timers_.disarm(client);
  if (client.channel != 0) close_channel(client);
  close(client.fd);
  client.fd = -1;
  counters_.clients.fetch_sub(1, std::memory_order_relaxed);
  closed_clients_.push_back(&client);
}

void Worker::take_mail() {
  std::shared_ptr<const Directory> directory;
  {
    const std::lock_guard lock(mail_mutex_);
    directory = std::exchange(mail_, nullptr);
    if (identities_mail_ != nullptr) identities_ = std::exchange(identities_mail_, nullptr);
  }
  if (directory != nullptr) apply(std::move(directory));
  // Another worker may have ended a request of a service that we have requests waiting for.
  for (WorkerService* service : services_) {
    if (!service->waiting.empty()) {
      mark_ready(*service);
    } else if (service->entry->state->offered_to.load(std::memory_order_relaxed) == static_cast<int>(index_)) {
      // Whom the place was for has gone meanwhile.
      service->entry->state->offered_to.store(-1, std::memory_order_relaxed);
      wake_others(*service);
    }
  }
  if (wants_drain_ && !is_draining_) begin_drain();
}

void Worker::apply(std::shared_ptr<const Directory> directory) {
  for (const auto& service : owned_services_) {
    service->is_listed = false;
    for (const auto& endpoint : service->owned) endpoint->is_listed = false;
  }
  services_.clear();
  for (const auto& entry : directory->services()) {
    auto found = std::find_if(owned_services_.begin(), owned_services_.end(),
                              [&entry](const auto& each) { return each->entry->state == entry->state; });
    if (found == owned_services_.end()) {
      found = owned_services_.insert(found, std::make_unique<WorkerService>());
      (*found)->counters = entry->state->counters[index_].get();
    }
    WorkerService& service = **found;
    service.is_listed = true;
    std::erase_if(service.flows, [](const auto& flow) { return flow.second.size == 0; });
    service.entry = entry;
    service.endpoints.clear();
    for (std::size_t index = 0; index < entry->endpoints.size(); ++index) {
      const EndpointEntry& wanted = entry->endpoints[index];
      auto known = std::find_if(service.owned.begin(), service.owned.end(),
                                [&wanted](const auto& each) { return each->entry.state == wanted.state; });
      if (known == service.owned.end()) known = service.owned.insert(known, std::make_unique<WorkerEndpoint>());
      (*known)->entry = wanted;
      (*known)->revision = entry->value.endpoints[index].revision;
      (*known)->is_listed = true;
      service.endpoints.push_back(known->get());
    }
    services_.push_back(&service);
  }
  directory_ = std::move(directory);
  const bool has_probes = std::any_of(services_.begin(), services_.end(), [](const WorkerService* service) {
    return !service->entry->value.health.path.empty();
  });
  next_probe_us_ = index_ == 0 && has_probes ? now_us_ : kNeverUs;
  applied_version_.store(directory_->version(), std::memory_order_release);
  has_unlisted_ = true;
}

// Replicas and services that are in no table any more go when nothing uses them.
void Worker::forget_unlisted() {
  has_unlisted_ = false;
  for (const auto& service : owned_services_) {
    std::erase_if(service->owned, [this](const std::unique_ptr<WorkerEndpoint>& endpoint) {
      if (endpoint->is_listed) return false;
      while (endpoint->idle != nullptr) close_upstream(*endpoint->idle);
      for (Trunk* trunk : std::vector<Trunk*>(endpoint->trunks)) tend(*trunk);
      has_unlisted_ = has_unlisted_ || endpoint->connections > 0;
      return endpoint->connections == 0;
    });
  }
  std::erase_if(owned_services_, [this](const std::unique_ptr<WorkerService>& service) {
    if (service->is_listed) return false;
    while (!service->waiting.empty()) {
      auto& exchange = static_cast<Exchange&>(service->waiting.front());
      stop_waiting(exchange, Waited::kInVain);
      fail(exchange, 404, "the service was removed while the request waited");
    }
    has_unlisted_ = has_unlisted_ || service->exchanges > 0 || service->is_ready;
    return service->exchanges == 0 && !service->is_ready && service->owned.empty();
  });
}

void Worker::begin_drain() {
  is_draining_ = true;
  for (const auto& listener : listeners_) {
    // Connections that the kernel has completed already are ours to serve.
    accept_clients(*listener);
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener->fd, nullptr);
  }
  listener_fds_.clear();
  for (Client& client : clients_) {
    if (client.fd < 0 || client.exchange != nullptr) continue;
    if (Channel* const channel = channel_of(client); channel != nullptr && channel->http2 != nullptr) {
      drain_http2(client);
      continue;
    }
    if (client.is_readable) continue;
    if (client.is_fresh) {
      // Its first request may be on its way; who has had an answer knows that a kept connection may close.
      timers_.disarm(client);
      timers_.arm(client, now_us_ / 1000 + kFreshGraceMs);
    } else {
      close_client(client);
    }
  }
}

}  // namespace busbar::gateway::internal
