#include "engine/fake_engine.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include "engine/fake_probe.h"
#include "engine/internal/fake_state.h"

namespace busbar::engine {
namespace {

tl::unexpected<Error> unknown(model::AttemptId id) {
  return make_error(ErrorCode::kNotFound, "the engine knows no attempt " + id.to_string());
}

tl::unexpected<Error> not_running(model::TaskId id) {
  return make_error(ErrorCode::kFailedPrecondition, "task " + id.to_string() + " is not running");
}

}  // namespace

/// Calls the sink, one delivery at a time, either from its own thread or from deliver().
class FakeEngine::Deliverer {
 public:
  Deliverer(FakeMachine::State& state, FactSink sink, FakeDelivery delivery) : state_(state), sink_(std::move(sink)) {
    if (delivery == FakeDelivery::kOwnThread) {
      thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    }
  }

  ~Deliverer() {
    if (thread_.joinable()) {
      {
        const std::lock_guard lock(state_.mutex);
        thread_.request_stop();
      }
      state_.changed.notify_all();
    }
  }

  Deliverer(const Deliverer&) = delete;
  Deliverer& operator=(const Deliverer&) = delete;

  std::size_t deliver_all() {
    std::size_t count = 0;
    while (true) {
      FakeMachine::State::Delivery next;
      {
        const std::lock_guard lock(state_.mutex);
        if (state_.queue.empty()) {
          return count;
        }
        next = std::move(state_.queue.front());
        state_.queue.pop_front();
      }
      next(sink_);
      ++count;
    }
  }

 private:
  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      {
        std::unique_lock lock(state_.mutex);
        state_.changed.wait(lock, [&] { return stop.stop_requested() || !state_.queue.empty(); });
        if (stop.stop_requested()) {
          return;
        }
      }
      deliver_all();
    }
  }

  FakeMachine::State& state_;
  FactSink sink_;
  std::jthread thread_;
};

FakeEngine::FakeEngine(std::shared_ptr<FakeMachine> machine, const Clock& clock, FakeDelivery delivery)
    : machine_(std::move(machine)), clock_(clock), delivery_(delivery) {}

FakeEngine::~FakeEngine() {
  shutdown();
}

std::size_t FakeEngine::deliver() {
  return deliverer_ == nullptr ? 0 : deliverer_->deliver_all();
}

std::vector<Capability> FakeEngine::capabilities() const {
  return {{.name = "memory_limit", .is_available = true, .detail = "pretended"},
          {.name = "cpu_limit", .is_available = true, .detail = "pretended"},
          {.name = "pause", .is_available = machine_->state_->options.can_pause, .detail = "pretended"}};
}

Result<chip::OciEdits> FakeEngine::edits_for(model::NodeId, const std::vector<model::Card>& granted, MilliCards) {
  return FakeProbe(0).edits_for(granted, {1000});
}

Result<std::vector<model::Node>> FakeEngine::observe_nodes() {
  const std::lock_guard lock(machine_->state_->mutex);
  return machine_->state_->options.nodes;
}

Result<std::vector<model::AttemptId>> FakeEngine::adopt(const std::vector<AttemptLaunch>& active, FactSink sink) {
  FakeMachine::State& state = *machine_->state_;
  std::vector<model::AttemptId> not_begun;
  {
    const std::lock_guard lock(state.mutex);
    if (state.is_watched) {
      return make_error(ErrorCode::kFailedPrecondition, "another engine runs on this machine");
    }
    state.is_watched = true;
    state.clock = &clock_;
    state.queue.clear();
    for (const model::Node& node : state.options.nodes) {
      state.emit_locked(nullptr, NodeObserved{node});
    }
    const auto is_active = [&](model::AttemptId id) {
      return std::any_of(active.begin(), active.end(), [&](const AttemptLaunch& each) { return each.id == id; });
    };
    std::erase_if(state.attempts, [&](const auto& entry) { return !is_active(entry.first) && !entry.second.is_gone; });
    for (const AttemptLaunch& launch : active) {
      FakeMachine::Attempt* known = state.find_locked(launch.id);
      if (launch.may_begin_again && (known == nullptr || (!known->is_created && !known->is_gone))) {
        state.attempts.erase(launch.id);
        not_begun.push_back(launch.id);
        continue;
      }
      if (known != nullptr) {
        for (const TaskLaunch& task : launch.tasks) {
          // Awaited though its rank was given up: the server has heard of that.
          if (task.is_awaited && task.rank >= known->tasks.size()) state.drop_former_locked(*known, task.rank);
        }
        for (const Fact& fact : known->history) {
          const auto* report = std::get_if<ReportLines>(&fact.body);
          if (report != nullptr && (report->task.rank >= launch.tasks.size() ||
                                    report->offset <= launch.tasks[report->task.rank].report_offset)) {
            continue;
          }
          state.enqueue_locked([fact](const FactSink& to) { to(fact); });
        }
        continue;
      }
      FakeMachine::Attempt lost{.launch = launch};
      lost.tasks.resize(launch.tasks.size());
      FakeMachine::Attempt& kept = state.attempts[launch.id] = std::move(lost);
      for (std::uint32_t rank = 0; rank < kept.tasks.size(); ++rank) {
        state.end_locked(kept, rank,
                         {.task = {launch.id, rank},
                          .exit_class = model::ExitClass::kInfrastructure,
                          .exit_code = 128,
                          .detail = "lost while the server was down"});
      }
    }
  }
  deliverer_ = std::make_unique<Deliverer>(state, std::move(sink), delivery_);
  return not_begun;
}

Result<void> FakeEngine::start(AttemptLaunch launch) {
  FakeMachine::State& state = *machine_->state_;
  const std::lock_guard lock(state.mutex);
  if (state.find_locked(launch.id) != nullptr) {
    return {};
  }
  if (state.next_start_error) {
    return tl::unexpected<Error>(*std::exchange(state.next_start_error, std::nullopt));
  }
  FakeMachine::Attempt attempt;
  for (const TaskLaunch& task : launch.tasks) {
    attempt.tasks.push_back({.launch = task});
  }
  state.started.push_back(launch.id);
  if (auto early = state.early_ports.extract(launch.id)) {
    attempt.ports = std::move(early.mapped());
  }
  attempt.launch = std::move(launch);
  FakeMachine::Attempt& kept = state.attempts[attempt.launch.id] = std::move(attempt);
  if (state.options.creates_by_itself) {
    state.create_locked(kept);
  }
  return {};
}

Result<void> FakeEngine::release(model::AttemptId attempt) {
  const std::lock_guard lock(machine_->state_->mutex);
  FakeMachine::Attempt* found = machine_->state_->find_locked(attempt);
  if (found == nullptr) {
    return unknown(attempt);
  }
  machine_->state_->release_locked(*found);
  return {};
}

Result<void> FakeEngine::stop(model::AttemptId attempt, std::int64_t grace_ms, int signal_first) {
  FakeMachine::State& state = *machine_->state_;
  const std::lock_guard lock(state.mutex);
  FakeMachine::Attempt* found = state.find_locked(attempt);
  if (found == nullptr) {
    return unknown(attempt);
  }
  for (std::uint32_t rank = 0; rank < found->tasks.size(); ++rank) {
    state.stop_task_locked(*found, rank, grace_ms, signal_first);
  }
  return {};
}

Result<void> FakeEngine::extend(Extension extension) {
  FakeMachine::State& state = *machine_->state_;
  const std::lock_guard lock(state.mutex);
  FakeMachine::Attempt* found = state.find_locked(extension.attempt);
  if (found == nullptr || found->is_gone) {
    return unknown(extension.attempt);
  }
  const auto first = static_cast<std::uint32_t>(found->tasks.size());
  for (TaskLaunch& task : extension.tasks) {
    if (task.rank != found->tasks.size()) {
      continue;
    }
    found->launch.tasks.push_back(task);
    found->tasks.push_back({.launch = std::move(task)});
  }
  if (!found->is_released || found->tasks.size() == first) {
    return {};
  }
  state.drop_former_locked(*found, first);
  for (FakeMachine::Task& task : found->tasks) {
    for (const auto& [name, content] : extension.files) task.launch.files[name] = content;
  }
  state.emit_locked(found,
                    TasksAdded{.attempt = extension.attempt, .tasks = static_cast<std::uint32_t>(found->tasks.size())});
  for (std::size_t rank = first; state.options.runs_by_itself && rank < found->tasks.size(); ++rank) {
    state.run_locked(*found, static_cast<std::uint32_t>(rank));
  }
  return {};
}

Result<void> FakeEngine::shrink(const Reduction& reduction) {
  FakeMachine::State& state = *machine_->state_;
  const std::lock_guard lock(state.mutex);
  FakeMachine::Attempt* found = state.find_locked(reduction.attempt);
  if (found == nullptr || found->is_gone) {
    return unknown(reduction.attempt);
  }
  for (FakeMachine::Task& task : found->tasks) {
    for (const auto& [name, content] : reduction.files) task.launch.files[name] = content;
  }
  for (std::uint32_t rank = reduction.kept; rank < found->tasks.size(); ++rank) {
    state.stop_task_locked(*found, rank, reduction.grace_ms, reduction.signal_first);
  }
  if (!found->is_gone) {
    while (found->tasks.size() > reduction.kept) {
      found->tasks.pop_back();
      found->launch.tasks.pop_back();
    }
    state.emit_locked(found, TasksRemoved{.attempt = reduction.attempt, .kept = reduction.kept});
  }
  return {};
}

Result<void> FakeEngine::signal(model::TaskId task, int number) {
  FakeMachine::State& state = *machine_->state_;
  const std::lock_guard lock(state.mutex);
  const FakeMachine::Task* found = state.find_live_task_locked(task);
  if (found == nullptr) {
    return not_running(task);
  }
  state.signals.emplace_back(task, number);
  if (number == SIGKILL || (number == SIGTERM && !found->ignores_sigterm)) {
    state.end_locked(*state.find_locked(task.attempt), task.rank,
                     {.task = task, .exit_class = model::ExitClass::kUser, .exit_code = 128 + number});
  }
  return {};
}

Result<void> FakeEngine::pause(model::AttemptId attempt) {
  const std::lock_guard lock(machine_->state_->mutex);
  FakeMachine::Attempt* found = machine_->state_->find_locked(attempt);
  if (found == nullptr) {
    return unknown(attempt);
  }
  if (!machine_->state_->options.can_pause) {
    return make_error(ErrorCode::kUnsupported, "tasks cannot be paused here: pretended; do pretend otherwise");
  }
  found->is_paused = true;
  return {};
}

Result<void> FakeEngine::resume(model::AttemptId attempt) {
  const std::lock_guard lock(machine_->state_->mutex);
  FakeMachine::Attempt* found = machine_->state_->find_locked(attempt);
  if (found == nullptr) {
    return unknown(attempt);
  }
  found->is_paused = false;
  return {};
}

Result<LogFiles> FakeEngine::logs(model::TaskId task) const {
  FakeMachine::State& state = *machine_->state_;
  const std::lock_guard lock(state.mutex);
  const FakeMachine::Attempt* found = state.find_locked(task.attempt);
  if (found == nullptr || task.rank >= found->tasks.size()) {
    return make_error(ErrorCode::kNotFound, "no logs of task " + task.to_string());
  }
  if (state.log_dir.empty()) {
    std::string pattern = (std::filesystem::temp_directory_path() / "busbar-fake-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      return make_error(ErrorCode::kUnavailable, "cannot make a directory for logs in " + pattern);
    }
    state.log_dir = pattern;
  }
  const std::string path = state.log_dir + "/" + task.to_string() + ".log";
  std::ofstream(path, std::ios::trunc) << found->tasks[task.rank].log;
  return LogFiles{.paths = {path}};
}

Result<TaskStats> FakeEngine::stats(model::TaskId task) {
  const std::lock_guard lock(machine_->state_->mutex);
  if (machine_->state_->find_live_task_locked(task) == nullptr) {
    return not_running(task);
  }
  return TaskStats{.cpu_usage_ms = 10, .memory = {1 << 20}, .memory_peak = {2 << 20}, .processes = 1};
}

std::vector<std::uint16_t> FakeEngine::leased_ports(model::AttemptId attempt) const {
  FakeMachine::State& state = *machine_->state_;
  const std::lock_guard lock(state.mutex);
  if (const FakeMachine::Attempt* found = state.find_locked(attempt)) return found->ports;
  const auto early = state.early_ports.find(attempt);
  return early == state.early_ports.end() ? std::vector<std::uint16_t>() : early->second;
}

Result<std::vector<std::uint16_t>> FakeEngine::lease_ports(model::AttemptId attempt, std::size_t count) {
  FakeMachine::State& state = *machine_->state_;
  const std::lock_guard lock(state.mutex);
  // Ports are leased before start(): the launch environment names them.
  std::vector<std::uint16_t> ports;
  for (std::size_t i = 0; i < count; ++i) {
    ports.push_back(state.next_port++);
  }
  if (FakeMachine::Attempt* found = state.find_locked(attempt)) {
    found->ports.insert(found->ports.end(), ports.begin(), ports.end());
  } else {
    auto& waiting = state.early_ports[attempt];
    waiting.insert(waiting.end(), ports.begin(), ports.end());
  }
  return ports;
}

Result<std::vector<Json>> FakeEngine::preview(const AttemptLaunch& launch) {
  std::vector<Json> configs;
  for (const TaskLaunch& task : launch.tasks) {
    Json args = Json::array();
    for (const std::string& argument : task.argv) {
      args.push(argument);
    }
    configs.push_back(Json::object({{"ociVersion", "1.0.2"},
                                    {"hostname", task.hostname},
                                    {"process", Json::object({{"args", std::move(args)}, {"cwd", task.workdir}})}}));
  }
  return configs;
}

Result<std::vector<model::AttemptId>> FakeEngine::kept() const {
  const FakeMachine::State& state = *machine_->state_;
  const std::lock_guard lock(state.mutex);
  std::vector<model::AttemptId> kept;
  for (const auto& [id, attempt] : state.attempts) {
    if (attempt.is_gone) {
      kept.push_back(id);
    }
  }
  return kept;
}

Bytes FakeEngine::kept_bytes(model::AttemptId attempt) const {
  FakeMachine::State& state = *machine_->state_;
  const std::lock_guard lock(state.mutex);
  Bytes bytes;
  if (const FakeMachine::Attempt* found = state.find_locked(attempt)) {
    for (const FakeMachine::Task& task : found->tasks) {
      bytes.value += static_cast<std::int64_t>(task.log.size());
    }
  }
  return bytes;
}

Result<void> FakeEngine::forget(model::AttemptId attempt) {
  FakeMachine::State& state = *machine_->state_;
  const std::lock_guard lock(state.mutex);
  const FakeMachine::Attempt* found = state.find_locked(attempt);
  if (found == nullptr) {
    return {};
  }
  if (!found->is_gone) {
    return make_error(ErrorCode::kFailedPrecondition, "attempt " + attempt.to_string() + " still runs; stop it first");
  }
  state.attempts.erase(attempt);
  return {};
}

void FakeEngine::shutdown() {
  if (deliverer_ == nullptr) {
    return;
  }
  deliverer_.reset();
  const std::lock_guard lock(machine_->state_->mutex);
  machine_->state_->is_watched = false;
}

}  // namespace busbar::engine
