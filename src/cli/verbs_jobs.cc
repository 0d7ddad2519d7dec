#include <fmt/format.h>
#include <poll.h>

#include <memory>

#include "base/text.h"
#include "cli/context.h"
#include "cli/describe.h"
#include "cli/follow.h"
#include "cli/verb_tools.h"

namespace busbar::cli {
namespace {

/// The server's own limit of one page.
constexpr std::int64_t kPage = 1'000;
constexpr int kWatchEveryMs = 1'000;

struct PsOptions {
  bool shows_all = false;
  bool watches = false;
  std::string state = {};
  std::string queue = {};
  std::string user = {};
  std::string name = {};
  std::optional<std::int64_t> limit = {};
};

Query ps_query(const PsOptions& options) {
  Query query;
  const auto add = [&query](const char* name, const std::string& value) {
    if (!value.empty()) {
      query.emplace_back(name, value);
    }
  };
  add("all", options.shows_all ? "true" : "");
  add("state", options.state);
  add("queue", options.queue);
  add("user", options.user);
  add("name", options.name);
  return query;
}

/// Pages until there is no more or `limit` jobs are there; the document has the same shape as the server's.
Result<Json> fetch_jobs(ApiClient& client, const PsOptions& options) {
  constexpr std::int64_t kDefaultLimit = 200;
  std::int64_t left = options.limit.value_or(kDefaultLimit);
  const bool is_unlimited = left == 0;
  Json jobs = Json::array();
  std::int64_t before = 0;
  while (is_unlimited || left > 0) {
    Query query = ps_query(options);
    query.emplace_back("limit", std::to_string(is_unlimited ? kPage : std::min(left, kPage)));
    if (before != 0) {
      query.emplace_back("before", std::to_string(before));
    }
    TRY_ASSIGN(const Json page, client.get(api_target("/v1/jobs", query)));
    for (const Json& job : page["jobs"].items()) {
      jobs.push(job);
      --left;
    }
    before = page["next_before"].as_int();
    if (before == 0 || page["jobs"].items().empty()) {
      break;
    }
  }
  return Json::object({{"jobs", std::move(jobs)}, {"next_before", before}});
}

Result<int> list_jobs_once(Context& context, const PsOptions& options, bool redraws) {
  TRY_ASSIGN(ApiClient * client, context.client());
  TRY_ASSIGN(const Json answer, fetch_jobs(*client, options));
  if (context.wants_json()) {
    redraws ? context.print_json_line(answer) : context.print_json(answer);
    return 0;
  }
  TRY_ASSIGN(const auto list, read_answer<api::JobList>(answer));
  if (context.global.is_quiet) {
    for (const api::JobStatus& job : list.jobs) {
      context.out().line(job.id.to_string());
    }
    return 0;
  }
  std::string text = jobs_table(list.jobs, look_of(context));
  if (redraws && context.out().is_terminal()) {
    text = "\x1b[H\x1b[2J" + text;
  }
  context.out().write(text);
  if (list.jobs.empty() && context.err().is_terminal()) {
    context.note(options.shows_all ? "no jobs" : "no jobs wait or run; busbar ps -a also shows those that are over");
  }
  if (list.next_before.is_valid()) {
    context.note(fmt::format("only the newest {} are shown; -n 0 shows all", list.jobs.size()));
  }
  return 0;
}

Result<int> list_jobs(Context& context, const PsOptions& options) {
  if (!options.watches) {
    return list_jobs_once(context, options, false);
  }
  while (true) {
    TRY(list_jobs_once(context, options, true));
    (void)::poll(nullptr, 0, kWatchEveryMs);
  }
}

Result<int> describe(Context& context, const std::string& job) {
  TRY_ASSIGN(ApiClient * client, context.client());
  TRY_ASSIGN(const Json answer, client->get(job_target(job, "")));
  if (context.wants_json()) {
    context.print_json(answer);
    return 0;
  }
  TRY_ASSIGN(const auto status, read_answer<api::JobStatus>(answer));
  context.out().write(describe_job(status, look_of(context)));
  return 0;
}

struct WhyOptions {
  std::vector<std::string> jobs = {};
  bool is_reason_enough = false;
};

Result<int> why(Context& context, const WhyOptions& options) {
  TRY_ASSIGN(ApiClient * client, context.client());
  const std::string_view question = options.is_reason_enough ? "/why?changes=false" : "/why";
  TRY_ASSIGN(const Json answer, client->get(job_target(options.jobs.front(), question)));
  if (context.wants_json()) {
    context.print_json(answer);
    return 0;
  }
  TRY_ASSIGN(const auto reason, read_answer<api::WhyAnswer>(answer));
  context.out().write(describe_why(reason, look_of(context)));
  return 0;
}

/// "in 2h03m (2026-01-02T03:04:05.678Z)".
std::string moment(const std::optional<TimeMs>& time_ms, TimeMs now_ms) {
  if (!time_ms) {
    return "not within the time looked at";
  }
  return *time_ms <= now_ms ? "now"
                            : fmt::format("in {} ({})", format_duration_ms(*time_ms - now_ms), format_time(*time_ms));
}

Result<int> when(Context& context, const std::string& job) {
  TRY_ASSIGN(ApiClient * client, context.client());
  TRY_ASSIGN(const Json answer, client->get(job_target(job, "/when")));
  if (context.wants_json()) {
    context.print_json(answer);
    return 0;
  }
  TRY_ASSIGN(const auto start, read_answer<api::WhenAnswer>(answer));
  const TimeMs now_ms = context.now_ms();
  context.out().line(fmt::format("Job {} starts {}; {} in nine of ten trials", start.id.value,
                                 moment(start.p50_ms, now_ms), moment(start.p90_ms, now_ms)));
  context.out().line("  " + printable(start.text));
  return 0;
}

/// One POST for each job; goes on after a failure so that `stop 1 2 3` stops what it can, and gives the first error.
Result<int> post_each(Context& context, const std::vector<std::string>& jobs, const std::string& rest,
                      const Query& query, const std::string& done) {
  TRY_ASSIGN(ApiClient * client, context.client());
  std::optional<Error> first_error;
  Json answers = Json::array();
  for (const std::string& job : jobs) {
    const auto answer = client->post(job_target(job, rest, query));
    if (!answer) {
      if (first_error) {
        context.note("busbar: " + answer.error().to_string());
      } else {
        first_error = answer.error();
      }
      continue;
    }
    answers.push(*answer);
    if (!context.wants_json()) {
      TRY_ASSIGN(const auto status, read_answer<api::JobStatus>(*answer));
      context.note(fmt::format("{} job {}: {}", done, job_title(status), model::job_state_name(status.state)));
    }
  }
  if (context.wants_json()) {
    context.print_json(Json::object({{"jobs", std::move(answers)}}));
  }
  if (first_error) {
    return tl::unexpected(*first_error);
  }
  return 0;
}

struct StopOptions {
  std::vector<std::string> jobs = {};
  std::optional<std::int64_t> grace_ms = {};
};

Result<int> stop(Context& context, const StopOptions& options) {
  Query query;
  if (options.grace_ms) {
    query.emplace_back("grace_ms", std::to_string(*options.grace_ms));
  }
  return post_each(context, options.jobs, "/stop", query, "stopping");
}

struct SignalOptions {
  std::vector<std::string> words = {};
  std::optional<std::int64_t> task = {};
};

Result<int> send_signal(Context& context, const SignalOptions& options) {
  Query query{{"signal", options.words[0]}};
  if (options.task) {
    query.emplace_back("task", std::to_string(*options.task));
  }
  return post_each(context, {options.words.begin() + 1, options.words.end()}, "/signal", query, "signalled");
}

/// Waits for one after the other: all of them have to end, so the order does not matter.
Result<int> wait_for(Context& context, const std::vector<std::string>& jobs) {
  TRY_ASSIGN(ApiClient * client, context.client());
  int exit = 0;
  Json ended = Json::array();
  for (const std::string& job : jobs) {
    TRY_ASSIGN(const Json answer, client->get(job_target(job, "")));
    TRY_ASSIGN(auto status, read_answer<api::JobStatus>(answer));
    if (!model::is_terminal(status.state)) {
      const bool was_json = std::exchange(context.global.wants_json, false);
      const auto end = follow_job(context, {.job = status.id, .shows_progress = context.err().is_terminal()});
      context.global.wants_json = was_json;
      TRY(end);
      if (end->was_left) {
        return mirrored_exit_code(*end);
      }
      status = end->job;
    }
    ended.push(api::to_json(status));
    if (!context.wants_json()) {
      context.note(fmt::format("job {} {}{}", job_title(status), model::job_state_name(status.state),
                               status.state == model::JobState::kSucceeded ? "" : ": " + job_ending(status)));
    }
    exit = exit != 0 ? exit : mirrored_exit_code(status);
  }
  if (context.wants_json()) {
    context.print_json(Json::object({{"jobs", std::move(ended)}}));
  }
  return exit;
}

}  // namespace

Command ps_command() {
  auto options = std::make_shared<PsOptions>();
  return {
      .name = "ps",
      .summary = "list jobs",
      .usage = "busbar ps [flags]",
      .details =
          "Jobs that wait or run, newest first; -a also shows those that are over. A terminal that is too "
          "narrow loses the least important columns; a pipe gets everything.",
      .flags = {switch_flag("-a,--all", "also jobs that are over", options->shows_all),
                with_completion(
                    text_flag("--state", "STATES", "only these states, separated by commas", options->state),
                    Complete::kWords, state_names()),
                with_completion(text_flag("--queue", "QUEUE", "only this queue", options->queue), Complete::kQueues),
                text_flag("--user", "USER", "only this user", options->user),
                text_flag("--name", "NAME", "only jobs of this name", options->name),
                number_flag("-n,--limit", "N", "at most N jobs (default 200; 0: all)", options->limit),
                switch_flag("-w,--watch", "show it again each second", options->watches)},
      .examples = {{"busbar ps -a --state failed", "what went wrong lately"},
                   {"busbar stop $(busbar ps -q --queue vision)", "stop all jobs of a queue"}},
      .run = [options](Context& context) { return list_jobs(context, *options); }};
}

Command describe_command() {
  auto jobs = std::make_shared<std::vector<std::string>>();
  return {.name = "describe",
          .summary = "everything about a job",
          .usage = "busbar describe JOB",
          .details =
              "State, times of each attempt's phases, tasks and their cards, progress, where every card-second "
              "went, log files, the effective job. JOB is an id or a name (the newest job of that name).",
          .positional = {.name = "JOB", .least = 1, .most = 1, .target = jobs.get(), .complete = Complete::kJobs},
          .examples = {{"busbar describe digits", "the newest job of that name"}},
          .run = [jobs](Context& context) { return describe(context, jobs->front()); }};
}

Command why_command() {
  auto options = std::make_shared<WhyOptions>();
  return {.name = "why",
          .summary = "why a job does not run, and what would start it",
          .usage = "busbar why JOB [flags]",
          .details =
              "Names the constraint that binds and the smallest changes that would start the job now; each "
              "was tried on a copy of the scheduler's state, none is a guess.",
          .flags = {switch_flag("--reason", "only the constraint, without trying changes", options->is_reason_enough)},
          .positional = {.name = "JOB", .least = 1, .most = 1, .target = &options->jobs, .complete = Complete::kJobs},
          .examples = {{"busbar why 17", "what job 17 waits for"},
                       {"busbar why 17 --reason --json", "the same in a loop, a millisecond each"}},
          .run = [options](Context& context) { return why(context, *options); }};
}

Command when_command() {
  auto jobs = std::make_shared<std::vector<std::string>>();
  return {
      .name = "when",
      .summary = "when a waiting job starts",
      .usage = "busbar when JOB",
      .details =
          "Plays the future on copies of the scheduler's state: running jobs end as those of their queue did before, "
          "else at their time limit. Jobs that are submitted later are not foreseen.",
      .positional = {.name = "JOB", .least = 1, .most = 1, .target = jobs.get(), .complete = Complete::kJobs},
      .examples = {{"busbar when 17", "the median, and what nine of ten trials keep"}},
      .run = [jobs](Context& context) { return when(context, jobs->front()); }};
}

Command stop_command() {
  auto options = std::make_shared<StopOptions>();
  return {
      .name = "stop",
      .summary = "stop jobs",
      .usage = "busbar stop [flags] JOB...",
      .details =
          "A job that waits leaves the queue; one that runs gets its checkpoint signal, SIGTERM, and after "
          "the grace SIGKILL. Does not wait: busbar wait JOB does.",
      .flags = {duration_flag("--grace", "TIME", "between SIGTERM and SIGKILL (default: the job's own)",
                              options->grace_ms)},
      .positional = {.name = "JOB", .least = 1, .most = 10'000, .target = &options->jobs, .complete = Complete::kJobs},
      .examples = {{"busbar stop 17 18", "two jobs"}, {"busbar stop --grace 2m digits", "time to save"}},
      .run = [options](Context& context) { return stop(context, *options); }};
}

Command signal_command() {
  auto options = std::make_shared<SignalOptions>();
  return {.name = "signal",
          .summary = "send a signal to a job",
          .usage = "busbar signal [flags] SIGNAL JOB...",
          .flags = {number_flag("--task", "RANK", "only this task (default: all)", options->task)},
          .positional = {.name = "SIGNAL and JOB",
                         .least = 2,
                         .most = 10'000,
                         .target = &options->words,
                         .complete = Complete::kJobs},
          .examples = {{"busbar signal USR1 17", "many programs save a checkpoint on it"}},
          .run = [options](Context& context) { return send_signal(context, *options); }};
}

Command wait_command() {
  auto jobs = std::make_shared<std::vector<std::string>>();
  return {.name = "wait",
          .summary = "wait until jobs are over and mirror their exit code",
          .usage = "busbar wait JOB...",
          .details = "The exit code is that of the first job that did not succeed; see docs/exit-codes.md.",
          .positional = {.name = "JOB", .least = 1, .most = 10'000, .target = jobs.get(), .complete = Complete::kJobs},
          .mirrors_exit_code = true,
          .examples = {{"busbar wait 17 && busbar apply -f next.yaml", "one after the other"}},
          .run = [jobs](Context& context) { return wait_for(context, *jobs); }};
}

}  // namespace busbar::cli
