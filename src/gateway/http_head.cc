#include "gateway/http_head.h"

#include <cstring>

#include "base/check.h"

namespace busbar::gateway {
namespace {

constexpr HeadFault kNoFault = {};
constexpr HeadFault bad(std::string_view text) {
  return {.status = 400, .text = text};
}

/// Characters of a token, RFC 9110 §5.6.2.
constexpr std::array<bool, 256> make_token_table() {
  std::array<bool, 256> table = {};
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (const char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}
constexpr std::array<bool, 256> kToken = make_token_table();

bool is_token(std::string_view text) {
  for (const char c : text) {
    if (!kToken[static_cast<unsigned char>(c)]) return false;
  }
  return !text.empty();
}

/// Whether some byte is a control character other than a tab. Eight bytes at a time; a tab only costs a second look.
bool has_control(std::string_view text) {
  constexpr std::uint64_t kOnes = 0x0101010101010101U;
  constexpr std::uint64_t kHigh = 0x8080808080808080U;
  const char* at = text.data();
  std::size_t left = text.size();
  bool is_suspect = false;
  const auto is_suspicious = [](const char* bytes) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes, 8);
    const std::uint64_t below_space = (word - kOnes * 0x20) & ~word;
    const std::uint64_t delete_xor = word ^ (kOnes * 0x7f);
    const std::uint64_t is_delete = (delete_xor - kOnes) & ~delete_xor;
    return ((below_space | is_delete) & kHigh) != 0;
  };
  for (; left >= 8 && !is_suspect; left -= 8, at += 8) {
    is_suspect = is_suspicious(at);
    if (is_suspect) break;
  }
  // The rest together with bytes that were looked at already.
  if (!is_suspect && left > 0 && text.size() >= 8) {
    is_suspect = is_suspicious(text.data() + text.size() - 8);
    if (!is_suspect) left = 0;
  }
  if (!is_suspect && left == 0) return false;
  for (const char c : std::string_view(at, left)) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return true;
  }
  return false;
}

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

struct KnownHeader {
  std::string_view name;
  HeaderId id;
};
// By length; names of the same length stand together.
constexpr KnownHeader kKnownHeaders[] = {{"te", HeaderId::kTe},
                                         {"host", HeaderId::kHost},
                                         {"expect", HeaderId::kExpect},
                                         {"trailer", HeaderId::kTrailer},
                                         {"upgrade", HeaderId::kUpgrade},
                                         {"x-api-key", HeaderId::kApiKey},
                                         {"connection", HeaderId::kConnection},
                                         {"keep-alive", HeaderId::kKeepAlive},
                                         {"x-busbar-key", HeaderId::kKeyId},
                                         {"content-type", HeaderId::kContentType},
                                         {"authorization", HeaderId::kAuthorization},
                                         {"content-length", HeaderId::kContentLength},
                                         {"x-busbar-tenant", HeaderId::kTenant},
                                         {"x-forwarded-for", HeaderId::kForwardedFor},
                                         {"proxy-connection", HeaderId::kProxyConnection},
                                         {"transfer-encoding", HeaderId::kTransferEncoding},
                                         {"x-forwarded-proto", HeaderId::kForwardedProto},
                                         {"proxy-authenticate", HeaderId::kProxyAuthenticate},
                                         {"proxy-authorization", HeaderId::kProxyAuthorization}};
constexpr std::size_t kLongestKnown = 19;

/// First entry of kKnownHeaders with a name of this length, and the one after the last.
struct LengthRange {
  std::uint8_t first = 0;
  std::uint8_t last = 0;
};
constexpr std::array<LengthRange, kLongestKnown + 1> make_length_ranges() {
  std::array<LengthRange, kLongestKnown + 1> ranges = {};
  for (std::uint8_t index = 0; index < std::size(kKnownHeaders); ++index) {
    LengthRange& range = ranges[kKnownHeaders[index].name.size()];
    if (range.last == 0) range.first = index;
    range.last = static_cast<std::uint8_t>(index + 1);
  }
  return ranges;
}
constexpr std::array<LengthRange, kLongestKnown + 1> kLengthRanges = make_length_ranges();

/// Whether a token is this name of lower-case letters and hyphens, ignoring case. Eight characters at a time: no other
/// character of a token becomes one of those by the bit that makes capitals small.
bool is_name(std::string_view token, std::string_view known) {
  const std::size_t size = known.size();
  if (token.size() != size) return false;
  const auto word = [](const char* at) {
    std::uint64_t value = 0;
    std::memcpy(&value, at, 8);
    return value;
  };
  constexpr std::uint64_t kSmall = 0x2020202020202020U;
  if (size < 8) return equals_ignoring_case(token, known);
  for (std::size_t at = 0; at + 8 <= size; at += 8) {
    if ((word(token.data() + at) | kSmall) != word(known.data() + at)) return false;
  }
  return (word(token.data() + size - 8) | kSmall) == word(known.data() + size - 8);
}

HeaderId header_id(std::string_view name) {
  if (name.size() > kLongestKnown) return HeaderId::kOther;
  const LengthRange range = kLengthRanges[name.size()];
  for (std::size_t index = range.first; index < range.last; ++index) {
    const std::string_view known = kKnownHeaders[index].name;
    if (is_name(name, known)) return kKnownHeaders[index].id;
  }
  return HeaderId::kOther;
}

bool is_hop_by_hop(HeaderId id) {
  switch (id) {
    case HeaderId::kConnection:
    case HeaderId::kExpect:
    case HeaderId::kKeepAlive:
    case HeaderId::kKeyId:
    case HeaderId::kProxyAuthenticate:
    case HeaderId::kProxyAuthorization:
    case HeaderId::kProxyConnection:
    case HeaderId::kTe:
    case HeaderId::kTenant:
    case HeaderId::kTrailer:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade:
      return true;
    case HeaderId::kOther:
    case HeaderId::kApiKey:
    case HeaderId::kAuthorization:
    case HeaderId::kContentLength:
    case HeaderId::kContentType:
    case HeaderId::kForwardedFor:
    case HeaderId::kForwardedProto:
    case HeaderId::kHost:
      return false;
  }
  return false;
}

/// Whether "HTTP/1.x" stands there, and which x: 0 or 1. Others: 255.
std::uint8_t minor_version_of(std::string_view text) {
  if (text == "HTTP/1.1") return 1;
  return text == "HTTP/1.0" ? 0 : 255;
}

/// The name in a Host field or an authority: without port. Sets `is_bad` for what is no host.
std::string_view host_name(std::string_view value, bool& is_bad) {
  std::size_t end = value.size();
  if (!value.empty() && value.front() == '[') {
    end = value.find(']');
    if (end == std::string_view::npos) {
      is_bad = true;
      return {};
    }
    ++end;
  } else {
    end = value.find(':');
    if (end == std::string_view::npos) end = value.size();
  }
  const std::string_view port = value.substr(end);
  for (const char c : port.substr(port.empty() ? 0 : 1)) is_bad = is_bad || c < '0' || c > '9';
  if (!port.empty() && port.front() != ':') is_bad = true;
  const std::string_view name = value.substr(0, end);
  for (const char c : name) {
    // reg-name, IP literal: RFC 3986 §3.2.2. No user information, no path.
    const bool is_fine = kToken[static_cast<unsigned char>(c)] || c == '[' || c == ']' || c == ':' || c == '(' ||
                         c == ')' || c == ',' || c == ';' || c == '=';
    is_bad = is_bad || !is_fine;
  }
  return name;
}

}  // namespace

bool equals_ignoring_case(std::string_view left, std::string_view right) {
  if (left.size() != right.size()) return false;
  if (std::memcmp(left.data(), right.data(), left.size()) == 0) return true;
  for (std::size_t index = 0; index < left.size(); ++index) {
    if (lower(left[index]) != lower(right[index])) return false;
  }
  return true;
}

struct HeadParser::Fields {
  bool has_length = false;
  bool has_coding = false;
  bool is_chunked = false;
  bool has_host = false;
  bool has_connection = false;
  bool says_close = false;
  bool says_keep_alive = false;
  bool says_upgrade = false;
  bool has_upgrade = false;
  bool has_expect = false;
  bool is_event_stream = false;
  std::uint64_t content_length = 0;
  std::string_view host = {};
};

std::size_t HeadParser::head_size(std::string_view bytes, std::size_t scanned) {
  // memmem is for long needles: from line to line is four times faster.
  const char* const begin = bytes.data();
  const char* const end = begin + bytes.size();
  const char* at = begin + (scanned < 3 ? 0 : scanned - 3);
  while (at < end) {
    at = static_cast<const char*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at)));
    if (at == nullptr) return 0;
    ++at;
    if (at - begin >= 4 && std::memcmp(at - 4, "\r\n\r\n", 4) == 0) return static_cast<std::size_t>(at - begin);
  }
  return 0;
}

HeadFault HeadParser::parse_fields(std::string_view rest, Fields& fields) {
  header_count_ = 0;
  while (rest.size() > 2) {
    const void* found = std::memchr(rest.data(), '\n', rest.size());
    CHECK(found != nullptr);  // The head ends with CR LF CR LF.
    const std::size_t size = static_cast<std::size_t>(static_cast<const char*>(found) - rest.data()) + 1;
    const std::string_view line = rest.substr(0, size);
    rest.remove_prefix(size);
    if (line.size() < 2 || line[line.size() - 2] != '\r') return bad("a header line ends with a bare line feed");
    if (header_count_ == kMaxHeaders) return {.status = 431, .text = "more than 100 header fields"};
    HeaderLine& header = headers_[header_count_];
    std::size_t colon = 0;
    while (colon < line.size() && kToken[static_cast<unsigned char>(line[colon])]) ++colon;
    if (colon == 0) {
      return bad(line.front() == ' ' || line.front() == '\t' ? "a header continues on a second line (obs-fold)"
                                                             : "a header line does not begin with a field name");
    }
    if (line[colon] != ':') return bad("a header's name holds a character that is none of a name");
    const std::string_view value = line.substr(colon + 1, line.size() - colon - 3);
    if (has_control(value)) return bad("a header's value holds a control character");
    header = {.line = line, .name = line.substr(0, colon), .value = trim(value)};
    header.id = header_id(header.name);
    header.is_hop_by_hop = is_hop_by_hop(header.id);
    ++header_count_;
    if (header.id != HeaderId::kOther) {
      const HeadFault fault = take_field(header, fields);
      if (fault.is_fault()) return fault;
    }
  }
  if (!fields.has_connection) return kNoFault;
  for (std::size_t index = 0; index < header_count_; ++index) {
    if (headers_[index].id != HeaderId::kConnection) continue;
    const HeadFault fault = mark_connection_fields(headers_[index].value);
    if (fault.is_fault()) return fault;
  }
  return kNoFault;
}

HeadFault HeadParser::take_field(HeaderLine& header, Fields& fields) {
  switch (header.id) {
    case HeaderId::kHost: {
      if (fields.has_host) return bad("two Host fields");
      fields.has_host = true;
      bool is_bad = false;
      fields.host = host_name(header.value, is_bad);
      return is_bad || fields.host.empty() ? bad("the Host field is not a host") : kNoFault;
    }
    case HeaderId::kContentLength: {
      if (fields.has_length) return bad("two Content-Length fields");
      fields.has_length = true;
      if (header.value.empty() || header.value.size() > 18) return bad("Content-Length is not a length");
      for (const char c : header.value) {
        if (c < '0' || c > '9') return bad("Content-Length is not a number of digits");
        fields.content_length = fields.content_length * 10 + static_cast<std::uint64_t>(c - '0');
      }
      return kNoFault;
    }
    case HeaderId::kTransferEncoding:
      if (fields.has_coding) return bad("two Transfer-Encoding fields");
      fields.has_coding = true;
      fields.is_chunked = equals_ignoring_case(header.value, "chunked");
      if (!fields.is_chunked) return {.status = 501, .text = "Transfer-Encoding is something else than chunked"};
      return kNoFault;
    case HeaderId::kConnection:
      fields.has_connection = true;
      return take_connection(header.value, fields);
    case HeaderId::kUpgrade:
      fields.has_upgrade = true;
      return kNoFault;
    case HeaderId::kExpect:
      if (!equals_ignoring_case(header.value, "100-continue")) {
        return {.status = 417, .text = "Expect is something else than 100-continue"};
      }
      fields.has_expect = true;
      return kNoFault;
    case HeaderId::kContentType:
      fields.is_event_stream = equals_ignoring_case(header.value.substr(0, 17), "text/event-stream");
      return kNoFault;
    case HeaderId::kOther:
    case HeaderId::kApiKey:
    case HeaderId::kAuthorization:
    case HeaderId::kForwardedFor:
    case HeaderId::kForwardedProto:
    case HeaderId::kKeepAlive:
    case HeaderId::kKeyId:
    case HeaderId::kProxyAuthenticate:
    case HeaderId::kProxyAuthorization:
    case HeaderId::kProxyConnection:
    case HeaderId::kTe:
    case HeaderId::kTenant:
    case HeaderId::kTrailer:
      return kNoFault;
  }
  return kNoFault;
}

namespace {

/// Calls `each` with the items of a comma-separated list, trimmed, empty ones left out; stops when it gives a fault.
template <class Each>
HeadFault each_item(std::string_view list, Each each) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view item = trim(list.substr(0, comma));
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    if (item.empty()) continue;
    const HeadFault fault = each(item);
    if (fault.is_fault()) return fault;
  }
  return kNoFault;
}

}  // namespace

HeadFault HeadParser::take_connection(std::string_view value, Fields& fields) {
  return each_item(value, [&fields](std::string_view item) {
    if (!is_token(item)) return bad("Connection holds something else than names");
    fields.says_close = fields.says_close || is_name(item, "close");
    fields.says_keep_alive = fields.says_keep_alive || is_name(item, "keep-alive");
    fields.says_upgrade = fields.says_upgrade || is_name(item, "upgrade");
    return kNoFault;
  });
}

HeadFault HeadParser::mark_connection_fields(std::string_view value) {
  return each_item(value, [this](std::string_view item) {
    for (std::size_t index = 0; index < header_count_; ++index) {
      HeaderLine& header = headers_[index];
      if (!equals_ignoring_case(item, header.name)) continue;
      const bool belongs_to_message = header.id == HeaderId::kHost || header.id == HeaderId::kContentLength ||
                                      header.id == HeaderId::kTransferEncoding || header.id == HeaderId::kApiKey ||
                                      header.id == HeaderId::kAuthorization || header.id == HeaderId::kContentType;
      if (belongs_to_message) return bad("Connection names a field that belongs to the message itself");
      header.is_hop_by_hop = true;
    }
    return kNoFault;
  });
}

HeadFault HeadParser::parse_request_line(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return bad("the request line is not method, target, version");
  request_.method = line.substr(0, first);
  request_.target = line.substr(first + 1, last - first - 1);
  if (!is_token(request_.method)) return bad("the method is not a name");
  const std::string_view version = line.substr(last + 1);
  request_.minor_version = minor_version_of(version);
  if (request_.minor_version == 255) {
    const bool is_http = version.size() == 8 && version.substr(0, 5) == "HTTP/" && version[6] == '.';
    return is_http ? HeadFault{.status = 505, .text = "only HTTP/1.0 and HTTP/1.1 are understood here"}
                   : bad("the request line does not end with a version");
  }
  for (const char c : request_.target) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '#') return bad("the target holds a character that must be encoded");
  }
  return kNoFault;
}

// Brings the target into origin form; an absolute one must name the same host as the Host field.
HeadFault HeadParser::check_target() {
  std::string_view& target = request_.target;
  if (target.empty()) return bad("the target is empty");
  if (target.front() != '/') {
    constexpr std::string_view kScheme = "http://";
    if (request_.method == "CONNECT") return {.status = 501, .text = "CONNECT is not offered here"};
    if (!equals_ignoring_case(target.substr(0, kScheme.size()), kScheme)) {
      return bad("the target is neither a path nor an http:// address");
    }
    const std::string_view rest = target.substr(kScheme.size());
    const std::size_t slash = rest.find_first_of("/?");
    const std::string_view authority = rest.substr(0, slash);
    bool is_bad = false;
    const std::string_view name = host_name(authority, is_bad);
    if (is_bad || name.empty()) return bad("the target's host is not a host");
    if (!equals_ignoring_case(name, request_.host)) return bad("the target names another host than the Host field");
    if (slash == std::string_view::npos || rest[slash] != '/') return bad("the target has no path");
    target = rest.substr(slash);
  }
  request_.path = target.substr(0, target.find('?'));
  return kNoFault;
}

HeadFault HeadParser::frame_request(const Fields& fields) {
  request_.host = fields.host;
  if (!fields.has_host && request_.minor_version == 1) return bad("HTTP/1.1 without a Host field");
  if (fields.has_coding && fields.has_length) return bad("both Content-Length and Transfer-Encoding");
  if (fields.has_coding && request_.minor_version == 0) return bad("Transfer-Encoding in HTTP/1.0");
  request_.framing = fields.has_coding                                ? Framing::kChunked
                     : fields.has_length && fields.content_length > 0 ? Framing::kLength
                                                                      : Framing::kNone;
  request_.content_length = fields.content_length;
  request_.keeps_alive = !fields.says_close && (request_.minor_version == 1 || fields.says_keep_alive);
  request_.expects_continue = fields.has_expect && request_.minor_version == 1;
  request_.is_upgrade = fields.says_upgrade && fields.has_upgrade && request_.minor_version == 1;
  request_.headers = std::span(headers_).first(header_count_);
  return check_target();
}

HeadFault HeadParser::parse_request(std::string_view head) {
  request_ = {};
  const std::size_t end = head.find('\n');
  CHECK(end != std::string_view::npos);
  if (end == 0 || head[end - 1] != '\r') return bad("the request line ends with a bare line feed");
  HeadFault fault = parse_request_line(head.substr(0, end - 1));
  if (fault.is_fault()) return fault;
  Fields fields;
  fault = parse_fields(head.substr(end + 1), fields);
  if (fault.is_fault()) return fault;
  return frame_request(fields);
}

HeadFault HeadParser::parse_response(std::string_view head) {
  response_ = {};
  const std::size_t end = head.find('\n');
  CHECK(end != std::string_view::npos);
  if (end < 13 || head[end - 1] != '\r') return {.status = 502, .text = "the replica's status line is broken"};
  const std::string_view line = head.substr(0, end - 1);
  response_.minor_version = minor_version_of(line.substr(0, 8));
  const auto is_digit = [&line](std::size_t at) { return line[at] >= '0' && line[at] <= '9'; };
  if (response_.minor_version == 255 || line[8] != ' ' || !is_digit(9) || !is_digit(10) || !is_digit(11) ||
      (line.size() > 12 && line[12] != ' ') || line[9] == '0' || has_control(line)) {
    return {.status = 502, .text = "the replica's status line is broken"};
  }
  response_.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  response_.reason = line.size() > 13 ? line.substr(13) : std::string_view();
  Fields fields;
  HeadFault fault = parse_fields(head.substr(end + 1), fields);
  if (fault.is_fault()) return {.status = 502, .text = fault.text};
  if (fields.has_coding && fields.has_length) {
    return {.status = 502, .text = "the replica sent both Content-Length and Transfer-Encoding"};
  }
  response_.framing = fields.has_coding   ? Framing::kChunked
                      : fields.has_length ? (fields.content_length > 0 ? Framing::kLength : Framing::kNone)
                                          : Framing::kUntilClose;
  response_.content_length = fields.content_length;
  response_.keeps_alive = !fields.says_close && (response_.minor_version == 1 || fields.says_keep_alive);
  response_.is_event_stream = fields.is_event_stream;
  response_.headers = std::span(headers_).first(header_count_);
  return kNoFault;
}

}  // namespace busbar::gateway
