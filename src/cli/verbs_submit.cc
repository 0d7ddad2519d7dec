#include <fmt/format.h>

#include <memory>
#include <utility>

#include "base/text.h"
#include "cli/context.h"
#include "cli/describe.h"
#include "cli/follow.h"
#include "cli/job_source.h"
#include "cli/serve.h"
#include "cli/submit.h"
#include "cli/terminal.h"
#include "cli/verb_tools.h"

namespace busbar::cli {
namespace {

struct ApplyOptions {
  std::vector<std::string> files = {};
  std::vector<std::string> more_files = {};
  std::vector<std::string> settings = {};
  SubmitChoices choices = {};
  bool waits = false;
  bool watches = false;
};

/// Follows the jobs one after the other; the first one that did not succeed gives the exit code.
Result<int> wait_for_jobs(Context& context, const std::vector<api::JobStatus>& jobs, bool shows_progress) {
  context.mirrors_exit_code = true;
  int exit = 0;
  for (const api::JobStatus& job : jobs) {
    TRY_ASSIGN(const FollowEnd end, follow_job(context, {.job = job.id, .shows_progress = shows_progress}));
    if (end.was_left) {
      return mirrored_exit_code(end);
    }
    TRY_ASSIGN(ApiClient * client, context.client());
    TRY_ASSIGN(const Json answer, client->get(job_target(job.id.to_string(), "")));
    TRY_ASSIGN(const auto status, read_answer<api::JobStatus>(answer));
    if (!context.wants_json() && !context.global.is_quiet) {
      // Of many jobs a line each: the members of an array may be thousands.
      context.out().write(jobs.size() == 1
                              ? summarise_job(status, look_of(context))
                              : fmt::format("job {} {}: {}\n", printable(job_title(status)),
                                            model::job_state_name(status.state), printable(job_ending(status))));
    }
    exit = exit != 0 ? exit : mirrored_exit_code(status);
  }
  return exit;
}

void print_submitted(Context& context, const api::SubmitAnswer& answer) {
  for (const api::JobStatus& job : answer.jobs) {
    context.out().line(context.global.is_quiet
                           ? job.id.to_string()
                           : fmt::format("job {} {}{}", job_title(job), model::job_state_name(job.state),
                                         answer.is_repeated ? " (submitted before with this key)" : ""));
  }
}

Result<int> apply(Context& context, const ApplyOptions& options) {
  std::vector<std::string> files = options.files;
  files.insert(files.end(), options.more_files.begin(), options.more_files.end());
  if (files.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "which job file? usage: busbar apply -f FILE...");
  }
  api::SubmitAnswer all;
  std::vector<api::ServiceStatus> services;
  for (const std::string& file : files) {
    TRY_ASSIGN(JobSource source, file_source(file));
    source.overrides = options.settings;
    TRY_ASSIGN(const api::SubmitAnswer answer, submit_source(context, source, options.choices));
    if (options.choices.is_dry_run) {
      context.wants_json() ? context.print_json(answer.dry_run) : context.out().write(describe_dry_run(answer.dry_run));
      continue;
    }
    if (answer.service) {
      services.push_back(*answer.service);
    } else if (!context.wants_json()) {
      print_submitted(context, answer);
    }
    all.jobs.insert(all.jobs.end(), answer.jobs.begin(), answer.jobs.end());
    all.warnings.insert(all.warnings.end(), answer.warnings.begin(), answer.warnings.end());
    all.is_repeated = all.is_repeated || answer.is_repeated;
  }
  if (options.choices.is_dry_run) {
    return 0;
  }
  for (const api::ServiceStatus& service : services) {
    TRY(follow_service(context, service));
  }
  if (all.jobs.empty() && !services.empty()) {
    return 0;
  }
  if (options.waits || options.watches) {
    return wait_for_jobs(context, all.jobs, options.watches);
  }
  if (context.wants_json()) {
    context.print_json(api::to_json(all));
  }
  return 0;
}

struct RunOptions {
  RunFlags job = {};
  bool is_detached = false;
  bool has_terminal = false;
  bool is_dry_run = false;
};

/// A command, or one job file or #SBATCH script.
Result<JobSource> run_source(Context& context, const RunOptions& options) {
  const std::vector<std::string>& words = context.command_line;
  if (words.empty()) {
    return make_error(ErrorCode::kInvalidArgument,
                      "which command? usage: busbar run [flags] -- COMMAND..., or run [flags] FILE");
  }
  if (context.is_after_mark || !is_job_file(words[0])) {
    return command_source(options.job, words, context.platform.environment);
  }
  if (words.size() > 1) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("\"{0}\" is a job file and takes no arguments; to run it as a program: busbar run -- "
                                  "{0} {1}",
                                  words[0], words[1]));
  }
  TRY_ASSIGN(JobSource source, file_source(words[0]));
  TRY_ASSIGN(source.overrides, flag_overrides(options.job, context.platform.environment));
  return source;
}

/// Attaches as soon as the job runs; what it wrote before is in its log.
Result<int> run_in_terminal(Context& context, const api::JobStatus& job) {
  const std::string id = job.id.to_string();
  TRY_ASSIGN(const FollowEnd ready, follow_job(context, {.job = job.id,
                                                         .shows_progress = true,
                                                         .on_interrupt = FollowPlan::OnInterrupt::kStopJob,
                                                         .until = model::JobState::kRunning}));
  if (ready.was_left || model::is_terminal(ready.job.state)) {
    return mirrored_exit_code(ready);
  }
  TRY_ASSIGN(const TerminalEnd session, run_terminal(context, {.target = job_target(id, "/attach", {{"task", "0"}}),
                                                               .sends_input = true,
                                                               .is_raw = true,
                                                               .has_detach_keys = true}));
  if (session.was_detached) {
    context.note(fmt::format("\r\nleft job {}, which goes on; busbar attach {} comes back", id, id));
    return 0;
  }
  TRY_ASSIGN(const FollowEnd end, follow_job(context, {.job = job.id}));
  return mirrored_exit_code(end);
}

Result<int> run(Context& context, const RunOptions& options) {
  if (options.has_terminal && context.platform.terminal < 0) {
    return make_error(ErrorCode::kInvalidArgument, "--tty needs a terminal, and standard input is none");
  }
  TRY_ASSIGN(const JobSource source, run_source(context, options));
  TRY_ASSIGN(const api::SubmitAnswer answer,
             submit_source(context, source, {.is_dry_run = options.is_dry_run, .has_terminal = options.has_terminal}));
  if (options.is_dry_run) {
    context.wants_json() ? context.print_json(answer.dry_run) : context.out().write(describe_dry_run(answer.dry_run));
    return 0;
  }
  if (options.is_detached) {
    context.wants_json() ? context.print_json(api::to_json(answer)) : print_submitted(context, answer);
    return 0;
  }
  if (answer.jobs.size() > 1) {
    context.note(fmt::format("busbar: an array of {} jobs; busbar logs shows the output of each", answer.jobs.size()));
    return wait_for_jobs(context, answer.jobs, true);
  }
  const api::JobStatus& job = answer.jobs.front();
  if (options.has_terminal) {
    return run_in_terminal(context, job);
  }
  TRY_ASSIGN(const FollowEnd end, follow_job(context, {.job = job.id,
                                                       .shows_logs = true,
                                                       .shows_progress = true,
                                                       .labels_tasks = job.nodes > 1,
                                                       .on_interrupt = FollowPlan::OnInterrupt::kStopJob}));
  if (!end.was_left && end.job.state != model::JobState::kSucceeded && context.err().is_terminal()) {
    context.note(fmt::format("busbar: job {} {}: {}", job_title(end.job), model::job_state_name(end.job.state),
                             job_ending(end.job)));
  }
  return mirrored_exit_code(end);
}

}  // namespace

Command apply_command() {
  auto options = std::make_shared<ApplyOptions>();
  return {
      .name = "apply",
      .summary = "submit job files",
      .usage = "busbar apply [flags] -f FILE...",
      .details =
          "Job files are YAML or JSON (docs/job-file.md); scripts with #SBATCH lines are accepted too. All "
          "that is wrong with a file is said at once, with line and column. A service is waited for as busbar serve "
          "does it. With --wait or --watch the "
          "exit code is that of the first job that did not succeed.",
      .flags = {with_completion(
                    list_flag("-f,--file", "FILE", "a job file; - is standard input; may be repeated", options->files),
                    Complete::kFiles),
                list_flag("--set", "FIELD=VALUE", "change a field: resources.cpus=4; may be repeated",
                          options->settings),
                switch_flag("--dry-run", "show effective job, launch environment and OCI edits; submit nothing",
                            options->choices.is_dry_run),
                switch_flag("--wait", "wait until the jobs are over", options->waits),
                switch_flag("--watch", "the same, and show how they get on", options->watches),
                text_flag("--key", "KEY", "submitting again with the same key gives the same job",
                          options->choices.client_key),
                switch_flag("--may-wait", "accept a job that the cluster as it is could never run",
                            options->choices.may_wait_infeasible)},
      .positional =
          {.name = "FILE", .least = 0, .most = 1'000, .target = &options->more_files, .complete = Complete::kFiles},
      .examples = {{"busbar apply -f examples/digits.yaml --watch", "train, and see it happen"},
                   {"busbar apply -f train.yaml --set nodes=4 --set env.LR=0.1", "without editing the file"},
                   {"busbar apply -f job.sbatch --dry-run", "what a Slurm script becomes"}},
      .run = [options](Context& context) { return apply(context, *options); }};
}

Command run_command() {
  auto options = std::make_shared<RunOptions>();
  std::vector<Flag> flags = run_flags(options->job);
  flags.push_back(switch_flag("-d,--detach", "submit and return", options->is_detached));
  flags.push_back(switch_flag("--dry-run", "show effective job, launch environment and OCI edits; submit nothing",
                              options->is_dry_run));
  flags.push_back(switch_flag("--tty", "give the job a terminal and connect to it", options->has_terminal));
  return {.name = "run",
          .summary = "run a command as a job and mirror its exit code",
          .usage = "busbar run [flags] -- COMMAND...  |  busbar run [flags] SCRIPT|FILE.yaml",
          .details =
              "Prints the job's output and ends with its exit code; 125 if busbar itself failed. Ctrl-C stops "
              "the job, a second one leaves it. One word with spaces is shell text. A job file or a script "
              "with #SBATCH lines is submitted as what it is; flags then win over the file.",
          .flags = std::move(flags),
          .takes_command = true,
          .mirrors_exit_code = true,
          .examples = {{"busbar run -- python3 train.py --lr 0.1", "one task on this machine"},
                       {"busbar run -N 2 --gpus H100:8 -- torchrun train.py", "a gang of two nodes"},
                       {"busbar run 'make && ./a.out'", "shell text"},
                       {"busbar run -d job.sbatch", "like sbatch"},
                       {"busbar run --dry-run -G MI300X:8 -- true", "what its container would be given"}},
          .run = [options](Context& context) { return run(context, *options); }};
}

}  // namespace busbar::cli
