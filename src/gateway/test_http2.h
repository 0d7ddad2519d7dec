#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/test_peers.h"
#include "gateway/test_tls.h"

struct nghttp2_session;

namespace busbar::gateway::testing {

/// One HTTP/2 connection as a client has it. It checks nothing that it sends, so that tests can be wrong; reads have
/// Peer's deadline.
class Http2Peer {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;
  struct Answer {
    int status = 0;
    std::map<std::string, std::string> fields = {};
    std::string body = {};
    bool has_ended = false;  ///< END_STREAM, or reset.
    bool was_reset = false;
    std::uint32_t reset_code = 0;
    int informational = 0;  ///< Of 1xx.
  };

  /// By prior knowledge. `window`: of each stream, for what the gateway sends.
  static std::unique_ptr<Http2Peer> connect(std::uint16_t port, std::uint32_t window = 65'535);
  static std::unique_ptr<Http2Peer> connect_tls(std::uint16_t port);
  ~Http2Peer();
  Http2Peer(const Http2Peer&) = delete;
  Http2Peer& operator=(const Http2Peer&) = delete;

  static Fields get(std::string path);
  static Fields post(std::string path);

  /// Begins a request; without `body` it ends with its head unless `is_open`.
  std::int32_t ask(const Fields& fields, std::string_view body = {}, bool is_open = false);
  void send_body(std::int32_t id, std::string_view bytes, bool is_end);
  void send_trailers(std::int32_t id, const Fields& trailers);  ///< The end.
  void reset(std::int32_t id);
  void send_raw(std::string_view bytes);
  void flush();
  /// Reads until this holds, or the connection ends.
  void wait_until(const std::function<bool()>& holds);
  Answer& wait(std::int32_t id);  ///< Until its stream has ended.
  Answer& answer(std::int32_t id) { return answers_[id]; }
  bool is_closed() const { return is_closed_; }
  bool has_goaway() const { return goaways_ > 0; }
  int goaways() const { return goaways_; }
  std::uint32_t goaway_code() const { return goaway_code_; }
  int pings_answered() const { return pings_; }

 private:
  struct Callbacks;
  explicit Http2Peer(std::uint32_t window);
  void read_more();

  std::function<void(std::string_view)> write_ = {};
  std::function<std::string()> read_ = {};
  std::shared_ptr<void> transport_ = {};
  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, Answer> answers_ = {};
  std::map<std::int32_t, std::pair<std::string, bool>> bodies_ = {};  ///< What is to be sent, and whether it ends.
  std::map<std::int32_t, Fields> trailers_ = {};
  bool is_closed_ = false;
  int goaways_ = 0;
  std::uint32_t goaway_code_ = 0;
  int pings_ = 0;
};

/// A frame as it goes over the wire.
std::string frame(std::uint8_t type, std::uint8_t flags, std::int32_t stream, std::string_view payload);
/// The client's preface with an empty SETTINGS.
std::string preface();

}  // namespace busbar::gateway::testing
