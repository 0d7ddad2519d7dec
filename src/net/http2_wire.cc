#include "net/http2_wire.h"

#include <algorithm>

namespace busbar::net {
namespace {

constexpr std::size_t kOutputBytes = 64 << 10;
constexpr std::size_t kKeptOutputBytes = 1024;

}  // namespace

std::string_view text_of(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

void Http2Fields::add_lines(std::string_view lines) {
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n"));
    lines.remove_prefix(std::min(lines.size(), line.size() + 2));
    const std::size_t colon = line.find(": ");
    if (colon != std::string_view::npos) add(line.substr(0, colon), line.substr(colon + 2));
  }
}

const std::vector<nghttp2_nv>& Http2Fields::values() {
  std::size_t size = 0;
  for (const Field& each : fields_) size += each.name.size();
  names_.clear();
  names_.reserve(size);
  values_.clear();
  for (const Field& each : fields_) {
    const std::size_t start = names_.size();
    for (const char c : each.name) names_ += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    values_.push_back({.name = reinterpret_cast<std::uint8_t*>(names_.data() + start),
                       .value = reinterpret_cast<std::uint8_t*>(const_cast<char*>(each.value.data())),
                       .namelen = each.name.size(),
                       .valuelen = each.value.size(),
                       .flags = NGHTTP2_NV_FLAG_NONE});
  }
  return values_;
}

bool Http2Output::fill(nghttp2_session* session) {
  while (bytes_.size() - sent_ < kOutputBytes) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t count = nghttp2_session_mem_send(session, &bytes);
    if (count < 0) return false;
    if (count == 0) break;
    bytes_.append(text_of(bytes, static_cast<std::size_t>(count)));
  }
  return true;
}

void Http2Output::sent(std::size_t bytes, bool is_idle) {
  sent_ += bytes;
  if (sent_ < bytes_.size()) return;
  bytes_.clear();
  sent_ = 0;
  if (is_idle && bytes_.capacity() > kKeptOutputBytes) bytes_.shrink_to_fit();
}

}  // namespace busbar::net
