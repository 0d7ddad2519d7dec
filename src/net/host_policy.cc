#include "net/internal/host_policy.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/text.h"

namespace busbar::net {

bool is_loopback_host(std::string_view host) {
  const std::string text(host);
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return text == "localhost" || text.ends_with(".localhost");
}

std::string host_without_port(std::string_view host_header) {
  std::string_view host = trim(host_header);
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    host = host.substr(1, end == std::string_view::npos ? end : end - 1);
  } else if (const std::size_t colon = host.find(':'); colon == host.rfind(':')) {
    host = host.substr(0, colon);
  }
  if (host.ends_with('.')) host.remove_suffix(1);
  return to_lower(host);
}

HostPolicy::HostPolicy(std::string_view bind_address, std::vector<std::string> allowed) {
  for (const std::string& host : allowed) allowed_.push_back(host_without_port(host));
  if (!allowed_.empty()) return;
  allows_loopback_ = is_loopback_host(bind_address);
  allows_all_ = !allows_loopback_;
}

bool HostPolicy::allows(std::string_view host_header) const {
  if (allows_all_) return true;
  const std::string host = host_without_port(host_header);
  if (allows_loopback_) return is_loopback_host(host);
  return std::find(allowed_.begin(), allowed_.end(), host) != allowed_.end();
}

}  // namespace busbar::net
