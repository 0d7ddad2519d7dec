#include "control/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "model/job_json.h"

namespace busbar::control {
namespace {

constexpr std::size_t kAllRows = 1'000'000'000;

/// The barrier was not reached, so it was not opened: no code of the job has run in this attempt.
bool may_begin_again(const JobRecord& record, const api::AttemptStatus& attempt) {
  return record.state == model::JobState::kStarting &&
         std::all_of(attempt.tasks.begin(), attempt.tasks.end(),
                     [](const api::TaskStatus& task) { return task.state == "creating"; });
}

}  // namespace

Ledger::Ledger(const Clock& clock, store::Store& store, LedgerOptions options)
    : clock_(clock),
      store_(store),
      options_(std::move(options)),
      core_(sched::Policy{}),
      services_(*this, options_.services) {}

Result<void> Ledger::recover() {
  TRY_ASSIGN(const std::optional<store::SnapshotRow> snapshot, store_.latest_snapshot());
  if (snapshot) {
    auto restored = sched::Core::restore(snapshot->bytes);
    if (!restored) return with_context("the core's snapshot cannot be read; restore a backup", restored.error());
    core_ = *std::move(restored);
    sequence_ = last_snapshot_sequence_ = snapshot->sequence;
    last_snapshot_bytes_ = snapshot->bytes.size();
    is_first_snapshot_due_ = false;
  }
  bool has_older_format = false;
  TRY(store_.read_frames(
      sequence_, [this, &has_older_format](std::uint64_t sequence, std::string_view bytes) -> Result<void> {
        auto frame = sched::decode_frame(bytes);
        if (!frame) return with_context(fmt::format("journal record {}", sequence), frame.error());
        TRY(core_.apply_recorded(frame->record.event, frame->record.decisions));
        sequence_ = sequence;
        journal_bytes_ += bytes.size();
        has_older_format = has_older_format || !frame->is_current;
        if (frame->is_current && core_.state_hash() != frame->record.state_hash) {
          return make_error(ErrorCode::kDataCorrupt,
                            fmt::format("journal record {} gives state {:016x}, recorded was {:016x}; restore a backup",
                                        sequence, core_.state_hash(), frame->record.state_hash));
        }
        return {};
      }));
  // What is decided from here on must not rest on records that a replay cannot verify.
  is_first_snapshot_due_ = is_first_snapshot_due_ || has_older_format;
  using model::JobState;
  TRY_ASSIGN(const std::vector<store::JobRow> rows,
             store_.jobs({.states = {JobState::kQueued, JobState::kBlocked, JobState::kStarting, JobState::kRunning,
                                     JobState::kStopping},
                          .limit = kAllRows}));
  for (const store::JobRow& row : rows) {
    auto record = from_row(row);
    if (!record) return with_context(fmt::format("row of job {}", row.id.value), record.error());
    jobs_.emplace(row.id, *std::move(record));
  }
  TRY_ASSIGN(const std::vector<store::SecretRow> secrets, store_.secrets());
  for (const store::SecretRow& row : secrets) secrets_.emplace(row.name, row);
  TRY_ASSIGN(last_event_id_, store_.last_event_id());
  TRY_ASSIGN(const model::JobId last_job, store_.last_job_id());
  last_job_id_ = last_job.value;
  TRY(recover_services());
  if (core_.policy() != options_.policy) {
    TRY(apply(sched::PolicyChanged{.policy = options_.policy}, "config", ""));
  }
  return apply_configured_queues();
}

Result<std::vector<sched::Decision>> try_queues(sched::Core& core, std::vector<model::Queue> queues, TimeMs now_ms) {
  std::vector<sched::Decision> all;
  while (!queues.empty()) {
    const std::size_t before = queues.size();
    std::optional<Error> refused;
    std::erase_if(queues, [&](const model::Queue& queue) {
      const auto decisions = core.apply({.time_ms = now_ms, .body = sched::QueueChanged{queue}});
      if (!decisions && !refused) refused = decisions.error();
      if (decisions) all.insert(all.end(), decisions->begin(), decisions->end());
      return decisions.has_value();
    });
    if (queues.size() == before) return tl::unexpected(*refused);
  }
  return all;
}

// One change may need another first (a parent, a guarantee lowered elsewhere), so those that are refused are tried
// again as long as others go through.
Result<void> Ledger::apply_configured_queues() {
  std::vector<model::Queue> open = options_.queues;
  while (!open.empty()) {
    const std::size_t before = open.size();
    std::optional<Error> refused;
    std::erase_if(open, [&](const model::Queue& queue) {
      const std::vector<model::Queue> existing = core_.queues();
      if (std::find(existing.begin(), existing.end(), queue) != existing.end()) return true;
      const auto done = apply(sched::QueueChanged{queue}, "config", "");
      if (!done && !refused) refused = done.error();
      return done.has_value();
    });
    if (open.size() == before) return with_context("queues of the configuration", *refused);
  }
  return {};
}

std::vector<engine::AttemptLaunch> Ledger::open_attempts() const {
  std::vector<engine::AttemptLaunch> open;
  for (const auto& [id, record] : jobs_) {
    if (record.attempts.empty() || record.attempts.back().ended_ms != 0) continue;
    const api::AttemptStatus& attempt = record.attempts.back();
    engine::AttemptLaunch launch{.id = {id, attempt.number},
                                 .job_name = record.spec.name,
                                 .user = record.user,
                                 .image = record.spec.image,
                                 .has_terminal = record.has_terminal,
                                 .is_live = record.spec.elastic == model::Elastic::kLive,
                                 .may_begin_again = may_begin_again(record, attempt)};
    for (const api::TaskStatus& task : attempt.tasks) {
      engine::TaskLaunch one{.rank = task.rank, .is_awaited = attempt.started_ms != 0 && task.state == "creating"};
      if (const auto found = record.report_offsets.find(task.rank); found != record.report_offsets.end()) {
        one.report_offset = found->second;
      }
      launch.tasks.push_back(std::move(one));
    }
    open.push_back(std::move(launch));
  }
  return open;
}

std::vector<EngineOrder> Ledger::orders_to_repeat(const std::vector<model::AttemptId>& not_begun) const {
  std::vector<EngineOrder> orders;
  for (const model::AttemptId attempt : not_begun) {
    const auto record = jobs_.find(attempt.job);
    const auto view = core_.find_job(attempt.job);
    if (record == jobs_.end() || !view || !view->placement) continue;
    orders.push_back(start_order(record->second, *view->placement));
  }
  for (const auto& [id, record] : jobs_) {
    const bool is_open = !record.attempts.empty() && record.attempts.back().ended_ms == 0;
    if (is_open && record.state == model::JobState::kStopping) {
      orders.push_back(stop_order(record, {id, record.attempts.back().number}));
    } else if (is_open) {
      add_resize_orders(record, orders);
    }
  }
  return orders;
}

namespace {

bool differs_in_health_only(model::Node node, const model::Node& before) {
  if (node.cards.size() != before.cards.size()) return false;
  for (std::size_t i = 0; i < node.cards.size(); ++i) node.cards[i].health = before.cards[i].health;
  return node == before;
}

}  // namespace

Result<void> Ledger::observe_nodes(const std::vector<model::Node>& nodes) {
  std::uint64_t last_id = 0;
  std::map<std::string, model::NodeId> known;
  for (const model::NodeId id : core_.nodes()) {
    last_id = std::max(last_id, id.value);
    known.emplace(core_.find_node(id)->name, id);
  }
  for (model::Node node : nodes) {
    const auto found = known.find(node.name);
    if (found == known.end()) {
      node.id = {++last_id};
      const std::string name = node.name;
      const std::size_t cards = node.cards.size();
      TRY(apply(sched::NodeJoined{std::move(node)}, "engine", ""));
      note({}, "node_joined", fmt::format("{} with {} cards", name, cards));
      continue;
    }
    const model::Node& before = *core_.find_node(found->second);
    node.id = found->second;
    node.state = before.state == model::NodeState::kDrained ? model::NodeState::kDrained : model::NodeState::kReady;
    if (node == before) continue;
    if (differs_in_health_only(node, before)) {
      TRY(change_health(node));
      continue;
    }
    const auto joined = apply(sched::NodeJoined{node}, "engine", "");
    // A card that a task holds has become another one: the declaration stays as it was until the task is gone.
    if (!joined && joined.error().code == ErrorCode::kFailedPrecondition) {
      note({}, "node_refused", fmt::format("node \"{}\": {}", node.name, joined.error().to_string()));
    } else {
      TRY(joined);
    }
  }
  return {};
}

Result<void> Ledger::change_health(const model::Node& node) {
  const std::vector<model::Card> before = core_.find_node(node.id)->cards;
  const auto& details = health_details_[node.name];
  for (const model::Card& card : node.cards) {
    if (before[card.index].health == card.health) continue;
    TRY(apply(sched::CardHealthChanged{.card = {node.id, card.index}, .health = card.health}, "engine", ""));
    const auto detail = details.find(card.index);
    note({}, "card_health",
         fmt::format("card {} of {} ({}) is {}{}", card.index, node.name, card.device,
                     model::card_health_name(card.health), detail == details.end() ? "" : ": " + detail->second));
  }
  return {};
}

Result<void> Ledger::set_node_state(const std::string& name, model::NodeState state, const std::string& actor) {
  TRY_ASSIGN(const model::NodeId id, find_node(name));
  if (core_.find_node(id)->state == state) return {};
  TRY(apply(sched::NodeStateChanged{.node = id, .state = state}, actor, ""));
  note({}, "node_state", fmt::format("{} is {} (by {})", name, model::node_state_name(state), actor));
  return {};
}

Result<model::NodeId> Ledger::find_node(const std::string& name) const {
  std::vector<std::string> names;
  for (const model::NodeId id : core_.nodes()) {
    names.push_back(core_.find_node(id)->name);
    if (names.back() == name) return id;
  }
  const auto near = nearest_name(name, names);
  return make_error(ErrorCode::kNotFound,
                    fmt::format("no node \"{}\"{}", name, near ? fmt::format("; did you mean \"{}\"?", *near) : ""));
}

Result<void> Ledger::put_queue(const model::Queue& queue, const std::string& actor) {
  TRY(apply(sched::QueueChanged{queue}, actor, ""));
  note({}, "queue_changed",
       fmt::format("{}: guarantee {}, limit {}, weight {}, priority {}", queue.name,
                   model::format_card_amounts(queue.guarantee), model::format_card_amounts(queue.limit),
                   model::format_queue_weights(queue.weight), queue.priority));
  return {};
}

void Ledger::put_secret(store::SecretRow row) {
  note({}, "secret_set", fmt::format("\"{}\"", row.name));
  step_.transaction.secrets.push_back(row);
  secrets_.insert_or_assign(row.name, std::move(row));
}

Result<void> Ledger::remove_secret(const std::string& name) {
  if (secrets_.erase(name) == 0) return make_error(ErrorCode::kNotFound, fmt::format("no secret \"{}\"", name));
  step_.transaction.removed_secrets.push_back(name);
  note({}, "secret_removed", fmt::format("\"{}\"", name));
  return {};
}

Result<model::JobId> Ledger::resolve_job(const std::string& id_or_name) const {
  if (const auto number = parse_int(id_or_name); number && *number > 0) {
    const model::JobId id{static_cast<std::uint64_t>(*number)};
    if (jobs_.contains(id)) return id;
    TRY_ASSIGN(const std::optional<store::JobRow> row, store_.job(id));
    if (row) return id;
    return make_error(ErrorCode::kNotFound, fmt::format("no job {}; `busbar ps --all` lists all jobs", id_or_name));
  }
  for (auto it = jobs_.rbegin(); it != jobs_.rend(); ++it) {
    if (it->second.spec.name == id_or_name) return it->first;
  }
  if (const auto service = services_.all().find(id_or_name);
      service != services_.all().end() && !service->second.replicas.empty()) {
    return service->second.replicas.back().job;
  }
  TRY_ASSIGN(const std::vector<store::JobRow> rows, store_.jobs({.name = id_or_name, .limit = 1}));
  if (!rows.empty()) return rows.front().id;
  std::vector<std::string> names;
  for (const auto& [id, record] : jobs_) names.push_back(record.spec.name);
  const auto near = nearest_name(id_or_name, names);
  return make_error(ErrorCode::kNotFound, fmt::format("no job \"{}\"; {}", id_or_name,
                                                      near ? fmt::format("did you mean \"{}\"?", *near)
                                                           : "`busbar ps --all` lists all jobs"));
}

Result<api::JobStatus> Ledger::job_status(model::JobId id) const {
  if (const auto found = jobs_.find(id); found != jobs_.end()) {
    return to_status(found->second, now_ms(), Detail::kFull);
  }
  TRY_ASSIGN(const std::optional<store::JobRow> row, store_.job(id));
  if (!row) return make_error(ErrorCode::kNotFound, fmt::format("no job {}", id.value));
  TRY_ASSIGN(const Json status, parse_json(row->status_json));
  return api::from_json<api::JobStatus>(status);
}

Result<api::JobList> Ledger::list_jobs(const store::JobFilter& filter) const {
  // Rows are at most one step behind; what is live is taken from memory so that a page never shows a stale state.
  TRY_ASSIGN(const std::vector<store::JobRow> rows, store_.jobs(filter));
  api::JobList list;
  for (const store::JobRow& row : rows) {
    if (const auto live = jobs_.find(row.id); live != jobs_.end()) {
      list.jobs.push_back(to_status(live->second, now_ms(), Detail::kSummary));
      continue;
    }
    TRY_ASSIGN(const Json json, parse_json(row.status_json));
    TRY_ASSIGN(api::JobStatus status, api::from_json<api::JobStatus>(json));
    status.attempts.clear();
    status.spec = {};
    list.jobs.push_back(std::move(status));
  }
  if (rows.size() == filter.limit && !rows.empty()) list.next_before = rows.back().id;
  return list;
}

Result<api::WhyAnswer> Ledger::why_over(model::JobId id) const {
  TRY_ASSIGN(const api::JobStatus status, job_status(id));
  return api::WhyAnswer{.id = id,
                        .state = std::string(model::job_state_name(status.state)),
                        .constraint = "none",
                        .text = status.reason.empty() ? "the job is over" : status.reason};
}

std::string Ledger::health_detail(const std::string& node, const model::Card& card) const {
  const auto details = health_details_.find(node);
  if (details == health_details_.end() || card.health == model::CardHealth::kHealthy) return {};
  const auto detail = details->second.find(card.index);
  return detail == details->second.end() ? std::string() : detail->second;
}

std::vector<api::NodeStatus> Ledger::node_statuses() const {
  std::map<model::CardRef, std::vector<model::JobId>> jobs_on;
  std::map<std::uint64_t, std::uint32_t> tasks_on;
  for (const model::JobId job : core_.jobs()) {
    const auto view = core_.find_job(job);
    if (!view || !view->placement) continue;
    for (const model::TaskPlacement& task : view->placement->tasks) {
      ++tasks_on[task.node.value];
      for (const std::uint16_t card : task.cards) jobs_on[{task.node, card}].push_back(job);
    }
  }
  std::vector<api::NodeStatus> statuses;
  for (const model::NodeId id : core_.nodes()) {
    const model::Node& node = *core_.find_node(id);
    const std::vector<MilliCards> used = core_.used_on(id);
    api::NodeStatus status{.id = id.value,
                           .name = node.name,
                           .state = std::string(model::node_state_name(node.state)),
                           .milli_cpus = node.cpus.value,
                           .memory_bytes = node.memory.value,
                           .labels = node.labels,
                           .fabric = node.fabric,
                           .running_tasks = tasks_on[id.value]};
    for (const model::Card& card : node.cards) {
      status.cards.push_back({.index = card.index,
                              .node = node.name,
                              .chip = card.chip,
                              .device = card.device,
                              .health = card.health == model::CardHealth::kHealthy ? "healthy" : "unhealthy",
                              .used_milli = card.index < used.size() ? used[card.index].value : 0,
                              .jobs = jobs_on[{id, card.index}],
                              .memory_bytes = card.memory.value,
                              .numa_node = card.numa_node,
                              .link_group = card.link_group,
                              .health_detail = health_detail(node.name, card)});
    }
    statuses.push_back(std::move(status));
  }
  return statuses;
}

}  // namespace busbar::control
