#include "control/controller.h"

#include <fmt/format.h>
#include <pthread.h>

#include <chrono>
#include <utility>

#include "os/log.h"

namespace busbar::control {
namespace {

// Bounds how long an answer waits for others of its batch; a transaction of this many steps commits in a few ms.
constexpr std::size_t kMaxBatch = 64;
constexpr auto kCommitRetry = std::chrono::milliseconds(250);
constexpr auto kIdleWait = std::chrono::hours(1);
/// Tasks have the machine's own network.
constexpr const char* kLocalAddress = "127.0.0.1";

void append(store::Transaction& to, store::Transaction from) {
  const auto move_all = [](auto& target, auto& source) {
    target.insert(target.end(), std::make_move_iterator(source.begin()), std::make_move_iterator(source.end()));
  };
  move_all(to.frames, from.frames);
  move_all(to.jobs, from.jobs);
  move_all(to.attempts, from.attempts);
  move_all(to.events, from.events);
  move_all(to.secrets, from.secrets);
  move_all(to.removed_secrets, from.removed_secrets);
  // Rows are written before they are removed: what one step removes and a later one makes again is not to be removed.
  for (const store::ServiceRow& row : from.services) std::erase(to.removed_services, row.name);
  for (const std::string& name : from.removed_services) {
    std::erase_if(to.services, [&name](const store::ServiceRow& row) { return row.name == name; });
  }
  move_all(to.services, from.services);
  move_all(to.removed_services, from.removed_services);
  for (const store::CallerRow& row : from.callers) std::erase(to.removed_callers, std::pair(row.kind, row.name));
  for (const auto& gone : from.removed_callers) {
    std::erase_if(to.callers, [&gone](const store::CallerRow& row) { return std::pair(row.kind, row.name) == gone; });
  }
  move_all(to.callers, from.callers);
  move_all(to.removed_callers, from.removed_callers);
  move_all(to.meta, from.meta);
  if (from.snapshot) {
    to.snapshot = std::move(from.snapshot);
    to.snapshot_sequence = from.snapshot_sequence;
  }
}

void append(Step& to, Step from) {
  append(to.transaction, std::move(from.transaction));
  to.orders.insert(to.orders.end(), from.orders.begin(), from.orders.end());
  to.changed_jobs.insert(to.changed_jobs.end(), from.changed_jobs.begin(), from.changed_jobs.end());
  to.events.insert(to.events.end(), from.events.begin(), from.events.end());
  if (from.services) to.services = std::move(from.services);
}

/// The port of the leader among those that its attempt leased: the last lease is the one that the attempt was started
/// with, one for the rendezvous and then those of each task, the service's first. 0: nothing was leased.
std::uint16_t service_port(const Ledger& ledger, model::AttemptId attempt, const std::vector<std::uint16_t>& leased) {
  const auto record = ledger.live_jobs().find(attempt.job);
  const auto view = ledger.core().find_job(attempt.job);
  if (record == ledger.live_jobs().end() || !view || !view->placement || record->second.spec.ports.empty()) return 0;
  const std::uint16_t fixed = record->second.spec.ports.front().container_port;
  const std::size_t count = 1 + record->second.spec.ports.size() * view->placement->tasks.size();
  if (fixed != 0 || leased.size() < count) return fixed;
  return leased[leased.size() - count + 1];
}

}  // namespace

Controller::Controller(Dependencies dependencies, LedgerOptions options)
    : dependencies_(dependencies), ledger_(dependencies.clock, dependencies.store, std::move(options)) {}

Result<std::unique_ptr<Controller>> Controller::start(Dependencies dependencies, LedgerOptions options) {
  std::unique_ptr<Controller> controller(new Controller(dependencies, std::move(options)));
  TRY(controller->ledger_.recover());
  TRY_ASSIGN(const std::vector<model::Node> nodes, dependencies.engine.observe_nodes());
  TRY(controller->ledger_.observe_nodes(nodes));
  const std::vector<engine::AttemptLaunch> open = controller->ledger_.open_attempts();
  LOG(kInfo, "recovered",
      {{"journal_sequence", std::to_string(controller->ledger_.sequence())},
       {"live_jobs", std::to_string(controller->ledger_.live_jobs().size())},
       {"open_attempts", std::to_string(open.size())}});
  Controller* const raw = controller.get();
  TRY_ASSIGN(const std::vector<model::AttemptId> not_begun,
             dependencies.engine.adopt(open, [raw](engine::Fact fact) { raw->post_fact(std::move(fact)); }));
  TRY_ASSIGN(const std::vector<model::AttemptId> kept, dependencies.engine.kept());
  if (!kept.empty()) controller->ledger_.skip_job_ids(kept.back().job);
  for (const EngineOrder& order : controller->ledger_.orders_to_repeat(not_begun)) controller->carry_out(order);
  controller->find_endpoints();
  controller->thread_ = std::thread([raw] {
    pthread_setname_np(pthread_self(), "control");
    raw->run();
  });
  return controller;
}

Controller::~Controller() {
  stop();
}

void Controller::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

std::string Controller::degraded_reason() const {
  const std::lock_guard lock(mutex_);
  return degraded_reason_;
}

void Controller::post(std::function<Reply(Ledger&)> command) {
  {
    const std::lock_guard lock(mutex_);
    if (is_stopping_) return;
    mailbox_.push_back(std::move(command));
  }
  wake_.notify_one();
}

void Controller::post_fact(engine::Fact fact) {
  post([fact = std::move(fact)](Ledger& ledger) -> Reply {
    ledger.on_fact(fact);
    return {};
  });
}

std::vector<std::function<Controller::Reply(Ledger&)>> Controller::next_batch() {
  std::unique_lock lock(mutex_);
  const auto has_work = [this] { return is_stopping_ || !mailbox_.empty(); };
  if (!has_work() && !ledger_.has_changes()) {
    std::chrono::milliseconds wait = uncommitted_ ? kCommitRetry : std::chrono::milliseconds(kIdleWait);
    if (const auto wakeup = ledger_.next_wakeup()) {
      const TimeMs in_ms = std::max<TimeMs>(0, *wakeup - dependencies_.clock.now_ms());
      wait = std::min(wait, std::chrono::milliseconds(in_ms));
    }
    wake_.wait_for(lock, wait, has_work);
  }
  std::vector<std::function<Reply(Ledger&)>> batch;
  while (!mailbox_.empty() && batch.size() < kMaxBatch) {
    batch.push_back(std::move(mailbox_.front()));
    mailbox_.pop_front();
  }
  return batch;
}

void Controller::run() {
  for (;;) {
    auto batch = next_batch();
    for (auto& command : batch) {
      if (Reply reply = command(ledger_)) replies_.push_back(std::move(reply));
    }
    ledger_.tick();
    if (ledger_.has_changes()) {
      Step step = ledger_.take_step();
      if (uncommitted_) {
        append(*uncommitted_, std::move(step));
      } else {
        uncommitted_ = std::move(step);
      }
    }
    if (commit_step()) finish_step();
    send_replies();
    const std::lock_guard lock(mutex_);
    // What a full disk keeps from being committed is lost with the process, as after kill -9: the engine tells it
    // again.
    if (is_stopping_ && mailbox_.empty() && (!ledger_.has_changes() || is_degraded_)) return;
  }
}

bool Controller::commit_step() {
  if (!uncommitted_) return true;
  const std::int64_t begin_ns = dependencies_.clock.monotonic_ns();
  const auto done = dependencies_.store.commit(uncommitted_->transaction);
  if (done) {
    dependencies_.metrics.observe("busbar_control_commit_seconds",
                                  static_cast<double>(dependencies_.clock.monotonic_ns() - begin_ns) / 1e9);
    if (is_degraded_.exchange(false)) LOG(kInfo, "store_recovered", {});
    return true;
  }
  if (!is_degraded_.exchange(true)) {
    LOG(kError, "store_refuses", {{"error", done.error().to_string()}});
    const std::lock_guard lock(mutex_);
    degraded_reason_ = done.error().to_string();
  }
  dependencies_.metrics.add("busbar_control_commit_failures_total", 1);
  return false;
}

void Controller::finish_step() {
  if (!uncommitted_) return;
  const Step step = *std::exchange(uncommitted_, std::nullopt);
  for (const std::int64_t took_ms : step.reclaims_ms) {
    dependencies_.metrics.observe("busbar_sched_reclaim_seconds", static_cast<double>(took_ms) / 1e3);
  }
  for (const EngineOrder& order : step.orders) carry_out(order);
  for (const api::JobStatus& status : step.changed_jobs) dependencies_.listener.on_job(status);
  for (const store::EventRow& event : step.events) dependencies_.listener.on_event(event);
  if (step.services) dependencies_.listener.on_services(*step.services);
}

void Controller::send_replies() {
  for (const Reply& reply : std::exchange(replies_, {})) reply(ledger_);
}

void Controller::extend(const ExtendOrder& order) {
  const model::AttemptId attempt = order.start.attempt;
  auto extension = dependencies_.launches.extend(order, ledger_);
  const auto done = extension ? dependencies_.engine.extend(*std::move(extension)) : tl::unexpected(extension.error());
  if (done) return;
  LOG(kWarning, "extend_refused", {{"attempt", attempt.to_string()}, {"error", done.error().to_string()}});
  // One that ended in between says so by its own facts.
  if (done.error().code == ErrorCode::kNotFound) return;
  for (std::size_t rank = order.first_rank; rank < order.start.placement.tasks.size(); ++rank) {
    post_fact({.time_ms = dependencies_.clock.now_ms(),
               .body = engine::TaskEnded{.task = {attempt, static_cast<std::uint32_t>(rank)},
                                         .exit_class = model::ExitClass::kInfrastructure,
                                         .exit_code = 125,
                                         .detail = done.error().to_string()}});
  }
}

void Controller::shrink(const ShrinkOrder& order) {
  const model::AttemptId attempt = order.start.attempt;
  auto reduction = dependencies_.launches.shrink(order, ledger_);
  if (!reduction) {
    // Their cards are promised, so they go all the same; only the others are not told of it.
    LOG(kWarning, "members_not_told", {{"attempt", attempt.to_string()}, {"error", reduction.error().to_string()}});
    reduction = engine::Reduction{.attempt = attempt,
                                  .kept = static_cast<std::uint32_t>(order.start.placement.tasks.size()),
                                  .grace_ms = order.grace_ms,
                                  .signal_first = order.signal_first};
  }
  const auto done = dependencies_.engine.shrink(*reduction);
  if (done) return;
  // As of a stop: the engine refuses only whoever it does not know, of whom nobody tells anything any more.
  LOG(kWarning, "shrink_refused", {{"attempt", attempt.to_string()}, {"error", done.error().to_string()}});
  post_fact({.time_ms = dependencies_.clock.now_ms(), .body = engine::AttemptGone{attempt}});
}

void Controller::carry_out(const EngineOrder& order) {
  if (const auto* start = std::get_if<StartOrder>(&order)) {
    auto launch = dependencies_.launches.build(*start, ledger_);
    if (!launch) return fail_start(start->attempt, launch.error());
    const std::uint16_t port = launch->service_port;
    if (const auto done = dependencies_.engine.start(*std::move(launch)); !done) {
      return fail_start(start->attempt, done.error());
    }
    if (port != 0) ledger_.on_endpoint(start->attempt, kLocalAddress, port);
  } else if (const auto* release = std::get_if<ReleaseOrder>(&order)) {
    if (const auto done = dependencies_.engine.release(release->attempt); !done) {
      // The attempt ended in between; its own facts say how.
      LOG(kWarning, "release_refused",
          {{"attempt", release->attempt.to_string()}, {"error", done.error().to_string()}});
    }
  } else if (const auto* stop = std::get_if<StopOrder>(&order)) {
    if (const auto done = dependencies_.engine.stop(stop->attempt, stop->grace_ms, stop->signal_first); !done) {
      // Unknown to the engine (a start that never reached it): nothing will tell that it is gone, so it is said here.
      LOG(kWarning, "stop_refused", {{"attempt", stop->attempt.to_string()}, {"error", done.error().to_string()}});
      post_fact({.time_ms = dependencies_.clock.now_ms(), .body = engine::AttemptGone{stop->attempt}});
    }
  } else if (const auto* more = std::get_if<ExtendOrder>(&order)) {
    extend(*more);
  } else if (const auto* fewer = std::get_if<ShrinkOrder>(&order)) {
    shrink(*fewer);
  } else if (const auto* pause = std::get_if<PauseOrder>(&order)) {
    const auto done =
        pause->is_paused ? dependencies_.engine.pause(pause->attempt) : dependencies_.engine.resume(pause->attempt);
    // One that ended in between says so by its own facts; one that goes on costs its CPU and serves all the same.
    if (!done) {
      LOG(kWarning, pause->is_paused ? "pause_refused" : "resume_refused",
          {{"attempt", pause->attempt.to_string()}, {"error", done.error().to_string()}});
      if (pause->is_paused) ledger_.on_pause_refused(pause->attempt, done.error().to_string());
    }
  }
}

/// Of replicas that were started when the server died before it had written down where they listen.
void Controller::find_endpoints() {
  for (const model::AttemptId attempt : ledger_.services().without_endpoint()) {
    const std::uint16_t port = service_port(ledger_, attempt, dependencies_.engine.leased_ports(attempt));
    if (port != 0) ledger_.on_endpoint(attempt, kLocalAddress, port);
  }
}

void Controller::fail_start(model::AttemptId attempt, const Error& error) {
  LOG(kError, "start_failed", {{"attempt", attempt.to_string()}, {"error", error.to_string()}});
  const TimeMs now_ms = dependencies_.clock.now_ms();
  const bool is_users = error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kFailedPrecondition;
  post_fact(
      {.time_ms = now_ms,
       .body = engine::TaskEnded{.task = {attempt, 0},
                                 .exit_class = is_users ? model::ExitClass::kUser : model::ExitClass::kInfrastructure,
                                 .exit_code = 125,
                                 .detail = error.to_string()}});
  post_fact({.time_ms = now_ms, .body = engine::AttemptGone{attempt}});
}

}  // namespace busbar::control
