#include "net/internal/target.h"

#include "base/text.h"

namespace busbar::net {
namespace {

constexpr std::string_view kHexDigits = "0123456789ABCDEF";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_unreserved(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

Result<std::vector<NameValue>> parse_query(std::string_view text) {
  std::vector<NameValue> query;
  if (text.empty()) return query;
  for (std::string_view item : split(text, '&')) {
    if (item.empty()) continue;
    const std::size_t equals = item.find('=');
    TRY_ASSIGN(std::string name, percent_decode(item.substr(0, equals), PlusSign::kSpace));
    std::string value;
    if (equals != std::string_view::npos) {
      TRY_ASSIGN(value, percent_decode(item.substr(equals + 1), PlusSign::kSpace));
    }
    query.emplace_back(std::move(name), std::move(value));
  }
  return query;
}

Result<void> check_path(std::string_view path) {
  if (!is_valid_utf8(path)) return make_error(ErrorCode::kInvalidArgument, "the path is not UTF-8");
  for (std::string_view segment : split(path, '/')) {
    if (segment == "." || segment == "..") {
      return make_error(ErrorCode::kInvalidArgument, "the path has a \".\" or \"..\" segment");
    }
  }
  return {};
}

}  // namespace

std::string percent_encode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (is_unreserved(c)) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kHexDigits[byte >> 4];
      out += kHexDigits[byte & 15];
    }
  }
  return out;
}

Result<std::string> percent_decode(std::string_view text, PlusSign plus) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus == PlusSign::kSpace) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
      if (high < 0 || low < 0) return make_error(ErrorCode::kInvalidArgument, "bad % escape in the URL");
      if (high == 0 && low == 0) return make_error(ErrorCode::kInvalidArgument, "%00 in the URL");
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

std::string make_target(std::string_view path, const std::vector<NameValue>& query) {
  std::string target(path);
  char separator = '?';
  for (const auto& [name, value] : query) {
    target += separator;
    target += percent_encode(name) + "=" + percent_encode(value);
    separator = '&';
  }
  return target;
}

Result<Target> parse_target(std::string_view method, std::string_view target) {
  if (target == "*" && method == "OPTIONS") return Target{.path = "*", .query = {}};
  if (target.empty() || target.front() != '/') {
    return make_error(ErrorCode::kInvalidArgument, "the request target must be a path that begins with \"/\"");
  }
  for (char c : target) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '#') {
      return make_error(ErrorCode::kInvalidArgument, "a character in the request target needs percent encoding");
    }
  }
  const std::size_t question = target.find('?');
  TRY_ASSIGN(std::string path, percent_decode(target.substr(0, question)));
  TRY(check_path(path));
  std::vector<NameValue> query;
  if (question != std::string_view::npos) {
    TRY_ASSIGN(query, parse_query(target.substr(question + 1)));
  }
  return Target{.path = std::move(path), .query = std::move(query)};
}

}  // namespace busbar::net
