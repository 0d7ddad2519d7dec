#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace busbar::gateway {

/// How a message's body ends (RFC 9112 §6.3).
enum class Framing : std::uint8_t { kNone, kLength, kChunked, kUntilClose };

/// Headers that a gateway looks at. kOther is only passed on.
enum class HeaderId : std::uint8_t {
  kOther,
  kApiKey,
  kAuthorization,
  kConnection,
  kContentLength,
  kContentType,
  kExpect,
  kForwardedFor,
  kForwardedProto,
  kHost,
  kKeepAlive,
  kKeyId,
  kProxyAuthenticate,
  kProxyAuthorization,
  kProxyConnection,
  kTe,
  kTenant,
  kTrailer,
  kTransferEncoding,
  kUpgrade,
};

/// One field line. Views into the bytes that were parsed.
struct HeaderLine {
  std::string_view line = {};  ///< All of it, with its CR LF.
  std::string_view name = {};
  std::string_view value = {};  ///< Without the white space around it.
  HeaderId id = HeaderId::kOther;
  bool is_hop_by_hop = false;  ///< Ends here: by RFC 9110 §7.6.1 or because `Connection` names it.
};

/// Why a head is refused: the status for the client and a sentence without the bytes themselves.
struct HeadFault {
  int status = 0;  ///< 0: none.
  std::string_view text = {};
  bool is_fault() const { return status != 0; }
};

inline constexpr std::size_t kMaxHeaders = 100;
inline constexpr std::size_t kMaxHeadBytes = 32 << 10;

/// Views are valid as long as the parsed bytes stay where they are.
struct RequestHead {
  std::string_view line =
      {};  ///< The first, with its CR LF, if it is HTTP/1.1 and the target was in origin form; else "".
  std::string_view method = {};
  std::string_view target = {};  ///< Origin form: path and query.
  std::string_view path = {};    ///< Without the query; still percent-encoded.
  std::string_view host = {};    ///< The Host field without its port; "" in HTTP/1.0 without one.
  std::uint8_t minor_version = 1;
  Framing framing = Framing::kNone;
  std::uint64_t content_length = 0;
  bool keeps_alive = true;
  bool expects_continue = false;
  bool is_upgrade = false;      ///< `Connection: upgrade` with an Upgrade field.
  bool is_grpc = false;         ///< application/grpc, or a kind of it; not grpc-web.
  bool takes_trailers = false;  ///< `TE: trailers`
  bool names_fields = false;    ///< `Connection` names more than it commonly does: fields that end here.
  std::span<const HeaderLine> headers = {};
};

struct ResponseHead {
  std::string_view line =
      {};  ///< The first, with its CR LF, if it is HTTP/1.1 and its status ends with a space; else "".
  int status = 0;
  std::string_view reason = {};
  std::uint8_t minor_version = 1;
  Framing framing = Framing::kNone;  ///< As the fields say; the caller knows what a HEAD or a 304 makes of it.
  std::uint64_t content_length = 0;
  bool keeps_alive = true;
  bool is_event_stream = false;  ///< text/event-stream
  bool names_fields = false;     ///< As of a request.
  std::span<const HeaderLine> headers = {};
};

/// Strict parsers of HTTP/1 heads (RFC 9112): what two readers could understand in two ways is refused, not repaired.
/// No bare LF or CR, no obs-fold, no space before the colon, one Host, one Content-Length of digits only, never
/// Content-Length with Transfer-Encoding, no coding but chunked, no `Connection` that names a field which frames or
/// routes the message. Reused from message to message: allocates nothing. Not thread-safe. Cost: one pass.
class HeadParser {
 public:
  /// The size of the head that `bytes` begin with, its empty line included; 0: more is needed. Looks from `scanned` on,
  /// which is how much an earlier call has seen.
  static std::size_t head_size(std::string_view bytes, std::size_t scanned);

  /// `head` is exactly the head. The result is in `request()`, valid until the next parse.
  HeadFault parse_request(std::string_view head);
  HeadFault parse_response(std::string_view head);

  const RequestHead& request() const { return request_; }
  const ResponseHead& response() const { return response_; }

 private:
  struct Fields;
  static std::string_view first_line(std::string_view head);
  HeadFault parse_fields(std::string_view head, std::size_t from, Fields& fields);
  HeadFault take_field(HeaderLine& header, Fields& fields);
  HeadFault take_connection(std::string_view value, Fields& fields);
  HeadFault mark_connection_fields(std::string_view value);
  HeadFault parse_request_line(std::string_view line);
  HeadFault check_target();
  HeadFault frame_request(const Fields& fields);

  std::array<HeaderLine, kMaxHeaders> headers_ = {};
  std::size_t header_count_ = 0;
  RequestHead request_ = {};
  ResponseHead response_ = {};
};

/// ASCII only.
bool equals_ignoring_case(std::string_view left, std::string_view right);

}  // namespace busbar::gateway
