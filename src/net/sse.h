#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/server.h"

/// Server-sent events (HTML standard §9.2), both ends: a watch or a log is one long answer made of small events.
namespace busbar::net {

struct SseEvent {
  std::string id = {};     ///< "" for none. No line breaks (they are dropped).
  std::string event = {};  ///< "" means "message". No line breaks (they are dropped).
  std::string data = {};   ///< May have several lines; CR LF and CR arrive as LF.
  friend bool operator==(const SseEvent&, const SseEvent&) = default;
};

/// The event's text on the wire, with its closing empty line.
std::string format_sse(const SseEvent& event);

/// The server's end. Thread-safe as its StreamWriter is; a copy is the same stream. The server sends a comment each 15
/// s.
class SseWriter {
 public:
  /// Answers 200 text/event-stream. `options.heartbeat` is set here.
  static SseWriter start(HttpExchange& exchange, StreamOptions options = {});

  bool send(const SseEvent& event) { return stream_->write(format_sse(event)); }
  /// A line that clients skip.
  bool comment(std::string_view text);
  /// Tells the client how long to wait before it reconnects.
  bool retry_ms(std::int64_t delay_ms);
  StreamWriter& stream() { return *stream_; }
  void end() { stream_->end(); }

 private:
  explicit SseWriter(std::shared_ptr<StreamWriter> stream) : stream_(std::move(stream)) {}
  std::shared_ptr<StreamWriter> stream_;
};

/// The client's end: takes bytes in any pieces, gives whole events. Not thread-safe.
class SseParser {
 public:
  /// Calls for each event completed by these bytes; stops early, giving false, when the callback gives false.
  /// kResourceExhausted when one event grows beyond `max_event_bytes`.
  Result<bool> feed(std::string_view bytes, const std::function<bool(const SseEvent&)>& on_event);

  const std::string& last_event_id() const { return last_id_; }  ///< To be sent as Last-Event-ID on reconnect.
  std::optional<std::int64_t> retry_ms() const { return retry_ms_; }

  static constexpr std::size_t kMaxEventBytes = 16 << 20;

 private:
  bool take_line(std::string_view line, const std::function<bool(const SseEvent&)>& on_event);

  std::string line_;
  std::string event_;
  std::string data_;
  bool has_data_ = false;
  bool skip_line_feed_ = false;
  bool at_start_ = true;
  std::string last_id_;
  std::optional<std::int64_t> retry_ms_;
};

}  // namespace busbar::net
