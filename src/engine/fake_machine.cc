#include <algorithm>
#include <csignal>
#include <filesystem>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "engine/fake_engine.h"
#include "engine/internal/fake_state.h"

namespace busbar::engine {
namespace {

model::Node default_node() {
  model::Node node{.id = {1}, .name = "fake", .cpus = {4000}, .memory = {std::int64_t{8} << 30}};
  for (std::uint16_t i = 0; i < 4; ++i) {
    node.cards.push_back({.index = i, .chip = "cpu", .device = "cpu:" + std::to_string(i), .numa_node = 0});
  }
  return node;
}

std::string unquote(std::string_view text) {
  text = trim(text);
  if (text.size() >= 2 && (text.front() == '\'' || text.front() == '"') && text.back() == text.front()) {
    text = text.substr(1, text.size() - 2);
  }
  return std::string(text);
}

FakeCommand parse_command(std::string_view text) {
  const auto starts = [text](std::string_view word) {
    return text == word || (text.starts_with(word) && text.size() > word.size() && text[word.size()] == ' ');
  };
  if (starts("exit")) {
    return {.kind = FakeCommand::Kind::kExit, .code = static_cast<int>(parse_int(trim(text.substr(4))).value_or(0))};
  }
  if (starts("true") || starts("/bin/true")) {
    return {.kind = FakeCommand::Kind::kExit, .code = 0};
  }
  if (starts("false") || starts("/bin/false")) {
    return {.kind = FakeCommand::Kind::kExit, .code = 1};
  }
  if (starts("trap")) {
    return {.kind = FakeCommand::Kind::kIgnoreTerm};
  }
  if (starts("echo")) {
    const std::string_view rest = text.substr(4);
    const std::size_t redirection = rest.find(">>");
    if (redirection == std::string_view::npos) {
      return {.kind = FakeCommand::Kind::kPrint, .text = unquote(rest)};
    }
    return {.kind = FakeCommand::Kind::kReport, .text = unquote(rest.substr(0, redirection))};
  }
  return {.kind = text.empty() ? FakeCommand::Kind::kNothing : FakeCommand::Kind::kRunOn};
}

}  // namespace

std::vector<FakeCommand> fake_script(const std::vector<std::string>& argv) {
  const bool is_shell = argv.size() >= 3 && (argv[0] == "/bin/sh" || argv[0] == "sh") && argv[1] == "-c";
  std::vector<FakeCommand> commands;
  if (!is_shell) {
    commands.push_back(parse_command(join(argv, " ")));
    return commands;
  }
  for (const std::string_view part : split(argv[2], ';')) {
    commands.push_back(parse_command(trim(part)));
    if (commands.back().kind == FakeCommand::Kind::kExit || commands.back().kind == FakeCommand::Kind::kRunOn) {
      return commands;
    }
  }
  commands.push_back({.kind = FakeCommand::Kind::kExit});
  return commands;
}

FakeMachine::State::State(FakeMachineOptions machine_options) : options(std::move(machine_options)) {
  if (options.nodes.empty()) {
    options.nodes.push_back(default_node());
  }
}

FakeMachine::State::~State() {
  if (!log_dir.empty()) {
    std::error_code ignored;
    std::filesystem::remove_all(log_dir, ignored);
  }
}

FakeMachine::Attempt* FakeMachine::State::find_locked(model::AttemptId id) {
  const auto it = attempts.find(id);
  return it == attempts.end() ? nullptr : &it->second;
}

FakeMachine::Task* FakeMachine::State::find_live_task_locked(model::TaskId id) {
  Attempt* attempt = find_locked(id.attempt);
  if (attempt == nullptr || attempt->is_gone || id.rank >= attempt->tasks.size() || attempt->tasks[id.rank].has_ended) {
    return nullptr;
  }
  return &attempt->tasks[id.rank];
}

void FakeMachine::State::enqueue_locked(Delivery delivery) {
  queue.push_back(std::move(delivery));
  changed.notify_all();
}

void FakeMachine::State::emit_locked(Attempt* attempt, decltype(Fact::body) body) {
  Fact fact{.time_ms = clock == nullptr ? 0 : clock->now_ms(), .body = std::move(body)};
  if (attempt != nullptr) {
    attempt->history.push_back(fact);
  }
  if (is_watched) {
    enqueue_locked([fact = std::move(fact)](const FactSink& sink) { sink(fact); });
  }
}

void FakeMachine::State::create_locked(Attempt& attempt) {
  if (attempt.is_created || attempt.is_gone) {
    return;
  }
  attempt.is_created = true;
  emit_locked(&attempt, ImageReady{attempt.launch.id});
  emit_locked(&attempt, GangCreated{attempt.launch.id});
  if (attempt.is_release_wanted) {
    release_locked(attempt);
  }
}

void FakeMachine::State::release_locked(Attempt& attempt) {
  attempt.is_release_wanted = true;
  if (!attempt.is_created || attempt.is_released || attempt.is_gone) {
    return;
  }
  attempt.is_released = true;
  emit_locked(&attempt, GangReleased{attempt.launch.id});
  if (options.runs_by_itself) {
    for (std::uint32_t rank = 0; rank < attempt.tasks.size(); ++rank) {
      run_locked(attempt, rank);
    }
  }
}

void FakeMachine::State::run_locked(Attempt& attempt, std::uint32_t rank) {
  for (const FakeCommand& command : fake_script(attempt.tasks[rank].launch.argv)) {
    switch (command.kind) {
      case FakeCommand::Kind::kNothing:
        break;
      case FakeCommand::Kind::kIgnoreTerm:
        attempt.tasks[rank].ignores_sigterm = true;
        break;
      case FakeCommand::Kind::kPrint:
        print_locked(attempt.tasks[rank], command.text);
        break;
      case FakeCommand::Kind::kReport:
        report_locked(attempt, rank, {command.text});
        break;
      case FakeCommand::Kind::kRunOn:
        return;
      case FakeCommand::Kind::kExit:
        end_locked(attempt, rank,
                   {.task = {attempt.launch.id, rank},
                    .exit_class = command.code == 0 ? model::ExitClass::kSuccess : model::ExitClass::kUser,
                    .exit_code = command.code});
        return;
    }
  }
}

void FakeMachine::State::end_locked(Attempt& attempt, std::uint32_t rank, TaskEnded ended) {
  Task& task = attempt.tasks[rank];
  if (task.has_ended || attempt.is_gone) {
    return;
  }
  task.has_ended = true;
  emit_locked(&attempt, std::move(ended));
  if (std::all_of(attempt.tasks.begin(), attempt.tasks.end(), [](const Task& each) { return each.has_ended; })) {
    attempt.is_gone = true;
    attempt.ports.clear();
    emit_locked(&attempt, AttemptGone{attempt.launch.id});
  }
}

void FakeMachine::State::stop_task_locked(Attempt& attempt, std::uint32_t rank, std::int64_t grace_ms,
                                          int signal_first) {
  const Task& task = attempt.tasks[rank];
  if (task.has_ended) {
    return;
  }
  const model::TaskId id{attempt.launch.id, rank};
  if (signal_first != 0) {
    signals.emplace_back(id, signal_first);
  }
  signals.emplace_back(id, SIGTERM);
  const bool is_killed = task.ignores_sigterm || grace_ms == 0;
  if (is_killed) {
    signals.emplace_back(id, SIGKILL);
  }
  end_locked(attempt, rank,
             {.task = id,
              .exit_class = model::ExitClass::kCancelled,
              .exit_code = 128 + (is_killed ? SIGKILL : SIGTERM),
              .detail = "stopped"});
}

void FakeMachine::State::drop_former_locked(Attempt& attempt, std::uint32_t first) {
  std::erase_if(attempt.history, [&](const Fact& fact) {
    const auto* ended = std::get_if<TaskEnded>(&fact.body);
    const auto* report = std::get_if<ReportLines>(&fact.body);
    const auto* added = std::get_if<TasksAdded>(&fact.body);
    return (ended != nullptr && ended->task.rank >= first) || (report != nullptr && report->task.rank >= first) ||
           (added != nullptr && added->tasks > first) || std::holds_alternative<TasksRemoved>(fact.body);
  });
}

void FakeMachine::State::report_locked(Attempt& attempt, std::uint32_t rank, std::vector<std::string> lines) {
  Task& task = attempt.tasks[rank];
  for (const std::string& line : lines) {
    task.report_offset += line.size() + 1;
  }
  emit_locked(&attempt,
              ReportLines{.task = {attempt.launch.id, rank}, .offset = task.report_offset, .lines = std::move(lines)});
}

void FakeMachine::State::print_locked(Task& task, const std::string& text) {
  task.log += format_time(clock == nullptr ? 0 : clock->now_ms()) + " stdout F " + text + "\n";
}

FakeMachine::FakeMachine(FakeMachineOptions options) : state_(std::make_unique<State>(std::move(options))) {}
FakeMachine::~FakeMachine() = default;

void FakeMachine::create_gang(model::AttemptId attempt) {
  const std::lock_guard lock(state_->mutex);
  if (Attempt* found = state_->find_locked(attempt)) {
    state_->create_locked(*found);
  }
}

void FakeMachine::fail_creation(model::AttemptId attempt, std::string detail) {
  const std::lock_guard lock(state_->mutex);
  Attempt* found = state_->find_locked(attempt);
  if (found == nullptr || found->is_created) {
    return;
  }
  for (std::uint32_t rank = 0; rank < found->tasks.size(); ++rank) {
    state_->end_locked(
        *found, rank,
        {.task = {attempt, rank}, .exit_class = model::ExitClass::kInfrastructure, .exit_code = 128, .detail = detail});
  }
}

void FakeMachine::end_task(model::TaskId task, model::ExitClass exit_class, std::int32_t exit_code,
                           std::string detail) {
  const std::lock_guard lock(state_->mutex);
  if (state_->find_live_task_locked(task) != nullptr) {
    state_->end_locked(*state_->find_locked(task.attempt), task.rank,
                       {.task = task, .exit_class = exit_class, .exit_code = exit_code, .detail = std::move(detail)});
  }
}

void FakeMachine::report(model::TaskId task, std::vector<std::string> lines) {
  const std::lock_guard lock(state_->mutex);
  if (state_->find_live_task_locked(task) != nullptr) {
    state_->report_locked(*state_->find_locked(task.attempt), task.rank, std::move(lines));
  }
}

void FakeMachine::observe(model::Node node) {
  const std::lock_guard lock(state_->mutex);
  auto& nodes = state_->options.nodes;
  const auto same =
      std::find_if(nodes.begin(), nodes.end(), [&](const model::Node& each) { return each.name == node.name; });
  if (same == nodes.end()) {
    nodes.push_back(node);
  } else {
    *same = node;
  }
  state_->emit_locked(nullptr, NodeObserved{std::move(node)});
}

void FakeMachine::fail_next_start(Error error) {
  const std::lock_guard lock(state_->mutex);
  state_->next_start_error = std::move(error);
}

std::vector<model::AttemptId> FakeMachine::present() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<model::AttemptId> ids;
  for (const auto& [id, attempt] : state_->attempts) {
    if (!attempt.is_gone) {
      ids.push_back(id);
    }
  }
  return ids;
}

std::vector<model::AttemptId> FakeMachine::started() const {
  const std::lock_guard lock(state_->mutex);
  return state_->started;
}

std::optional<AttemptLaunch> FakeMachine::launch_of(model::AttemptId attempt) const {
  const std::lock_guard lock(state_->mutex);
  const Attempt* found = state_->find_locked(attempt);
  return found == nullptr ? std::nullopt : std::optional(found->launch);
}

bool FakeMachine::is_released(model::AttemptId attempt) const {
  const std::lock_guard lock(state_->mutex);
  const Attempt* found = state_->find_locked(attempt);
  return found != nullptr && found->is_released;
}

bool FakeMachine::is_paused(model::AttemptId attempt) const {
  const std::lock_guard lock(state_->mutex);
  const Attempt* found = state_->find_locked(attempt);
  return found != nullptr && found->is_paused;
}

std::size_t FakeMachine::leased_ports() const {
  const std::lock_guard lock(state_->mutex);
  std::size_t count = 0;
  for (const auto& [id, attempt] : state_->attempts) {
    count += attempt.ports.size();
  }
  for (const auto& [id, ports] : state_->early_ports) {
    count += ports.size();
  }
  return count;
}

std::vector<std::pair<model::TaskId, int>> FakeMachine::signals() const {
  const std::lock_guard lock(state_->mutex);
  return state_->signals;
}

}  // namespace busbar::engine
