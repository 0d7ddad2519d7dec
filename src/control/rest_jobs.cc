#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "chip/injection.h"
#include "control/chip_requests.h"
#include "control/internal/event_text.h"
#include "control/internal/query.h"
#include "control/rest.h"
#include "launch/job_file.h"
#include "launch/launch_plan.h"
#include "model/job_json.h"

namespace busbar::control {
namespace {

std::vector<api::Diagnostic> to_api(const std::vector<launch::Diagnostic>& diagnostics) {
  std::vector<api::Diagnostic> out;
  for (const launch::Diagnostic& one : diagnostics) {
    out.push_back({.line = one.position.line,
                   .column = one.position.column,
                   .field = one.field,
                   .message = one.message,
                   .hint = one.hint,
                   .is_warning = one.is_warning});
  }
  return out;
}

launch::ParsedJob parse_submitted(const api::SubmitRequest& request) {
  return launch::looks_like_sbatch(request.file)
             ? launch::parse_sbatch(request.file, request.overrides, request.default_workdir)
             : launch::parse_job_file(request.file, request.overrides, request.default_workdir);
}

Result<store::JobFilter> filter_from(const net::HttpRequest& request) {
  constexpr std::int64_t kMaxPage = 10'000;
  using model::JobState;
  store::JobFilter filter;
  filter.user = request.query_value("user").value_or("");
  filter.queue = request.query_value("queue").value_or("");
  filter.name = request.query_value("name").value_or("");
  TRY_ASSIGN(const auto limit_given, query_int(request, "limit"));
  TRY_ASSIGN(const auto before, query_int(request, "before"));
  TRY_ASSIGN(const auto array, query_int(request, "array"));
  const std::int64_t limit = limit_given.value_or(100);
  if (limit == 0 || limit > kMaxPage) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("limit={} is not between 1 and {}", limit, kMaxPage));
  }
  filter.limit = static_cast<std::size_t>(limit);
  filter.before = {static_cast<std::uint64_t>(before.value_or(0))};
  filter.array = {static_cast<std::uint64_t>(array.value_or(0))};
  const std::string states = request.query_value("state").value_or("");
  for (const std::string_view name : states.empty() ? std::vector<std::string_view>{} : split(states, ',')) {
    const auto state = model::job_state_from_name(name);
    if (!state) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("state=\"{}\" is none of queued, blocked, starting, running, stopping, succeeded, "
                                    "failed, cancelled",
                                    name));
    }
    filter.states.push_back(*state);
  }
  const std::string all = request.query_value("all").value_or("");
  if (filter.states.empty() && all != "true" && all != "1" && !filter.array.is_valid()) {
    filter.states = {JobState::kQueued, JobState::kBlocked, JobState::kStarting, JobState::kRunning,
                     JobState::kStopping};
  }
  return filter;
}

/// What a task would be given on a node that had the cards, for each chip that would do; for chips that no node has.
Json assumed_edits(const chip::Catalogue& catalogue, const model::JobSpec& spec) {
  Json list = Json::array();
  const auto alternatives = expand_accelerators(catalogue, spec);
  if (!alternatives) return list;
  for (const model::AcceleratorRequest& request : *alternatives) {
    if (request.chip.empty()) continue;
    const auto cards = static_cast<std::uint32_t>(std::max<std::int64_t>(1, request.per_node.value / 1000));
    const chip::HostCards host = chip::assumed_host(catalogue, request.chip, cards);
    std::vector<std::string> granted;
    for (const chip::CardFacts& card : host.cards) granted.push_back(card.device);
    const auto edits =
        chip::edits_for(catalogue, host, granted, {std::min<std::int64_t>(1000, request.per_node.value)});
    Json item = Json::object({{"chip", request.chip}, {"cards", std::int64_t{cards}}});
    edits ? item.set("edits", chip::to_json(*edits)) : item.set("error", edits.error().message);
    list.push(std::move(item));
  }
  return list;
}

Json env_json(const std::map<std::string, std::string>& env) {
  Json json = Json::object();
  for (const auto& [name, value] : env) json.set(name, value);
  return json;
}

}  // namespace

void Rest::submit(const CallPtr& call, Accept accept) {
  const auto json = parse_json(call->request.body);
  if (!json) return call->refuse(json.error());
  auto request = api::from_json_strict<api::SubmitRequest>(*json);
  if (!request) return call->refuse(request.error());
  launch::ParsedJob parsed = parse_submitted(*request);
  if (parsed.is_valid) check_chips(d_.catalogue, parsed);
  std::vector<api::Diagnostic> diagnostics = to_api(parsed.diagnostics);
  if (!parsed.is_valid) {
    const auto errors =
        std::count_if(diagnostics.begin(), diagnostics.end(), [](const auto& one) { return !one.is_warning; });
    const std::string name = request->file_name.empty() ? "the job file" : request->file_name;
    return call->answer(
        400, api::to_json(api::ErrorBody{
                 .error = {.code = ErrorCode::kInvalidArgument,
                           .message = fmt::format("{} has {} error{}", name, errors, errors == 1 ? "" : "s")},
                 .diagnostics = std::move(diagnostics)}));
  }
  const bool is_service = parsed.spec.type == model::JobType::kService;
  if (accept == Accept::kServices && !is_service) {
    return call->refuse({.code = ErrorCode::kInvalidArgument,
                         .message = fmt::format("job \"{}\" is no service; write type: service, or submit it by: "
                                                "busbar apply",
                                                parsed.spec.name)});
  }
  if (is_service && !request->is_dry_run) return apply_service(call, *request, parsed);
  std::vector<model::JobSpec> members = launch::expand_array(parsed.spec);
  if (is_service) members = {launch::replica_spec(parsed.spec, 1)};
  if (request->is_dry_run) return dry_run(call, std::move(members), std::move(diagnostics));
  if (refuse_if_degraded(call)) return;
  SubmitCommand submit{.members = std::move(members),
                       .user = call->user,
                       .client_key = request->client_key,
                       .request_id = call->request_id,
                       .has_terminal = request->has_terminal,
                       .may_wait_infeasible = request->may_wait_infeasible};
  command(call, 201,
          [submit = std::move(submit), diagnostics = std::move(diagnostics)](Ledger& ledger) -> Result<Json> {
            TRY_ASSIGN(SubmitOutcome outcome, ledger.submit(submit));
            return api::to_json(api::SubmitAnswer{
                .jobs = std::move(outcome.jobs), .warnings = diagnostics, .is_repeated = outcome.is_repeated});
          });
}

void Rest::dry_run(const CallPtr& call, std::vector<model::JobSpec> members, std::vector<api::Diagnostic> warnings) {
  command(call, 200,
          [this, call, members = std::move(members), warnings = std::move(warnings)](Ledger& ledger) -> Result<Json> {
            const model::JobSpec& spec = members.front();
            const auto found = ledger.placement_when_empty(spec);
            if (!found) {
              const Json assumed = assumed_edits(d_.catalogue, spec);
              if (found.error().code != ErrorCode::kInfeasible || assumed.items().empty()) {
                return tl::unexpected(found.error());
              }
              return api::to_json(
                  api::SubmitAnswer{.warnings = warnings,
                                    .dry_run = Json::object({{"members", static_cast<std::int64_t>(members.size())},
                                                             {"job", model::to_json(spec)},
                                                             {"no_placement", found.error().message},
                                                             {"assumed", assumed}})});
            }
            const model::Placement& placement = *found;
            const StartOrder order{.attempt = {{0}, 1}, .placement = placement, .spec = spec, .user = call->user};
            TRY_ASSIGN(const engine::AttemptLaunch launch, d_.launches.preview(order, ledger));
            TRY_ASSIGN(std::vector<Json> configs, d_.engine.preview(launch));
            Json tasks = Json::array();
            for (std::size_t i = 0; i < launch.tasks.size(); ++i) {
              const engine::TaskLaunch& task = launch.tasks[i];
              Json argv = Json::array();
              for (const std::string& word : task.argv) argv.push(word);
              tasks.push(Json::object({{"rank", std::int64_t{task.rank}},
                                       {"hostname", task.hostname},
                                       {"argv", std::move(argv)},
                                       {"workdir", task.workdir},
                                       {"env", env_json(task.env)},
                                       {"files", env_json(task.files)},
                                       {"edits", chip::to_json(task.device_edits)},
                                       {"oci_config", i < configs.size() ? configs[i] : Json()}}));
            }
            return api::to_json(
                api::SubmitAnswer{.warnings = warnings,
                                  .dry_run = Json::object({{"members", static_cast<std::int64_t>(members.size())},
                                                           {"job", model::to_json(spec)},
                                                           {"placement", model::to_json(placement)},
                                                           {"tasks", std::move(tasks)}})});
          });
}

void Rest::list_jobs(const CallPtr& call) {
  const auto filter = filter_from(call->request);
  if (!filter) return call->refuse(filter.error());
  d_.controller.post([call, filter = *filter](Ledger&) -> Controller::Reply {
    return [call, filter](const Ledger& ledger) {
      const auto list = ledger.list_jobs(filter);
      list ? call->answer(200, api::to_json(*list)) : call->refuse(list.error());
    };
  });
}

void Rest::get_job(const CallPtr& call) {
  ask_job(call, [this, call](const Ledger& ledger, model::JobId id) {
    auto status = ledger.job_status(id);
    if (!status) return call->refuse(status.error());
    for (const api::AttemptStatus& attempt : status->attempts) {
      for (const auto* list : {&attempt.tasks, &attempt.left}) {
        for (const api::TaskStatus& task : *list) {
          const auto files = d_.engine.logs({{id, attempt.number}, task.rank});
          if (files) status->log_paths.insert(status->log_paths.end(), files->paths.begin(), files->paths.end());
        }
      }
    }
    status->are_files_deleted = are_files_deleted(*status);
    call->answer(200, api::to_json(*status));
  });
}

bool Rest::are_files_deleted(const api::JobStatus& status) const {
  if (!model::is_terminal(status.state)) return false;
  bool has_begun = false;
  for (const api::AttemptStatus& attempt : status.attempts) {
    for (const api::TaskStatus& task : attempt.tasks) {
      if (d_.engine.logs({{status.id, attempt.number}, task.rank})) return false;
      // A start that failed early has left no files.
      has_begun = has_begun || attempt.image_ready_ms != 0;
    }
  }
  return has_begun;
}

void Rest::stop_job(const CallPtr& call) {
  const auto grace_ms = query_int(call->request, "grace_ms");
  if (!grace_ms) return call->refuse(grace_ms.error());
  command(call, 202, [call, grace_ms = *grace_ms](Ledger& ledger) -> Result<Json> {
    TRY_ASSIGN(const model::JobId id, ledger.resolve_job(call->request.path_parameter("job")));
    TRY(ledger.cancel(id, grace_ms, call->user, call->request_id));
    TRY_ASSIGN(const api::JobStatus status, ledger.job_status(id));
    return api::to_json(status);
  });
}

namespace {

api::WhyAnswer answer_of(model::JobId id, const sched::Why& why) {
  api::WhyAnswer answer{.id = id,
                        .state = std::string(model::job_state_name(why.state)),
                        .constraint = why.constraint,
                        .text = why.text,
                        .position = why.position};
  for (const sched::ChangeSet& change : why.changes) {
    answer.changes.push_back({.kind = change.kind, .text = change.text, .jobs = change.jobs});
  }
  return answer;
}

}  // namespace

// As `when`: trials of changes take tens of milliseconds where thousands wait.
void Rest::why_job(const CallPtr& call) {
  const std::string changes = call->request.query_value("changes").value_or("true");
  const bool wants_changes = changes != "false" && changes != "0";
  ask_job(call, [this, call, wants_changes](const Ledger& ledger, model::JobId id) {
    if (!ledger.core().find_job(id)) {
      const auto why = ledger.why_over(id);
      return why ? call->answer(200, api::to_json(*why)) : call->refuse(why.error());
    }
    auto fork = std::make_shared<const sched::Core>(ledger.core().fork());
    run_in_background(call, [call, id, fork, wants_changes] {
      const auto why = fork->why(id, wants_changes ? sched::WhyDepth::kChanges : sched::WhyDepth::kReason);
      if (!why) return call->refuse(why.error());
      call->answer(200, api::to_json(answer_of(id, *why)));
    });
  });
}

// On a fork, in the background: the trials may take a while, and the control thread has others to serve.
void Rest::when_job(const CallPtr& call) {
  ask_job(call, [this, call](const Ledger& ledger, model::JobId id) {
    auto fork = std::make_shared<const sched::Core>(ledger.core().fork());
    run_in_background(call, [call, id, fork] {
      const auto when = fork->when(id);
      if (!when) return call->refuse(when.error());
      call->answer(200, api::to_json(api::WhenAnswer{.id = id,
                                                     .p50_ms = when->p50_ms,
                                                     .p90_ms = when->p90_ms,
                                                     .trials = when->trials,
                                                     .starts = when->starts,
                                                     .text = when->text}));
    });
  });
}

void Rest::signal_job(const CallPtr& call) {
  const int number = signal_number(call->request.query_value("signal").value_or(""));
  const auto only = query_int(call->request, "task");
  if (!only) return call->refuse(only.error());
  if (number == 0) {
    return call->refuse(
        {.code = ErrorCode::kInvalidArgument, .message = "signal: give a name or number, e.g. signal=USR1"});
  }
  ask_job(call, [this, call, number, only = *only](const Ledger& ledger, model::JobId id) {
    const auto status = ledger.job_status(id);
    if (!status) return call->refuse(status.error());
    if (status->state != model::JobState::kRunning) {
      return call->refuse(
          {.code = ErrorCode::kFailedPrecondition,
           .message = fmt::format("job {} is {}, not running", id.value, model::job_state_name(status->state))});
    }
    for (const api::TaskStatus& task : status->attempts.back().tasks) {
      if (only && task.rank != static_cast<std::uint32_t>(*only)) continue;
      const auto done = d_.engine.signal({{id, status->attempt}, task.rank}, number);
      if (!done) return call->refuse(done.error());
    }
    call->answer(200, api::to_json(*status));
  });
}

}  // namespace busbar::control
