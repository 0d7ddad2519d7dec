#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"

/// What every session of nghttp2 here needs, whichever side it is and whatever it is for. Not thread-safe. The gateway
/// and the health checks of the server have sessions of their own.
namespace busbar::net {

/// As nghttp2 gives bytes and takes them.
std::string_view text_of(const std::uint8_t* bytes, std::size_t size);

/// Fields of one head on their way out. Reused from head to head.
class Http2Fields {
 public:
  /// Views: valid until `values` has been used. Names become small letters.
  void add(std::string_view name, std::string_view value) { fields_.push_back({name, value}); }
  /// "Name: value" CR LF, as many as there are.
  void add_lines(std::string_view lines);
  void clear() { fields_.clear(); }
  const std::vector<nghttp2_nv>& values();

 private:
  struct Field {
    std::string_view name;
    std::string_view value;
  };
  std::vector<Field> fields_ = {};
  std::vector<nghttp2_nv> values_ = {};
  std::string names_ = {};
};

/// Frames that the socket has not taken.
class Http2Output {
 public:
  /// Makes more of them, up to about 64 KiB. False: the session is broken.
  bool fill(nghttp2_session* session);
  std::string_view view() const { return std::string_view(bytes_).substr(sent_); }
  /// `is_idle`: little is kept.
  void sent(std::size_t bytes, bool is_idle);

 private:
  std::string bytes_ = {};
  std::size_t sent_ = 0;
};

/// What bounds a peer of HTTP/2 whatever it sends; windows are opened by hand. The caller deletes it.
inline nghttp2_option* make_bounded_options() {
  nghttp2_option* options = nullptr;
  CHECK(nghttp2_option_new(&options) == 0);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_no_closed_streams(options, 1);
  nghttp2_option_set_max_outbound_ack(options, 100);
  nghttp2_option_set_max_settings(options, 32);
  nghttp2_option_set_max_continuations(options, 8);
  return options;
}

}  // namespace busbar::net
