#include <fmt/format.h>

#include <memory>

#include "base/text.h"
#include "cli/context.h"
#include "cli/follow.h"
#include "cli/job_source.h"
#include "cli/submit.h"
#include "cli/terminal.h"
#include "cli/verb_tools.h"

namespace busbar::cli {
namespace {

struct ExecOptions {
  std::vector<std::string> jobs = {};
  bool sends_input = false;
  bool has_terminal = false;
  std::optional<std::int64_t> task = {};
  std::string workdir = {};
};

Result<void> need_terminal(const Context& context, std::string_view verb) {
  if (context.platform.terminal < 0) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("busbar {} needs a terminal, and standard input is none", verb));
  }
  return {};
}

std::string exec_target(Context& context, const std::string& job, const ExecOptions& options,
                        const std::vector<std::string>& argv) {
  Query query;
  for (const std::string& word : argv) {
    query.emplace_back("argv", word);
  }
  query.emplace_back("task", std::to_string(options.task.value_or(0)));
  if (options.has_terminal) {
    const WindowSize size = window_size(context.platform.terminal);
    query.emplace_back("tty", "true");
    query.emplace_back("rows", std::to_string(size.rows));
    query.emplace_back("columns", std::to_string(size.columns));
  }
  if (!options.workdir.empty()) {
    query.emplace_back("workdir", options.workdir);
  }
  return job_target(job, "/exec", query);
}

Result<int> exec(Context& context, const ExecOptions& options) {
  if (context.command_line.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "which command? usage: busbar exec [flags] JOB -- COMMAND...");
  }
  if (options.has_terminal) {
    TRY(need_terminal(context, "exec -t"));
  }
  TRY_ASSIGN(const TerminalEnd end,
             run_terminal(context, {.target = exec_target(context, options.jobs[0], options, context.command_line),
                                    .sends_input = options.sends_input,
                                    .is_raw = options.has_terminal}));
  if (context.wants_json()) {
    context.print_json_line(Json::object({{"exit_code", end.exit_code}}));
  }
  return end.exit_code;
}

struct AttachOptions {
  std::vector<std::string> jobs = {};
  std::optional<std::int64_t> task = {};
};

Result<int> attach(Context& context, const AttachOptions& options) {
  const std::string task = std::to_string(options.task.value_or(0));
  TRY_ASSIGN(const TerminalEnd end,
             run_terminal(context, {.target = job_target(options.jobs[0], "/attach", {{"task", task}}),
                                    .sends_input = true,
                                    .is_raw = context.platform.terminal >= 0,
                                    .has_detach_keys = context.platform.terminal >= 0}));
  if (end.was_detached) {
    context.note(
        fmt::format("\r\nleft job {}, which goes on; busbar attach {} comes back", options.jobs[0], options.jobs[0]));
    return 0;
  }
  if (context.wants_json()) {
    context.print_json_line(Json::object({{"exit_code", end.exit_code}}));
  }
  return end.exit_code;
}

struct DevOptions {
  RunFlags job = {};
  bool keeps = false;
};

/// The job's own shell, or the best that the image has.
const std::vector<std::string>& shell_command() {
  static const std::vector<std::string> kCommand{"/bin/sh", "-c",
                                                 "exec \"${BUSBAR_SHELL:-$(command -v bash || echo /bin/sh)}\" -i"};
  return kCommand;
}

Result<int> shell_in(Context& context, const api::JobStatus& job) {
  const ExecOptions options{.sends_input = true, .has_terminal = true};
  TRY_ASSIGN(const TerminalEnd end,
             run_terminal(context, {.target = exec_target(context, job.id.to_string(), options, shell_command()),
                                    .sends_input = true,
                                    .is_raw = true}));
  return end.exit_code;
}

Result<int> dev(Context& context, const DevOptions& options) {
  TRY(need_terminal(context, "dev"));
  TRY_ASSIGN(const JobSource source, dev_source(options.job, context.platform.environment));
  TRY_ASSIGN(const api::SubmitAnswer answer, submit_source(context, source, {}));
  const api::JobStatus& submitted = answer.jobs.front();
  const std::string id = submitted.id.to_string();
  TRY_ASSIGN(const FollowEnd ready, follow_job(context, {.job = submitted.id,
                                                         .shows_progress = true,
                                                         .on_interrupt = FollowPlan::OnInterrupt::kStopJob,
                                                         .until = model::JobState::kRunning}));
  if (ready.was_left || model::is_terminal(ready.job.state)) {
    context.note(fmt::format("job {} {}: {}", id, model::job_state_name(ready.job.state), job_ending(ready.job)));
    return mirrored_exit_code(ready);
  }
  context.note(fmt::format("job {} runs on {}; leave the shell to {}", id, join(ready.job.node_names, ", "),
                           options.keeps ? "keep it running" : "stop it"));
  auto exit = shell_in(context, ready.job);
  if (options.keeps) {
    context.note(
        fmt::format("job {} goes on; busbar exec -it {} -- bash comes back, busbar stop {} ends it", id, id, id));
    return exit;
  }
  TRY_ASSIGN(ApiClient * client, context.client());
  TRY(client->post(job_target(id, "/stop")));
  context.note(fmt::format("stopped job {}", id));
  return exit;
}

}  // namespace

Command exec_command() {
  auto options = std::make_shared<ExecOptions>();
  return {.name = "exec",
          .summary = "run a command inside a running job",
          .usage = "busbar exec [flags] JOB -- COMMAND...",
          .details =
              "The command runs beside the job's own, in the same container. The exit code is the command's; "
              "125 if busbar itself failed.",
          .flags = {switch_flag("-i,--interactive", "send standard input to the command", options->sends_input),
                    switch_flag("-t,--tty", "give the command a terminal", options->has_terminal),
                    number_flag("--task", "RANK", "in this task (default: 0)", options->task),
                    text_flag("-w,--workdir", "DIR", "run it there (default: the task's own)", options->workdir)},
          .positional = {.name = "JOB", .least = 1, .most = 1, .target = &options->jobs, .complete = Complete::kJobs},
          .takes_command = true,
          .mirrors_exit_code = true,
          .examples = {{"busbar exec -it 17 -- bash", "a shell in task 0 of job 17"},
                       {"busbar exec --task 1 digits -- nvidia-smi", "look at another task"},
                       {"tar c data | busbar exec -i 17 -- tar x -C /tmp", "send something in"}},
          .run = [options](Context& context) { return exec(context, *options); }};
}

Command attach_command() {
  auto options = std::make_shared<AttachOptions>();
  return {.name = "attach",
          .summary = "connect to a job's terminal",
          .usage = "busbar attach [flags] JOB",
          .details =
              "For jobs that were started with a terminal (busbar run --tty). Ctrl-P Ctrl-Q leaves and lets "
              "the job go on.",
          .flags = {number_flag("--task", "RANK", "this task (default: 0)", options->task)},
          .positional = {.name = "JOB", .least = 1, .most = 1, .target = &options->jobs, .complete = Complete::kJobs},
          .mirrors_exit_code = true,
          .examples = {{"busbar attach 17", "Ctrl-P Ctrl-Q leaves it"}},
          .run = [options](Context& context) { return attach(context, *options); }};
}

Command dev_command() {
  auto options = std::make_shared<DevOptions>();
  std::vector<Flag> flags = run_flags(options->job);
  flags.push_back(switch_flag("--keep", "let the job go on when the shell ends", options->keeps));
  return {.name = "dev",
          .summary = "open a shell in a job of its own",
          .usage = "busbar dev [flags]",
          .details =
              "Asks for cards, waits until they are granted, opens a shell there. Leaving the shell stops the "
              "job, so that no card idles; --keep lets it go on.",
          .flags = std::move(flags),
          .mirrors_exit_code = true,
          .examples = {{"busbar dev --accelerators H100:1", "a shell with a card"},
                       {"busbar dev --image oci:/srv/images/torch --keep", "an image of your own, kept"}},
          .run = [options](Context& context) { return dev(context, *options); }};
}

}  // namespace busbar::cli
