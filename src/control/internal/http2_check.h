#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/health_checker.h"
#include "net/http2_wire.h"

namespace busbar::control {

/// The talk of one check over HTTP/2 without TLS (RFC 9113 §3.3, prior knowledge), without its socket: a GET of a path,
/// or `Check` of gRPC's health service (grpc/doc/health-checking.md, grpc.health.v1). One request a connection. Not
/// thread-safe.
class Http2Check {
 public:
  /// `where` begins the messages.
  Http2Check(const HealthTarget& target, std::string where);
  ~Http2Check();
  Http2Check(const Http2Check&) = delete;
  Http2Check& operator=(const Http2Check&) = delete;

  /// Bytes for the replica: the request at first, acknowledgements later. May be empty.
  std::string take_output();
  /// Bytes of the replica; none: it has closed. nullopt: more must come.
  std::optional<Result<void>> feed(std::string_view bytes);

 private:
  struct Callbacks;
  void submit(const HealthTarget& target);
  Result<void> verdict() const;
  Result<void> grpc_verdict() const;

  const std::string where_;
  const bool is_grpc_;
  nghttp2_session* session_ = nullptr;
  net::Http2Output output_ = {};
  std::string message_ = {};  ///< Of the request: gRPC's frame. What is left to send of it.
  std::string status_ = {};
  std::string grpc_status_ = {};
  std::string body_ = {};
  bool is_over_ = false;
  bool was_reset_ = false;
};

}  // namespace busbar::control
