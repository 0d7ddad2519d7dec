#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "net/websocket.h"

namespace busbar::net {

/// The bounded queue between the threads that produce bytes and the I/O thread that writes them to one peer. It is what
/// makes a slow client harmless: producers see how much waits, may be called when it has drained, and lose the client
/// when the limit is passed.
///
/// Thread-safe. Callbacks run without the lock held. The consumer's protocol: after `kWake` (from `push` or `finish`)
/// it is to loop on `take` until that gives nothing; what was taken counts as pending until `written`.
class Outbox {
 public:
  struct Item {
    std::string bytes;
    WebSocketMessage kind = WebSocketMessage::kBinary;
  };
  enum class Push {
    kQueued,
    kWake,    ///< Queued, and the consumer sleeps: wake it.
    kFull,    ///< Not queued; the outbox is closed now, the peer is to be cut off.
    kClosed,  ///< Not queued.
  };

  explicit Outbox(std::size_t max_pending_bytes) : max_pending_bytes_(max_pending_bytes) {}

  Push push(std::string bytes, WebSocketMessage kind);
  /// No more pushes; what is queued still goes out. True if the consumer sleeps and must be woken.
  bool finish();
  /// Finished or closed, and nothing is queued: the end mark may go out. After an empty `take` it is this that tells,
  /// for a producer may push and finish in between.
  bool is_exhausted() const;
  bool is_open() const;
  std::size_t pending_bytes() const;
  void when_drained(std::function<void()> callback);
  void on_close(std::function<void()> callback);

  /// Consumer: everything queued. Empty puts the consumer to sleep.
  std::vector<Item> take();
  /// Consumer: that many of the taken bytes are with the kernel.
  void written(std::size_t bytes);
  /// The peer is gone: drops the queue and runs every callback. Idempotent.
  void close();

 private:
  using Callback = std::function<void()>;
  std::size_t drained_level() const { return max_pending_bytes_ / 4; }

  const std::size_t max_pending_bytes_;
  mutable std::mutex mutex_;
  std::vector<Item> queue_;
  std::size_t pending_bytes_ = 0;
  bool is_awake_ = false;
  bool is_finished_ = false;
  bool is_cut_ = false;  ///< By `kFull`: never exhausted, so that what went out does not get an end mark.
  bool is_closed_ = false;
  std::vector<Callback> drain_callbacks_;
  Callback close_callback_;
};

}  // namespace busbar::net
