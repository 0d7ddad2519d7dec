#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/ids.h"

namespace busbar::engine {

/// TCP ports of this machine lent to attempts: 20000 to 29999, below the ports that the kernel gives to outgoing
/// connections (32768 and up by default), so that a leased port is not taken by chance between the lease and its use.
/// A port is lent once, and only if nobody listens on it now. Leases are files (one an attempt), so that they survive a
/// restart. Thread-safe.
class PortLeases {
 public:
  /// Reads the leases in `dir`.
  explicit PortLeases(std::string dir);

  /// kResourceExhausted when fewer are free.
  Result<std::vector<std::uint16_t>> lease(model::AttemptId attempt, std::size_t count);
  std::vector<std::uint16_t> of(model::AttemptId attempt) const;
  void release(model::AttemptId attempt);
  /// Gives up the leases of all others.
  void keep_only(const std::set<model::AttemptId>& attempts);

 private:
  Result<void> save(model::AttemptId attempt, const std::vector<std::uint16_t>& ports) const;

  const std::string dir_;
  mutable std::mutex mutex_;
  std::map<model::AttemptId, std::vector<std::uint16_t>> leases_;
  std::set<std::uint16_t> taken_;
  std::uint16_t next_;
};

/// True if a listener could be opened on the port on every address of the machine.
bool is_port_free(std::uint16_t port);

}  // namespace busbar::engine
