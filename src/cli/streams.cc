#include "cli/streams.h"

#include <algorithm>
#include <chrono>

#include "os/gate.h"

namespace busbar::cli {
namespace {

constexpr std::int64_t kFirstDelayMs = 100;
constexpr std::int64_t kLongestDelayMs = 2'000;

bool may_come_back(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kDeadlineExceeded;
}

}  // namespace

bool LogPosition::take(const api::LogLine& line) {
  Place& place = places_[{line.attempt, line.task}];
  if (!place.is_caught_up) {
    if (line.time_ms < place.time_ms) {
      return false;
    }
    if (line.time_ms == place.time_ms && place.repeated < place.taken) {
      ++place.repeated;
      return false;
    }
    place.is_caught_up = true;
  }
  if (line.time_ms == place.time_ms) {
    ++place.taken;
  } else {
    place.time_ms = line.time_ms;
    place.taken = 1;
  }
  return true;
}

void LogPosition::reopen() {
  for (auto& [task, place] : places_) {
    place.is_caught_up = false;
    place.repeated = 0;
  }
}

TimeMs LogPosition::since_ms() const {
  TimeMs since_ms = 0;
  for (const auto& [task, place] : places_) {
    since_ms = since_ms == 0 ? place.time_ms : std::min(since_ms, place.time_ms);
  }
  return since_ms;
}

Result<std::unique_ptr<JobStream>> JobStream::make(std::unique_ptr<ApiClient> client, StreamSink sink) {
  TRY_ASSIGN(os::EventFd stop, os::EventFd::create());
  return std::unique_ptr<JobStream>(new JobStream(std::move(client), std::move(sink), std::move(stop)));
}

Result<std::unique_ptr<JobStream>> JobStream::watch(std::unique_ptr<ApiClient> client, model::JobId job,
                                                    StreamSink sink) {
  TRY_ASSIGN(auto stream, make(std::move(client), std::move(sink)));
  JobStream* self = stream.get();
  stream->thread_ =
      os::start_thread("watch", [self, job] { self->keep_trying([self, job] { return self->watch_once(job); }); });
  return stream;
}

Result<std::unique_ptr<JobStream>> JobStream::logs(std::unique_ptr<ApiClient> client, std::string job, Query query,
                                                   StreamSink sink) {
  TRY_ASSIGN(auto stream, make(std::move(client), std::move(sink)));
  JobStream* self = stream.get();
  stream->thread_ = os::start_thread("logs", [self, job = std::move(job), query = std::move(query)] {
    self->keep_trying([&] { return self->logs_once(job, query); });
  });
  return stream;
}

JobStream::~JobStream() {
  stop_.set();
  client_->cancel();
  thread_.join();
}

void JobStream::heard() {
  waited_ms_ = 0;
  if (is_lost_) {
    is_lost_ = false;
    sink_(ServerBack{});
  }
}

void JobStream::keep_trying(const std::function<Result<bool>()>& once) {
  std::int64_t delay_ms = kFirstDelayMs;
  while (!stop_.wait(std::chrono::milliseconds(0))) {
    const auto outcome = once();
    if (outcome && *outcome) {
      return;
    }
    const Error error =
        outcome ? Error{.code = ErrorCode::kUnavailable, .message = "the server closed the stream"} : outcome.error();
    if (error.code == ErrorCode::kCancelled) {
      return;
    }
    if (!may_come_back(error) || waited_ms_ >= kGiveUpAfterMs) {
      sink_(StreamFailed{error});
      return;
    }
    if (waited_ms_ == 0) {
      delay_ms = kFirstDelayMs;
    } else if (!is_lost_) {
      // Once is no loss worth words: a server that restarts in a moment is not noticed.
      is_lost_ = true;
      sink_(ServerLost{error});
    }
    if (stop_.wait(std::chrono::milliseconds(delay_ms))) {
      return;
    }
    waited_ms_ += delay_ms;
    delay_ms = std::min(delay_ms * 2, kLongestDelayMs);
  }
}

Result<bool> JobStream::watch_once(model::JobId job) {
  bool is_over = false;
  Result<void> broken;
  TRY(client_->events(job_target(job.to_string(), "/watch"), [&](std::string_view name, const Json& data) {
    if (name != "job") {
      return true;
    }
    auto status = read_answer<api::JobStatus>(data);
    if (!status) {
      broken = tl::unexpected(status.error());
      return false;
    }
    heard();
    is_over = model::is_terminal(status->state);
    sink_(*std::move(status));
    return !is_over;
  }));
  TRY(broken);
  return is_over;
}

Result<bool> JobStream::logs_once(const std::string& job, const Query& query) {
  Query own = query;
  if (was_opened_ && position_.since_ms() != 0) {
    std::erase_if(own, [](const auto& item) { return item.first == "since_ms" || item.first == "tail"; });
    own.emplace_back("since_ms", std::to_string(position_.since_ms()));
  }
  position_.reopen();
  bool is_over = false;
  Result<void> broken;
  TRY(client_->events(job_target(job, "/logs", own), [&](std::string_view name, const Json& data) {
    heard();
    was_opened_ = true;
    if (name == "line") {
      auto line = read_answer<api::LogLine>(data);
      if (!line) {
        broken = tl::unexpected(line.error());
        return false;
      }
      if (position_.take(*line)) {
        sink_(*std::move(line));
      }
    } else if (name == "gap") {
      sink_(LogsGap{static_cast<std::uint32_t>(data["task"].as_int())});
    } else if (name == "end") {
      is_over = true;
      sink_(LogsEnded{});
    }
    return !is_over;
  }));
  TRY(broken);
  return is_over;
}

}  // namespace busbar::cli
