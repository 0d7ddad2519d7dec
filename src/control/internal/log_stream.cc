#include "control/internal/log_stream.h"

#include <utility>

#include "api/types.h"

namespace busbar::control {
namespace {

/// A stream's share before the next one has its turn.
constexpr std::size_t kLinesPerTurn = 512;

}  // namespace

LogStream::LogStream(std::uint64_t id, LogStreamRequest request, net::SseWriter writer)
    : id_(id), request_(std::move(request)), writer_(std::move(writer)) {}

void LogStream::add_tasks(std::vector<LogTask> tasks, LogWatch& watch) {
  for (LogTask& task : tasks) {
    if (request_.only_rank.value_or(task.rank) == task.rank &&
        request_.only_attempt.value_or(task.attempt) == task.attempt) {
      // A stream that ends with what is there now needs no watch.
      open_tail(std::move(task), request_.end ? nullptr : &watch);
    }
  }
}

void LogStream::open_tail(LogTask task, LogWatch* watch) {
  const std::size_t index = tails_.size();
  LogTail& tail = tails_.emplace_back(std::move(task));
  tail.refresh();
  if (watch != nullptr) {
    watch_tail(index, *watch);
  }
  if (request_.tail_lines) {
    tail.seek_tail(*request_.tail_lines);
  }
  if (request_.end) {
    tail.freeze();
  }
  unread_.insert(index);
}

void LogStream::watch_tail(std::size_t tail, LogWatch& watch) {
  const std::string& directory = tails_[tail].directory();
  if (directory.empty() || !watch.add(directory, {.stream = id_, .tail = tail})) {
    polled_.insert(tail);
    return;
  }
  polled_.erase(tail);
  // What came between the last look and the watch.
  tails_[tail].refresh();
}

void LogStream::poll(LogWatch& watch) {
  for (const std::size_t tail : std::set(polled_)) {
    tails_[tail].refresh();
    watch_tail(tail, watch);
    unread_.insert(tail);
  }
}

void LogStream::on_change(std::size_t tail, LogChange change, std::string_view name) {
  if (!name.empty() && !tails_[tail].is_own_file(name)) {
    return;
  }
  if (change == LogChange::kNames) {
    tails_[tail].refresh();
  }
  unread_.insert(tail);
}

void LogStream::finish(Json end) {
  for (std::size_t i = 0; i < tails_.size(); ++i) {
    tails_[i].refresh();
    tails_[i].freeze();
    unread_.insert(i);
  }
  polled_.clear();
  request_.end = std::move(end);
}

/// Fills `ready_`; gives the number of gaps found.
std::uint64_t LogStream::collect() {
  std::uint64_t gaps = 0;
  for (const std::size_t index : std::exchange(unread_, {})) {
    if (has_ready_.contains(index)) {
      continue;
    }
    LogTail& tail = tails_[index];
    auto line = tail.next();
    while (line && line->time_ms < request_.since_ms) {
      line = tail.next();
    }
    if (tail.take_gap()) {
      ++gaps;
      send_gap(tail);
    }
    if (line) {
      has_ready_.insert(index);
      ready_.push({.line = *std::move(line), .tail = index});
    }
  }
  return gaps;
}

bool LogStream::send(const Ready& ready) {
  const LogTail& tail = tails_[ready.tail];
  const api::LogLine line{.task = tail.rank(),
                          .attempt = tail.attempt(),
                          .time_ms = ready.line.time_ms,
                          .stream = ready.line.stream,
                          .text = ready.line.text};
  return writer_.send({.event = "line", .data = api::to_json(line).dump()});
}

bool LogStream::send_gap(const LogTail& tail) {
  return writer_.send(
      {.event = "gap", .data = Json::object({{"task", tail.rank()}, {"attempt", tail.attempt()}}).dump()});
}

void LogStream::finish_tails() {
  is_finishing_ = true;
  for (std::size_t i = 0; i < tails_.size(); ++i) {
    tails_[i].finish();
    unread_.insert(i);
  }
}

LogStream::Turn LogStream::run() {
  Turn turn;
  while (true) {
    if (!writer_.stream().is_open()) {
      turn.outcome = Outcome::kDone;
      return turn;
    }
    if (writer_.stream().pending_bytes() >= LogStreamer::stream_options().max_pending_bytes / 2) {
      turn.outcome = Outcome::kBlocked;
      return turn;
    }
    turn.gaps += collect();
    if (ready_.empty() && request_.end && !is_finishing_) {
      finish_tails();
      continue;
    }
    if (ready_.empty()) {
      if (request_.end) {
        writer_.send({.event = "end", .data = request_.end->dump()});
        writer_.end();
      }
      turn.outcome = request_.end ? Outcome::kDone : Outcome::kIdle;
      return turn;
    }
    if (turn.lines == kLinesPerTurn) {
      turn.outcome = Outcome::kMore;
      return turn;
    }
    send(ready_.top());
    has_ready_.erase(ready_.top().tail);
    unread_.insert(ready_.top().tail);
    ready_.pop();
    ++turn.lines;
  }
}

}  // namespace busbar::control
