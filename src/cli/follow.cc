#include "cli/follow.h"

#include <fmt/format.h>
#include <poll.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <deque>
#include <memory>
#include <utility>

#include "cli/mailbox.h"
#include "cli/progress.h"
#include "cli/streams.h"
#include "os/signals.h"

namespace busbar::cli {
namespace {

constexpr int kInterruptedExit = 130;  // 128 + SIGINT, as shells say.
/// The status line shows the time that goes by.
constexpr int kRedrawMs = 1'000;
/// How long output may trail the job's end before we stop waiting for it.
constexpr std::int64_t kLogGraceMs = 5'000;

/// The loop of follow_job. Lives on one thread; streams reach it by the mailbox.
class Follower {
 public:
  Follower(Context& context, const FollowPlan& plan)
      : context_(context), plan_(plan), progress_(context.err(), !plan.shows_progress || context.global.is_quiet) {}

  Result<FollowEnd> run() {
    TRY_ASSIGN(os::SignalFd signals, os::SignalFd::create({SIGINT, SIGTERM}));
    TRY(open_streams());
    while (!is_done()) {
      wait(signals.fd());
      TRY(take_mail());
      while (const auto signal = signals.take()) {
        TRY(interrupted(*signal));
      }
      if (context_.err().is_terminal() && has_status_ && !context_.wants_json()) {
        progress_.show(end_.job, context_.now_ms());
      }
    }
    return end_;
  }

 private:
  Result<void> open_streams() {
    const auto sink = [this](StreamMessage message) { mailbox_.put(std::move(message)); };
    TRY_ASSIGN(auto watch_client, context_.new_client());
    TRY_ASSIGN(watch_, JobStream::watch(std::move(watch_client), plan_.job, sink));
    if (plan_.shows_logs) {
      TRY_ASSIGN(auto logs_client, context_.new_client());
      TRY_ASSIGN(logs_, JobStream::logs(std::move(logs_client), plan_.job.to_string(), {{"follow", "true"}}, sink));
    }
    return {};
  }

  bool is_done() const {
    if (end_.was_left) {
      return true;
    }
    if (plan_.until && has_status_ && end_.job.state == *plan_.until) {
      return true;
    }
    if (!has_status_ || !model::is_terminal(end_.job.state)) {
      return false;
    }
    return !plan_.shows_logs || logs_ended_ || context_.platform.clock.monotonic_ns() >= log_deadline_ns_;
  }

  void wait(int signal_fd) {
    std::array fds{pollfd{.fd = mailbox_.fd(), .events = POLLIN, .revents = 0},
                   pollfd{.fd = signal_fd, .events = POLLIN, .revents = 0}};
    (void)::poll(fds.data(), fds.size(), kRedrawMs);  // EINTR and timeouts: the loop looks again.
  }

  Result<void> take_mail() {
    for (StreamMessage& message : mailbox_.take()) {
      Result<void> outcome;
      std::visit([&](auto& body) { outcome = take(body); }, message);
      TRY(outcome);
    }
    progress_.redraw();
    return {};
  }

  Result<void> take(api::JobStatus& job) {
    if (!has_status_ || job.state != end_.job.state || job.attempt != end_.job.attempt) {
      log_deadline_ns_ = context_.platform.clock.monotonic_ns() + kLogGraceMs * 1'000'000;
    }
    has_status_ = true;
    end_.job = std::move(job);
    if (context_.wants_json()) {
      context_.print_json_line(Json::object({{"job", api::to_json(end_.job)}}));
    } else {
      progress_.show(end_.job, context_.now_ms());
    }
    return {};
  }

  Result<void> take(const api::LogLine& line) {
    if (context_.wants_json()) {
      context_.print_json_line(Json::object({{"line", api::to_json(line)}}));
      return {};
    }
    progress_.clear();
    write_log_line(context_, line, plan_.labels_tasks ? fmt::format("{}: ", line.task) : "");
    return {};
  }

  Result<void> take(const LogsEnded& /*ended*/) {
    logs_ended_ = true;
    return {};
  }

  Result<void> take(const LogsGap& gap) {
    note(fmt::format("busbar: some output of task {} was rotated away before it was read", gap.task));
    return {};
  }

  Result<void> take(const ServerLost& lost) {
    if (!said_lost_) {
      note("busbar: " + lost.error.to_string() + "; waiting for it to come back (the job runs on)");
      said_lost_ = true;
    }
    return {};
  }

  Result<void> take(const ServerBack& /*back*/) {
    if (said_lost_) {
      note("busbar: the server is back");
      said_lost_ = false;
    }
    return {};
  }

  Result<void> take(const StreamFailed& failed) { return tl::unexpected(failed.error); }

  Result<void> interrupted(int signal) {
    const bool may_stop = plan_.on_interrupt == FollowPlan::OnInterrupt::kStopJob && signal == SIGINT;
    const std::string id = plan_.job.to_string();
    if (may_stop && !end_.was_interrupted) {
      end_.was_interrupted = true;
      note(fmt::format("busbar: stopping job {} (Ctrl-C again: do not wait for it)", id));
      TRY_ASSIGN(ApiClient * client, context_.client());
      TRY(client->post(job_target(id, "/stop")));
      return {};
    }
    end_.was_left = true;
    note(end_.was_interrupted
             ? fmt::format("busbar: job {} is being stopped; busbar describe {} tells how it ends", id, id)
             : fmt::format("busbar: job {} goes on; busbar logs -f {} shows it, busbar stop {} stops it", id, id, id));
    return {};
  }

  void note(const std::string& text) {
    progress_.clear();
    context_.note(text);
  }

  Context& context_;
  const FollowPlan& plan_;
  Mailbox<StreamMessage> mailbox_;
  ProgressLine progress_;
  FollowEnd end_;
  bool has_status_ = false;
  bool logs_ended_ = false;
  bool said_lost_ = false;
  std::int64_t log_deadline_ns_ = 0;
  // Last, so that their threads end before what they write to.
  std::unique_ptr<JobStream> watch_;
  std::unique_ptr<JobStream> logs_;
};

}  // namespace

Result<FollowEnd> follow_job(Context& context, const FollowPlan& plan) {
  return Follower(context, plan).run();
}

void write_log_line(Context& context, const api::LogLine& line, const std::string& label) {
  Output& output = line.stream == 2 ? context.err() : context.out();
  output.line(output.paint(label, Style::kDim) + line.text);
}

int mirrored_exit_code(const api::JobStatus& job) {
  constexpr int kTimedOut = 124;  // As timeout(1).
  constexpr int kOwnFailure = 125;
  constexpr int kKilled = 137;      // 128 + SIGKILL: what the kernel's OOM killer sends.
  constexpr int kTerminated = 143;  // 128 + SIGTERM.
  if (job.state == model::JobState::kSucceeded) {
    return 0;
  }
  const auto ended_by = model::exit_class_from_name(job.exit_class);
  if (!ended_by) {
    return job.exit_code && *job.exit_code != 0       ? *job.exit_code
           : job.state == model::JobState::kCancelled ? kTerminated
                                                      : kOwnFailure;
  }
  switch (*ended_by) {
    case model::ExitClass::kSuccess:
      return 0;
    case model::ExitClass::kUser:
      return job.exit_code && *job.exit_code != 0 ? *job.exit_code : 1;
    case model::ExitClass::kOutOfMemory:
      return kKilled;
    case model::ExitClass::kTimeLimit:
      return kTimedOut;
    case model::ExitClass::kCancelled:
      return kTerminated;
    case model::ExitClass::kPreempted:
    case model::ExitClass::kInfrastructure:
      return kOwnFailure;
  }
  return kOwnFailure;
}

int mirrored_exit_code(const FollowEnd& end) {
  return end.was_left || end.was_interrupted ? kInterruptedExit : mirrored_exit_code(end.job);
}

}  // namespace busbar::cli
