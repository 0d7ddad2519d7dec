#include "net/sse.h"

#include <algorithm>

#include "base/text.h"

namespace busbar::net {
namespace {

std::string without_line_breaks(std::string_view text) {
  std::string out(text);
  std::erase_if(out, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
  return out;
}

}  // namespace

std::string format_sse(const SseEvent& event) {
  std::string out;
  out.reserve(event.data.size() + event.id.size() + event.event.size() + 32);
  if (!event.id.empty()) out += "id: " + without_line_breaks(event.id) + "\n";
  if (!event.event.empty()) out += "event: " + without_line_breaks(event.event) + "\n";
  // A carriage return ends a line for every parser, so it cannot be carried; it becomes a line break.
  std::string data = event.data;
  for (std::size_t at = data.find("\r\n"); at != std::string::npos; at = data.find("\r\n", at)) data.erase(at, 1);
  std::replace(data.begin(), data.end(), '\r', '\n');
  for (std::string_view line : split(data, '\n')) {
    out += "data: ";
    out += line;
    out += '\n';
  }
  out += '\n';
  return out;
}

SseWriter SseWriter::start(HttpExchange& exchange, StreamOptions options) {
  options.heartbeat = ":\n\n";
  return SseWriter(exchange.start_stream(200,
                                         {{"Content-Type", "text/event-stream"},
                                          {"Cache-Control", "no-store"},
                                          {"X-Accel-Buffering", "no"}},  // nginx would hold events back
                                         std::move(options)));
}

bool SseWriter::comment(std::string_view text) {
  return stream_->write(": " + without_line_breaks(text) + "\n\n");
}

bool SseWriter::retry_ms(std::int64_t delay_ms) {
  return stream_->write("retry: " + std::to_string(delay_ms) + "\n\n");
}

Result<bool> SseParser::feed(std::string_view bytes, const std::function<bool(const SseEvent&)>& on_event) {
  while (!bytes.empty()) {
    if (skip_line_feed_) {
      skip_line_feed_ = false;
      if (bytes.front() == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
    }
    const std::size_t end = bytes.find_first_of("\r\n");
    line_ += bytes.substr(0, end);
    if (line_.size() + data_.size() > kMaxEventBytes) {
      return make_error(ErrorCode::kResourceExhausted,
                        "an event of more than " + std::to_string(kMaxEventBytes) + " bytes in the stream");
    }
    if (end == std::string_view::npos) break;
    skip_line_feed_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    const std::string line = std::exchange(line_, {});
    if (!take_line(line, on_event)) return false;
  }
  return true;
}

bool SseParser::take_line(std::string_view line, const std::function<bool(const SseEvent&)>& on_event) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (std::exchange(at_start_, false) && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  if (line.empty()) {
    const bool is_event = std::exchange(has_data_, false);
    SseEvent event{.id = last_id_, .event = std::exchange(event_, {}), .data = std::exchange(data_, {})};
    return !is_event || on_event(event);
  }
  const std::size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    if (has_data_) data_ += '\n';
    has_data_ = true;
    data_ += value;
  } else if (field == "event") {
    event_ = value;
  } else if (field == "id" && value.find('\0') == std::string_view::npos) {
    last_id_ = value;
  } else if (field == "retry") {
    if (const auto delay_ms = parse_int(value); delay_ms && *delay_ms >= 0) retry_ms_ = delay_ms;
  }
  return true;
}

}  // namespace busbar::net
