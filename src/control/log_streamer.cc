#include "control/log_streamer.h"

#include <poll.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "control/internal/log_stream.h"
#include "control/internal/log_watch.h"
#include "os/event_fd.h"
#include "os/gate.h"
#include "os/log.h"

namespace busbar::control {
namespace {

/// How often directories are looked at that the kernel does not watch for us.
constexpr std::chrono::milliseconds kPollEvery{250};

class Streamer;
using Message = std::function<void(Streamer&)>;

/// Where other threads leave work for the streamer's. Sockets keep it alive beyond the streamer itself.
class Mailbox {
 public:
  explicit Mailbox(os::EventFd wake) : wake_(std::move(wake)) {}

  void post(Message message) {
    {
      const std::lock_guard lock(mutex_);
      if (is_closed_) {
        return;
      }
      messages_.push_back(std::move(message));
    }
    wake_.set();
  }
  std::deque<Message> take() {
    wake_.take();
    const std::lock_guard lock(mutex_);
    return std::exchange(messages_, {});
  }
  /// Later messages are dropped. The caller destroys those that wait, outside the lock: they may own sockets.
  std::deque<Message> close() {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    return std::exchange(messages_, {});
  }
  int fd() const { return wake_.fd(); }

 private:
  os::EventFd wake_;
  std::mutex mutex_;
  std::deque<Message> messages_;
  bool is_closed_ = false;
};

class Streamer final : public LogStreamer {
 public:
  Streamer(std::shared_ptr<Mailbox> mailbox, LogWatch watch) : mailbox_(std::move(mailbox)), watch_(std::move(watch)) {
    thread_ = os::start_thread("logs", [this] { run(); });
  }
  ~Streamer() override { stop(); }

  void stream(LogStreamRequest request, net::SseWriter writer) override;
  void add_tasks(model::JobId job, std::vector<LogTask> tasks) override;
  void job_over(model::JobId job, Json end) override;
  LogStreamerStats stats() const override;
  void stop() override;

 private:
  // On the thread.
  void run();
  void wait();
  void poll_directories();
  void open(LogStreamRequest request, net::SseWriter writer);
  void give_turn(std::uint64_t id);
  void rest_until_drained(std::uint64_t id, LogStream& stream);
  void forget(std::uint64_t id);
  void count_polled();

  std::shared_ptr<Mailbox> mailbox_;
  LogWatch watch_;
  std::map<std::uint64_t, LogStream> streams_;
  std::set<std::uint64_t> blocked_;
  std::set<std::uint64_t> runnable_;
  std::uint64_t next_id_ = 1;
  bool is_polling_ = false;
  std::chrono::steady_clock::time_point last_poll_ = {};
  bool is_stopping_ = false;

  std::atomic<std::size_t> streams_open_ = 0;
  std::atomic<std::uint64_t> lines_sent_ = 0;
  std::atomic<std::uint64_t> gaps_ = 0;
  std::atomic<std::size_t> polled_ = 0;

  std::mutex join_mutex_;
  std::thread thread_;  // last: it uses everything above
};

void Streamer::stream(LogStreamRequest request, net::SseWriter writer) {
  mailbox_->post([request = std::move(request), writer = std::move(writer)](Streamer& streamer) mutable {
    streamer.open(std::move(request), std::move(writer));
  });
}

void Streamer::add_tasks(model::JobId job, std::vector<LogTask> tasks) {
  mailbox_->post([job, tasks = std::move(tasks)](Streamer& streamer) {
    for (auto& [id, stream] : streamer.streams_) {
      if (stream.is_following(job)) {
        stream.add_tasks(tasks, streamer.watch_);
        streamer.runnable_.insert(id);
      }
    }
  });
}

void Streamer::job_over(model::JobId job, Json end) {
  mailbox_->post([job, end = std::move(end)](Streamer& streamer) {
    for (auto& [id, stream] : streamer.streams_) {
      if (stream.is_following(job)) {
        stream.finish(end);
        streamer.watch_.remove(id);
        streamer.runnable_.insert(id);
      }
    }
  });
}

LogStreamerStats Streamer::stats() const {
  return {.streams_open = streams_open_, .lines_sent = lines_sent_, .gaps = gaps_, .watches_failed = polled_};
}

void Streamer::stop() {
  mailbox_->post([](Streamer& streamer) { streamer.is_stopping_ = true; });
  const std::lock_guard lock(join_mutex_);
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Streamer::open(LogStreamRequest request, net::SseWriter writer) {
  const std::uint64_t id = next_id_++;
  std::vector<LogTask> tasks = std::exchange(request.tasks, {});
  const auto place = streams_.try_emplace(id, id, std::move(request), std::move(writer)).first;
  streams_open_ = streams_.size();
  LogStream& stream = place->second;
  stream.add_tasks(std::move(tasks), watch_);
  runnable_.insert(id);
  stream.socket().on_close(
      [mailbox = mailbox_, id] { mailbox->post([id](Streamer& streamer) { streamer.forget(id); }); });
}

void Streamer::give_turn(std::uint64_t id) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || blocked_.contains(id)) {
    runnable_.erase(id);
    return;
  }
  const LogStream::Turn turn = found->second.run();
  lines_sent_ += turn.lines;
  gaps_ += turn.gaps;
  if (turn.outcome != LogStream::Outcome::kMore) {
    runnable_.erase(id);
  }
  if (turn.outcome == LogStream::Outcome::kBlocked) {
    rest_until_drained(id, found->second);
  } else if (turn.outcome == LogStream::Outcome::kDone) {
    forget(id);
  }
}

void Streamer::rest_until_drained(std::uint64_t id, LogStream& stream) {
  blocked_.insert(id);
  stream.socket().when_drained([mailbox = mailbox_, id] {
    mailbox->post([id](Streamer& streamer) {
      streamer.blocked_.erase(id);
      streamer.runnable_.insert(id);
    });
  });
}

void Streamer::forget(std::uint64_t id) {
  watch_.remove(id);
  blocked_.erase(id);
  runnable_.erase(id);
  streams_.erase(id);
  streams_open_ = streams_.size();
}

void Streamer::count_polled() {
  std::size_t polled = 0;
  for (const auto& [id, stream] : streams_) {
    polled += stream.polled();
  }
  if (polled > 0 && !is_polling_) {
    LOG(kDebug, "logs_polled", {{"directories", polled}});
  }
  is_polling_ = polled > 0;
  polled_ = polled;
}

void Streamer::poll_directories() {
  const auto now = std::chrono::steady_clock::now();
  if (!is_polling_ || now - last_poll_ < kPollEvery) {
    return;
  }
  last_poll_ = now;
  for (auto& [id, stream] : streams_) {
    if (stream.polled() > 0) {
      stream.poll(watch_);
      runnable_.insert(id);
    }
  }
}

void Streamer::wait() {
  pollfd fds[] = {{.fd = mailbox_->fd(), .events = POLLIN, .revents = 0},
                  {.fd = watch_.fd(), .events = POLLIN, .revents = 0}};
  const int when_idle = is_polling_ ? static_cast<int>(kPollEvery.count()) : -1;
  const int ready = ::poll(fds, 2, runnable_.empty() ? when_idle : 0);
  poll_directories();
  if (ready > 0 && fds[1].revents != 0) {
    watch_.dispatch([this](LogWatcher watcher, LogChange change, std::string_view name) {
      if (const auto found = streams_.find(watcher.stream); found != streams_.end()) {
        found->second.on_change(watcher.tail, change, name);
        runnable_.insert(watcher.stream);
      }
    });
  }
}

void Streamer::run() {
  while (!is_stopping_) {
    wait();
    for (const Message& message : mailbox_->take()) {
      message(*this);
    }
    for (const std::uint64_t id : std::set(runnable_)) {
      give_turn(id);
    }
    count_polled();
  }
  const auto dropped = mailbox_->close();
  for (auto& [id, stream] : streams_) {
    stream.socket().end();
  }
  streams_.clear();
  streams_open_ = 0;
}

}  // namespace

Result<std::unique_ptr<LogStreamer>> LogStreamer::start() {
  TRY_ASSIGN(os::EventFd wake, os::EventFd::create());
  TRY_ASSIGN(LogWatch watch, LogWatch::create());
  return std::make_unique<Streamer>(std::make_shared<Mailbox>(std::move(wake)), std::move(watch));
}

net::StreamOptions LogStreamer::stream_options() {
  // Half of it is the mark at which a stream rests; a quarter is where sockets count as drained. A line of 64 KiB is at
  // most 384 KiB of JSON, so one more always fits.
  return {.max_pending_bytes = 1 << 20};
}

}  // namespace busbar::control
