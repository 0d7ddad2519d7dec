#include "gateway/http_head.h"

#include <algorithm>
#include <cstring>

#include "gateway/internal/header_names.h"
#include "gateway/internal/scan.h"

namespace busbar::gateway {
namespace {

constexpr HeadFault kNoFault = {};
constexpr HeadFault bad(std::string_view text) {
  return {.status = 400, .text = text};
}

bool is_token(std::string_view text) {
  const char* const end = text.data() + text.size();
  return !text.empty() && internal::find_token_end(text.data(), end) == end;
}

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

template <class IsIn>
constexpr std::array<bool, 256> make_table(IsIn is_in) {
  std::array<bool, 256> table = {};
  for (std::size_t byte = 0; byte < 256; ++byte) table[byte] = is_in(static_cast<char>(byte));
  return table;
}
constexpr std::array<bool, 256> kInTarget = make_table([](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
/// Of a host without its port: reg-name or IP literal, RFC 3986 §3.2.2. No user information, no path.
constexpr std::array<bool, 256> kInHost = make_table([](char c) {
  return internal::is_token_character(c) || c == '[' || c == ']' || c == ':' || c == '(' || c == ')' || c == ',' ||
         c == ';' || c == '=';
});

std::string_view view_of(const char* first, const char* last) {
  return {first, static_cast<std::size_t>(last - first)};
}

constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

inline std::string_view trim(const char* first, const char* last) {
  if (first < last && *first == ' ') ++first;
  // Nearly always there is no more.
  if (first < last && (is_blank(*first) || is_blank(last[-1]))) {
    while (first < last && is_blank(*first)) ++first;
    while (first < last && is_blank(last[-1])) --last;
  }
  return view_of(first, last);
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

constexpr std::string_view kEventStream = "text/event-stream";
constexpr std::string_view kVersion = "HTTP/1.1";

/// Whether "HTTP/1.x" stands there, and which x: 0 or 1. Others: 255.
std::uint8_t minor_version_of(std::string_view text) {
  if (text == kVersion) return 1;
  return text == "HTTP/1.0" ? 0 : 255;
}

/// The name in a Host field or an authority: without port. Sets `is_bad` for what is no host.
std::string_view host_name(std::string_view value, bool& is_bad) {
  const char* at = value.data();
  const char* const end = at + value.size();
  bool is_good = true;
  if (at < end && *at == '[') {
    while (at < end && *at != ']') is_good &= kInHost[static_cast<unsigned char>(*at++)];
    is_good &= at < end;
    if (at < end) ++at;
  } else {
    while (at < end && *at != ':') is_good &= kInHost[static_cast<unsigned char>(*at++)];
  }
  const std::string_view name = view_of(value.data(), at);
  is_good &= at == end || *at == ':';
  while (at < end && ++at < end) is_good &= *at >= '0' && *at <= '9';
  is_bad = is_bad || !is_good;
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

namespace {

// Not grpc-web, which HTTP/1.1 can carry: it has a form of its own for errors.
bool is_grpc(std::string_view type) {
  constexpr std::string_view kGrpc = "application/grpc";
  return type.size() >= kGrpc.size() && std::memcmp(type.data(), kGrpc.data(), kGrpc.size()) == 0 &&
         (type.size() == kGrpc.size() || type[kGrpc.size()] == '+' || type[kGrpc.size()] == ';');
}

/// Calls `each` with the items of a comma-separated list, trimmed, empty ones left out; stops when it gives a fault.
template <class Each>
HeadFault each_item(std::string_view list, Each each) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view item = trim(list.data(), list.data() + std::min(comma, list.size()));
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    if (item.empty()) continue;
    const HeadFault fault = each(item);
    if (fault.is_fault()) return fault;
  }
  return kNoFault;
}

HeadFault bad_name(char first, char stop, bool is_empty) {
  if (stop == '\n') return bad("a header line ends with a bare line feed");
  if (!is_empty) return bad("a header's name holds a character that is none of a name");
  return bad(first == ' ' || first == '\t' ? "a header continues on a second line (obs-fold)"
                                           : "a header line does not begin with a field name");
}

}  // namespace

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
  bool is_grpc = false;
  bool takes_trailers = false;
  bool names_fields = false;
  std::uint64_t content_length = 0;
  std::string_view host = {};
};

std::size_t HeadParser::head_size(std::string_view bytes, std::size_t scanned) {
  const char* const end = internal::find_head_end(bytes, scanned < 3 ? 0 : scanned - 3);
  return end == nullptr ? 0 : static_cast<std::size_t>(end - bytes.data());
}

HeadFault HeadParser::parse_fields(std::string_view head, std::size_t from, Fields& fields) {
  header_count_ = 0;
  const char* at = head.data() + from;
  const char* const end = head.data() + head.size();  // Before it stands the empty line, which stops every search.
  while (end - at > 2) {
    const char* const colon = internal::find_token_end(at, end);
    if (*colon != ':' || colon == at) return bad_name(*at, *colon, colon == at);
    const char* const stop = internal::find_control(head.data(), colon + 1, end);
    if (*stop == '\n') return bad("a header line ends with a bare line feed");
    if (*stop != '\r' || stop[1] != '\n') return bad("a header's value holds a control character");
    if (header_count_ == kMaxHeaders) return {.status = 431, .text = "more than 100 header fields"};
    HeaderLine& header = headers_[header_count_++];
    header.line = view_of(at, stop + 2);
    header.name = view_of(at, colon);
    header.value = trim(colon + 1, stop);
    header.id = internal::header_id(header.name);
    header.is_hop_by_hop = header.id != HeaderId::kOther && is_hop_by_hop(header.id);
    at = stop + 2;
    if (header.id == HeaderId::kOther) continue;
    const HeadFault fault = take_field(header, fields);
    if (fault.is_fault()) return fault;
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
      // What nearly all say, and which names no field.
      if (internal::is_name(header.value, "keep-alive")) {
        fields.says_keep_alive = true;
        return kNoFault;
      }
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
      fields.is_event_stream = header.value.size() >= kEventStream.size() &&
                               equals_ignoring_case({header.value.data(), kEventStream.size()}, kEventStream);
      fields.is_grpc = is_grpc(header.value);
      return kNoFault;
    case HeaderId::kTe:
      return each_item(header.value, [&fields](std::string_view item) {
        fields.takes_trailers = fields.takes_trailers || internal::is_name(item, "trailers");
        return kNoFault;
      });
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
    case HeaderId::kTenant:
    case HeaderId::kTrailer:
      return kNoFault;
  }
  return kNoFault;
}

HeadFault HeadParser::take_connection(std::string_view value, Fields& fields) {
  return each_item(value, [&fields](std::string_view item) {
    if (!is_token(item)) return bad("Connection holds something else than names");
    const bool says_close = internal::is_name(item, "close");
    const bool says_keep_alive = internal::is_name(item, "keep-alive");
    const bool says_upgrade = internal::is_name(item, "upgrade");
    fields.says_close = fields.says_close || says_close;
    fields.says_keep_alive = fields.says_keep_alive || says_keep_alive;
    fields.says_upgrade = fields.says_upgrade || says_upgrade;
    const bool is_common = says_close || says_keep_alive || says_upgrade || internal::is_name(item, "te");
    fields.names_fields = fields.names_fields || !is_common;
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
  const char* const begin = line.data();
  const char* const end = begin + line.size();
  const char* const first = internal::find_token_end(begin, end);
  const char* last = line.size() > 9 && std::memcmp(end - 9, " HTTP/1.1", 9) == 0 ? end - 8 : end;
  while (last > begin && last[-1] != ' ') --last;
  // One space after the method, another before the version.
  if (last - 1 <= first) return bad("the request line is not method, target, version");
  if (first == begin || *first != ' ') return bad("the method is not a name");
  request_.method = view_of(begin, first);
  request_.target = view_of(first + 1, last - 1);
  const std::string_view version = view_of(last, end);
  request_.minor_version = minor_version_of(version);
  if (request_.minor_version == 255) {
    const bool is_http = version.size() == 8 && version.substr(0, 5) == "HTTP/" && version[6] == '.';
    return is_http ? HeadFault{.status = 505, .text = "only HTTP/1.0 and HTTP/1.1 are understood here"}
                   : bad("the request line does not end with a version");
  }
  for (const char c : request_.target) {
    if (!kInTarget[static_cast<unsigned char>(c)]) return bad("the target holds a character that must be encoded");
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
  request_.is_grpc = fields.is_grpc;
  request_.takes_trailers = fields.takes_trailers;
  request_.names_fields = fields.names_fields;
  request_.is_upgrade = fields.says_upgrade && fields.has_upgrade && request_.minor_version == 1;
  request_.headers = std::span(headers_).first(header_count_);
  return check_target();
}

// The end of the first line: where its CR LF stands; "" where it ends in another way.
std::string_view HeadParser::first_line(std::string_view head) {
  const char* const end = head.data() + head.size();
  const char* const stop = internal::find_control(head.data(), head.data(), end);
  const bool is_ended = end - stop >= 2 && stop[0] == '\r' && stop[1] == '\n';
  return is_ended ? view_of(head.data(), stop) : std::string_view();
}

HeadFault HeadParser::parse_request(std::string_view head) {
  request_ = {};
  const std::string_view line = first_line(head);
  if (line.empty()) return bad("the request line is empty, holds a control character or ends with a bare line feed");
  HeadFault fault = parse_request_line(line);
  if (fault.is_fault()) return fault;
  Fields fields;
  fault = parse_fields(head, line.size() + 2, fields);
  if (fault.is_fault()) return fault;
  if (request_.minor_version == 1 && request_.target.starts_with('/')) request_.line = {head.data(), line.size() + 2};
  return frame_request(fields);
}

HeadFault HeadParser::parse_response(std::string_view head) {
  response_ = {};
  const std::string_view line = first_line(head);
  if (line.size() < 12) return {.status = 502, .text = "the replica's status line is broken"};
  response_.minor_version = minor_version_of({line.data(), 8});
  const auto is_digit = [&line](std::size_t at) { return line[at] >= '0' && line[at] <= '9'; };
  if (response_.minor_version == 255 || line[8] != ' ' || !is_digit(9) || !is_digit(10) || !is_digit(11) ||
      (line.size() > 12 && line[12] != ' ') || line[9] == '0') {
    return {.status = 502, .text = "the replica's status line is broken"};
  }
  response_.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  if (line.size() > 13) response_.reason = view_of(line.data() + 13, line.data() + line.size());
  if (response_.minor_version == 1 && line.size() > 12) response_.line = {head.data(), line.size() + 2};
  Fields fields;
  HeadFault fault = parse_fields(head, line.size() + 2, fields);
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
  response_.names_fields = fields.names_fields;
  response_.headers = std::span(headers_).first(header_count_);
  return kNoFault;
}

}  // namespace busbar::gateway
