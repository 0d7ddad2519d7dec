#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "net/http.h"

namespace busbar::net {

/// Turns the bytes of one connection into requests, one at a time; knows nothing of sockets, so the fuzzer feeds it
/// too. Beast's HTTP/1 parser, plus the checks that it leaves to us. Not thread-safe.
///
///   feed(bytes) -> kComplete -> take() -> feed({}) parses what came behind (pipelining) -> ...
///
/// kFailed is final: answer `failure()` and close.
class RequestParser {
 public:
  struct Limits {
    std::size_t max_header_bytes = 32 << 10;
    std::size_t max_body_bytes = 16 << 20;
  };
  enum class State {
    kHead,      ///< Wants more of the request line and headers.
    kBody,      ///< The head is fine; wants more of the body.
    kComplete,  ///< `take()` gives the request; further bytes wait.
    kFailed,
  };
  struct Failure {
    int status = 400;
    Error error;
  };

  explicit RequestParser(Limits limits);
  ~RequestParser();

  State feed(std::string_view bytes);
  State state() const;
  /// No byte of a request has come since the last one was taken.
  bool is_between_requests() const;
  /// Bytes that no request has consumed yet.
  std::size_t buffered_bytes() const;
  /// kComplete only. The parser is at kHead again; `peer` is left to the caller.
  HttpRequest take();
  const Failure& failure() const;

  /// From kBody on, until `take`.
  bool expects_continue() const;
  /// Of the request just taken: the client would keep the connection, and spoke HTTP/1.0 (so no chunks).
  bool was_keep_alive() const;
  bool was_http_1_0() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace busbar::net
