#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/chunk_scanner.h"
#include "gateway/http_head.h"
#include "gateway/internal/sockets.h"
#include "net/http2_wire.h"

namespace busbar::gateway::internal {

class UpstreamSession;

/// A connection of HTTP/2 to a replica, which many requests share.
struct Trunk : Socket, TimerNode {
  Trunk() : Socket{.kind = SocketKind::kTrunk}, TimerNode{.owner = TimerOwner::kTrunk} {}
  bool is_connected = false;
  bool is_ready = false;    ///< The replica has said its settings: requests may go.
  bool is_retired = false;  ///< Takes no more requests; closed when the last has ended.
  bool is_dirty = false;    ///< Has frames to be sent: in the worker's list.
  bool has_answered = false;
  std::int64_t heard_us = 0;  ///< When bytes came last.
  WorkerEndpoint* endpoint = nullptr;
  std::unique_ptr<UpstreamSession> session = {};
};

/// What of an UpstreamStream is new with each request.
struct UpstreamStreamState {
  Trunk* trunk = nullptr;    ///< nullptr: gone; what has come of the answer is still here.
  std::int32_t id = 0;       ///< 0: the request has not been begun.
  std::size_t position = 0;  ///< Among the session's streams.
  std::int64_t begun_us = 0;
  Framing framing = Framing::kNone;  ///< Of the request in its exchange's buffer.
  std::uint64_t left = 0;            ///< Of its body, by kLength.
  ChunkScanner chunks = {};
  bool is_touched = false;
  bool has_sent_all = false;
  bool has_head = false;          ///< All of the answer's head has come.
  bool is_head_only = false;      ///< And it is all there is.
  bool has_ended = false;         ///< All of the answer has come.
  bool is_closed = false;         ///< nghttp2 knows it no more.
  bool is_unprocessed = false;    ///< The replica says that it did nothing with it.
  bool is_too_long = false;       ///< The answer's head or trailers.
  bool was_read = false;          ///< Some of the request, since its exchange looked last.
  std::string_view failure = {};  ///< Of its connection: a literal.
};

/// A request on a trunk: to its exchange it is the connection to the replica. What the exchange sends stays in its
/// `request`, as HTTP/1.1 would have it, until the session makes frames of it.
struct UpstreamStream : Upstream, UpstreamStreamState {
  std::string head = {};      ///< Of the answer, as HTTP/1.1 would have it, for the strict parser.
  Buffer body = {};           ///< Arrived, not taken.
  std::string trailers = {};  ///< Field lines.
};

/// What of an HTTP/2 connection to a replica needs no socket (RFC 9113): requests in, frames out; frames in, answers
/// out. Bounded: 64 KiB of each answer that nobody takes, heads and trailers of 32 KiB. Not thread-safe; no call may
/// come from within another.
class UpstreamSession {
 public:
  /// Requests at once, where the replica lets in as many or more.
  static constexpr std::size_t kMaxStreams = 100;

  UpstreamSession();
  ~UpstreamSession();
  UpstreamSession(const UpstreamSession&) = delete;
  UpstreamSession& operator=(const UpstreamSession&) = delete;

  /// Bytes of the connection. False: it is broken.
  bool feed(std::string_view bytes);
  bool has_settings() const { return has_settings_; }
  /// How many requests the replica lets in, at most kMaxStreams; that many before it has said anything.
  std::size_t limit() const;
  /// The replica has said goodbye, or the numbers of streams are used up.
  bool is_ending() const;

  /// A new request's place. The stream is borrowed until `remove`.
  void add(UpstreamStream& stream);
  /// Sends the head; the body, if it has one, follows from its exchange's `request` behind `head_bytes` of it. False:
  /// there is no number left for it.
  bool begin(UpstreamStream& stream, const RequestHead& head);
  /// There is more of the body.
  void resume(UpstreamStream& stream);
  /// `bytes` of the answer's body were taken.
  void consume(UpstreamStream& stream, std::size_t bytes);
  /// Its exchange is done with it: it is reset if it has not ended.
  void remove(UpstreamStream& stream);

  /// Streams with a head, a body or an end that is new, or whose request was read; each once.
  std::vector<UpstreamStream*> take_touched();
  const std::vector<UpstreamStream*>& streams() const { return streams_; }

  /// Frames that the socket has not taken; `fill` makes more of them. False: broken.
  bool fill() { return output_.fill(session_); }
  std::string_view output() const { return output_.view(); }
  void sent(std::size_t bytes) { output_.sent(bytes, streams_.empty()); }
  /// GOAWAY.
  void end();
  /// Nothing is to be read or written any more.
  bool is_over() const;

 private:
  struct Callbacks;
  void touch(UpstreamStream& stream);
  void end_body(const UpstreamStream& stream, std::uint32_t* flags);

  nghttp2_session* session_ = nullptr;
  std::vector<UpstreamStream*> streams_ = {};
  std::vector<UpstreamStream*> touched_ = {};
  net::Http2Fields fields_ = {};
  net::Http2Output output_ = {};
  bool has_settings_ = false;
  bool has_goaway_ = false;
};

/// An errand's request and its session, on a connection of its own.
struct Http2Errand {
  Exchange exchange = {};  ///< Holds the request only.
  UpstreamStream stream = {};
  UpstreamSession session = {};
};

}  // namespace busbar::gateway::internal
