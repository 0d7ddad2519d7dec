#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http_head.h"
#include "gateway/internal/sockets.h"
#include "net/http2_wire.h"

namespace busbar::gateway::internal {

class Http2Session;

/// One request of an HTTP/2 connection: to its exchange it is the client. Its `fd` is the connection's, for being open
/// only; what it sends lies in the exchange's `pending` until the session takes it.
struct Stream : Client {
  Client* connection = nullptr;
  Http2Session* session = nullptr;
  std::int32_t id = 0;
  std::string head = {};       ///< The request's head as HTTP/1.1 would have it, for the strict parser.
  Buffer body = {};            ///< Arrived, not taken.
  std::string authority = {};  ///< Of :authority, else of Host.
  std::string method = {};
  std::string path = {};
  std::string cookies = {};
  std::string trailers = {};         ///< Of the request: field lines. Taken by its exchange.
  std::string answer_trailers = {};  ///< Set before the exchange completes: they follow the answer's body.
  std::uint64_t content_length = 0;
  bool has_length = false;
  bool has_two_hosts = false;  ///< :authority and a Host field that differ.
  bool is_head_too_long = false;
  bool has_head = false;   ///< All of it has come.
  bool has_begun = false;  ///< Its exchange has.
  bool has_ended = false;  ///< All of the request has come.
  bool is_touched = false;
  bool is_answering = false;
  bool is_answered = false;  ///< Its exchange is over; what is left is nghttp2's.
  bool is_closed = false;    ///< nghttp2 knows it no more.
};

/// What of an HTTP/2 connection's protocol needs no socket (RFC 9113): frames in, requests out; answers in, frames out.
/// Frames are nghttp2's business, which refuses malformed messages, counts resets and CONTINUATIONs; requests become
/// heads of HTTP/1.1 that go through the same strict parser as those of other clients. Bounded: 128 streams, 64 KiB of
/// each body that nobody takes, heads of 32 KiB. Not thread-safe; no call may come from within another.
class Http2Session {
 public:
  static constexpr std::size_t kMaxStreams = 128;
  static constexpr std::size_t kWindowBytes = 65'535;  ///< Of a stream's body that waits here.

  /// `connection` is borrowed; streams take its address. Writes the settings.
  explicit Http2Session(Client& connection);
  ~Http2Session();
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  /// Bytes of the connection. False: it is over as soon as `output` is out.
  bool feed(std::string_view bytes, std::int64_t now_us);
  /// Streams with a head, a body or an end that is new, or that are closed; each once. Take them after `feed` and
  /// `fill`.
  std::vector<Stream*> take_touched();
  /// `bytes` of the stream's body were taken: the client may send as many more.
  void consume(Stream& stream, std::size_t bytes);
  /// A stream that is closed, and has no exchange: its place is free again.
  void forget(Stream& stream);

  void send_continue(Stream& stream);
  /// Begins the answer; its body, if there is to be one, is `exchange.pending`, until the exchange is complete.
  /// `more`: field lines besides the replica's, each with its CR LF.
  void respond(Stream& stream, const ResponseHead& head, std::string_view more, bool has_body);
  struct OwnHead {
    int status = 500;
    std::string_view content_type = {};
    std::optional<std::size_t> content_length = {};  ///< Absent: there is nothing but this head.
    std::optional<std::int64_t> retry_after_s = {};
    std::string_view more = {};
  };
  void respond(Stream& stream, const OwnHead& head, bool has_body);
  /// There is more in `pending`, or the answer is complete.
  void resume(Stream& stream);
  /// The answer breaks off: RST_STREAM.
  void cut(Stream& stream);

  /// Frames that the socket has not taken; `fill` makes more of them, up to about 64 KiB. False: broken.
  bool fill() { return output_.fill(session_); }
  std::string_view output() const { return output_.view(); }
  void sent(std::size_t bytes) { output_.sent(bytes, open_streams_ == 0); }

  /// GOAWAY: first the one that lets requests on their way in, then the one after which none is taken.
  void announce_end();
  void end();
  bool is_ending() const { return is_ending_; }
  bool has_ended() const { return has_ended_; }
  /// Nothing is to be read or written any more.
  bool is_over() const;

  std::size_t open_streams() const { return open_streams_; }
  const std::vector<std::unique_ptr<Stream>>& streams() const { return streams_; }

 private:
  struct Callbacks;
  void touch(Stream& stream);
  void submit(Stream& stream, bool has_body);
  void end_body(Stream& stream, std::uint32_t* flags);
  Stream& open_stream(std::int32_t id);
  bool take_field(Stream& stream, std::string_view name, std::string_view value);
  void finish_head(Stream& stream);
  bool spend(double tokens);

  Client& connection_;
  nghttp2_session* session_ = nullptr;
  std::vector<std::unique_ptr<Stream>> streams_ = {};
  std::vector<Stream*> free_ = {};
  std::vector<Stream*> touched_ = {};
  net::Http2Output output_ = {};
  net::Http2Fields fields_ = {};
  std::size_t open_streams_ = 0;
  bool is_ending_ = false;
  bool has_ended_ = false;
  // Frames that cost work and carry nothing: a bucket of them.
  double tokens_ = 0;
  std::int64_t now_us_ = 0;
  std::int64_t refilled_us_ = 0;
};

}  // namespace busbar::gateway::internal
