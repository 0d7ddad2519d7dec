#include "engine/local/internal/port_leases.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "base/text.h"
#include "engine/local/internal/attempt_store.h"
#include "os/files.h"
#include "os/unique_fd.h"

namespace busbar::engine {
namespace {

constexpr std::uint16_t kFirst = 20000;
constexpr std::uint16_t kLast = 29999;

bool can_bind(int family, const sockaddr* address, socklen_t size) {
  const os::UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.is_valid()) {
    return family == AF_INET6;  // a machine without IPv6
  }
  const int on = 1;
  // Connections of a job that has just ended (TIME_WAIT) do not hinder the next listener, so they must not hinder us.
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  return ::bind(fd.get(), address, size) == 0 && ::listen(fd.get(), 1) == 0;
}

}  // namespace

bool is_port_free(std::uint16_t port) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  return can_bind(AF_INET, reinterpret_cast<const sockaddr*>(&v4), sizeof v4) &&
         can_bind(AF_INET6, reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
}

// Two engines on one machine (tests) begin at different places.
PortLeases::PortLeases(std::string dir)
    : dir_(std::move(dir)), next_(static_cast<std::uint16_t>(kFirst + ::getpid() * 37 % (kLast - kFirst))) {
  const auto entries = os::list_dir(dir_);
  if (!entries) {
    return;
  }
  for (const os::DirEntry& entry : *entries) {
    const auto attempt = parse_attempt_id(entry.name);
    const auto text = os::read_file(os::join_path(dir_, entry.name), 1 << 20);
    if (!attempt || !text) {
      continue;
    }
    for (const std::string_view word : split(trim(*text), ' ')) {
      const auto port = parse_int(word);
      if (port && *port >= kFirst && *port <= kLast) {
        leases_[*attempt].push_back(static_cast<std::uint16_t>(*port));
        taken_.insert(static_cast<std::uint16_t>(*port));
      }
    }
  }
}

Result<std::vector<std::uint16_t>> PortLeases::lease(model::AttemptId attempt, std::size_t count) {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint16_t> ports;
  for (int tried = 0; ports.size() < count && tried <= kLast - kFirst; ++tried) {
    const std::uint16_t port = next_;
    next_ = next_ == kLast ? kFirst : static_cast<std::uint16_t>(next_ + 1);
    if (!taken_.contains(port) && is_port_free(port)) {
      ports.push_back(port);
    }
  }
  if (ports.size() < count) {
    return make_error(ErrorCode::kResourceExhausted, "only " + std::to_string(ports.size()) + " of " +
                                                         std::to_string(count) +
                                                         " ports are free between 20000 and 29999");
  }
  std::vector<std::uint16_t> all = leases_[attempt];
  all.insert(all.end(), ports.begin(), ports.end());
  TRY(save(attempt, all));
  taken_.insert(ports.begin(), ports.end());
  leases_[attempt] = std::move(all);
  return ports;
}

std::vector<std::uint16_t> PortLeases::of(model::AttemptId attempt) const {
  const std::lock_guard lock(mutex_);
  const auto found = leases_.find(attempt);
  return found == leases_.end() ? std::vector<std::uint16_t>() : found->second;
}

void PortLeases::release(model::AttemptId attempt) {
  const std::lock_guard lock(mutex_);
  const auto found = leases_.find(attempt);
  if (found == leases_.end()) {
    return;
  }
  for (const std::uint16_t port : found->second) {
    taken_.erase(port);
  }
  leases_.erase(found);
  (void)os::remove_tree(os::join_path(dir_, attempt.to_string()));
}

void PortLeases::keep_only(const std::set<model::AttemptId>& attempts) {
  std::vector<model::AttemptId> others;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, ports] : leases_) {
      if (!attempts.contains(id)) {
        others.push_back(id);
      }
    }
  }
  for (const model::AttemptId& id : others) {
    release(id);
  }
}

Result<void> PortLeases::save(model::AttemptId attempt, const std::vector<std::uint16_t>& ports) const {
  std::string text;
  for (const std::uint16_t port : ports) {
    text += std::to_string(port) + " ";
  }
  return os::write_file_atomic(os::join_path(dir_, attempt.to_string()), text + "\n", 0600, os::Durability::kCached);
}

}  // namespace busbar::engine
