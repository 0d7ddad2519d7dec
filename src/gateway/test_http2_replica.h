#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/test_peers.h"

struct nghttp2_session;

namespace busbar::gateway::testing {

/// One HTTP/2 connection as a replica has it; a Backend's function makes one of its Peer. It checks nothing that it
/// sends, so that tests can be wrong; reads have Peer's deadline.
class Http2Replica {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;
  struct Settings {
    std::uint32_t streams = 100;
    std::uint32_t window = 65'535;  ///< Of each request's body.
  };
  struct Request {
    std::map<std::string, std::string> fields = {};
    std::map<std::string, std::string> trailers = {};
    std::string body = {};
    bool has_head = false;
    bool has_ended = false;
    bool was_reset = false;
    std::uint32_t reset_code = 0;
  };

  explicit Http2Replica(Peer& peer) : Http2Replica(peer, Settings{}) {}
  Http2Replica(Peer& peer, const Settings& settings);
  ~Http2Replica();
  Http2Replica(const Http2Replica&) = delete;
  Http2Replica& operator=(const Http2Replica&) = delete;

  /// The next request whose head has come; 0: the connection ended first.
  std::int32_t next();
  Request& request(std::int32_t id) { return requests_[id]; }
  /// Until all of it has come.
  Request& wait(std::int32_t id);
  void wait_until(const std::function<bool()>& holds);
  bool is_closed() const { return is_closed_; }

  /// Fields begin with :status.
  void answer(std::int32_t id, const Fields& fields, std::string_view body = {}, const Fields& trailers = {});
  /// Only the head; the body follows by `send_body`.
  void begin_answer(std::int32_t id, const Fields& fields);
  void send_body(std::int32_t id, std::string_view bytes);
  void end_answer(std::int32_t id, const Fields& trailers = {});
  void inform(std::int32_t id, const std::string& status);  ///< 1xx
  void reset(std::int32_t id, std::uint32_t code);
  void goaway(std::int32_t last);
  void allow(std::uint32_t window);  ///< Another window for each request's body.
  void flush();

 private:
  struct Callbacks;
  struct Body {
    std::string bytes = {};
    Fields trailers = {};
    bool has_ended = false;
  };
  void read_more();

  Peer& peer_;
  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, Request> requests_ = {};
  std::map<std::int32_t, Body> bodies_ = {};
  std::vector<std::int32_t> arrived_ = {};
  bool is_closed_ = false;
};

}  // namespace busbar::gateway::testing
