#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/event_fd.h"
#include "route/loads.h"
#include "route/table.h"

namespace busbar::gateway {

/// PEM files: a certificate with its chain, and its key.
struct TlsCertificate {
  std::string certificate_file = {};
  std::string key_file = {};  ///< "": in the same file.
};

struct GatewayOptions {
  std::string bind_address = "127.0.0.1";   ///< An IPv4 or IPv6 address.
  std::uint16_t port = 0;                   ///< 0: the kernel picks.
  std::size_t threads = 0;                  ///< 0: one a core.
  std::string access_log = {};              ///< A file that JSON lines are appended to; "": none.
  std::string name = {};                    ///< In Demand; unique among the gateways of a server.
  std::size_t max_clients = 1'000'000;      ///< Open connections; beyond: refused.
  bool has_thread_files = false;            ///< A table of descriptors for each thread, and its limit.
  std::int64_t idle_timeout_ms = 75'000;    ///< Of a connection between requests.
  std::int64_t head_timeout_ms = 10'000;    ///< From a request's first byte to the end of its head.
  std::int64_t body_timeout_ms = 60'000;    ///< Without progress of a body.
  std::int64_t connect_timeout_ms = 2'000;  ///< To a replica.
  // TLS has a port of its own, and needs certificates: the one that a client's SNI names is shown, else the first.
  std::vector<TlsCertificate> tls_certificates = {};
  std::string tls_bind_address = "127.0.0.1";
  std::uint16_t tls_port = 0;  ///< 0: the kernel picks.
};

/// The inference data plane: an HTTP/1.1 proxy on a thread a core, each with its own listening socket (SO_REUSEPORT),
/// that routes by `route::Table`. Keeps serving by the last table it was given, whoever else is down. Thread-safe.
/// Memory of an idle connection: 64 bytes and the kernel's.
class Gateway {
 public:
  /// kAlreadyExists: the port is taken; kInvalidArgument: not an address. Raises the process's limit of descriptors as
  /// far as it may.
  static Result<std::unique_ptr<Gateway>> start(GatewayOptions options);
  virtual ~Gateway() = default;  ///< stop(0)

  virtual std::uint16_t port() const = 0;
  virtual std::uint16_t tls_port() const = 0;  ///< 0: no TLS.
  /// Reads the certificates' files again, for connections that begin from now on; an error changes nothing.
  virtual Result<void> reload_certificates() = 0;
  /// Routes by this table from now on; requests under way end where they are. kInvalidArgument changes nothing.
  virtual Result<void> update(route::Table table) = 0;
  /// What other gateways have under way at replicas counts for choices from now on, until it is told anew.
  virtual void update_loads(const route::Loads& loads) = 0;
  /// 0 before the first update.
  virtual std::uint64_t table_version() const = 0;
  /// What was seen since the last call. One caller.
  virtual route::Demand take_demand() = 0;
  /// Set when a request begins to wait: ask for replicas now.
  virtual os::EventFd& demand_event() = 0;
  /// Prometheus text format 0.0.4.
  virtual std::string metrics_text() const = 0;
  /// Requests under way and connections open.
  virtual std::uint64_t clients() const = 0;
  /// Accepts no more; requests under way get up to `grace_ms`. Blocks. Idempotent.
  virtual void stop(std::int64_t grace_ms) = 0;
};

}  // namespace busbar::gateway
