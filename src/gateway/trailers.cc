#include "gateway/trailers.h"

#include <algorithm>
#include <array>

#include "gateway/http_head.h"
#include "gateway/internal/scan.h"

namespace busbar::gateway {
namespace {

constexpr std::size_t kKeptBytes = 4096;
constexpr std::string_view kEmptySection = "\r\n";

/// Sorted.
constexpr std::array kNoTrailers = {std::string_view("age"),
                                    std::string_view("allow"),
                                    std::string_view("alt-svc"),
                                    std::string_view("authorization"),
                                    std::string_view("cache-control"),
                                    std::string_view("connection"),
                                    std::string_view("content-encoding"),
                                    std::string_view("content-length"),
                                    std::string_view("content-location"),
                                    std::string_view("content-range"),
                                    std::string_view("content-type"),
                                    std::string_view("cookie"),
                                    std::string_view("date"),
                                    std::string_view("expect"),
                                    std::string_view("expires"),
                                    std::string_view("forwarded"),
                                    std::string_view("host"),
                                    std::string_view("http2-settings"),
                                    std::string_view("if-match"),
                                    std::string_view("if-modified-since"),
                                    std::string_view("if-none-match"),
                                    std::string_view("if-range"),
                                    std::string_view("if-unmodified-since"),
                                    std::string_view("keep-alive"),
                                    std::string_view("location"),
                                    std::string_view("max-forwards"),
                                    std::string_view("pragma"),
                                    std::string_view("proxy-authenticate"),
                                    std::string_view("proxy-authorization"),
                                    std::string_view("proxy-connection"),
                                    std::string_view("range"),
                                    std::string_view("retry-after"),
                                    std::string_view("set-cookie"),
                                    std::string_view("te"),
                                    std::string_view("trailer"),
                                    std::string_view("transfer-encoding"),
                                    std::string_view("upgrade"),
                                    std::string_view("vary"),
                                    std::string_view("via"),
                                    std::string_view("www-authenticate"),
                                    std::string_view("x-api-key"),
                                    std::string_view("x-real-ip")};
static_assert(std::is_sorted(kNoTrailers.begin(), kNoTrailers.end()));

bool may_be_trailer(std::string_view name) {
  return !name.empty() && name.front() != ':' && !name.starts_with("x-busbar-") && !name.starts_with("x-forwarded-") &&
         !std::binary_search(kNoTrailers.begin(), kNoTrailers.end(), name);
}

std::string_view trim_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool lists(std::string_view names, std::string_view name) {
  while (!names.empty()) {
    const std::string_view item = names.substr(0, names.find(','));
    names.remove_prefix(std::min(names.size(), item.size() + 1));
    if (equals_ignoring_case(trim_blanks(item), name)) return true;
  }
  return false;
}

bool is_field_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), internal::is_token_character);
}

}  // namespace

void Trailers::forget() {
  for (std::string* text : {&lines, &connection}) {
    text->clear();
    if (text->capacity() > kKeptBytes) text->shrink_to_fit();
  }
}

bool append_trailer(std::string& lines, std::string_view name, std::string_view value, std::string_view connection) {
  const std::size_t before = lines.size();
  if (before + name.size() + value.size() + 4 > kMaxTrailerBytes) return false;
  for (const char c : name) lines += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  const std::string_view lowered = std::string_view(lines).substr(before);
  if (!may_be_trailer(lowered) || lists(connection, lowered)) {
    lines.resize(before);
    return true;
  }
  lines.append(": ").append(value).append("\r\n");
  return true;
}

bool close_section(Trailers& trailers) {
  if (trailers.lines == kEmptySection) {
    trailers.lines.clear();
    return true;
  }
  std::string kept;
  std::size_t count = 0;
  std::string_view section = trailers.lines;
  while (!section.empty() && section != kEmptySection) {
    const std::string_view line = section.substr(0, section.find("\r\n"));
    section.remove_prefix(std::min(section.size(), line.size() + 2));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_field_name(line.substr(0, colon)) || ++count > kMaxHeaders) return false;
    if (!append_trailer(kept, line.substr(0, colon), trim_blanks(line.substr(colon + 1)), trailers.connection))
      return false;
  }
  trailers.lines = std::move(kept);
  return true;
}

}  // namespace busbar::gateway
