#include "control/internal/event_text.h"

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <utility>

#include "base/text.h"

namespace busbar::control {
namespace {

struct SignalName {
  std::string_view name;
  int number;
};
constexpr std::array kSignals = {
    SignalName{"HUP", SIGHUP},   SignalName{"INT", SIGINT},     SignalName{"QUIT", SIGQUIT},
    SignalName{"KILL", SIGKILL}, SignalName{"USR1", SIGUSR1},   SignalName{"USR2", SIGUSR2},
    SignalName{"TERM", SIGTERM}, SignalName{"CONT", SIGCONT},   SignalName{"STOP", SIGSTOP},
    SignalName{"ALRM", SIGALRM}, SignalName{"WINCH", SIGWINCH},
};

std::string cards_of(const api::TaskStatus& task, const std::string& chip) {
  if (task.cards.empty()) return "no cards";
  std::string text = chip;
  for (std::size_t i = 0; i < task.cards.size(); ++i) text += fmt::format("{}{}", i == 0 ? " " : ",", task.cards[i]);
  return text;
}

}  // namespace

std::string placed_text(const api::AttemptStatus& attempt, const std::string& reason) {
  constexpr std::size_t kMaxListed = 8;
  std::string tasks;
  for (std::size_t i = 0; i < attempt.tasks.size() && i < kMaxListed; ++i) {
    const api::TaskStatus& task = attempt.tasks[i];
    tasks += fmt::format("{}{}: {} ({})", i == 0 ? "" : "; ", task.rank, task.node, cards_of(task, attempt.chip));
  }
  if (attempt.tasks.size() > kMaxListed) tasks += fmt::format("; and {} more", attempt.tasks.size() - kMaxListed);
  return reason.empty() ? tasks : fmt::format("{} - {}", tasks, reason);
}

std::string stop_text(const sched::Stop& stop) {
  switch (stop.reason) {
    case sched::StopReason::kCancelled:
      return "cancelled by a user";
    case sched::StopReason::kTimeLimit:
      return "reached its time limit";
    case sched::StopReason::kPreempted:
      return fmt::format("preempted: {}", stop.detail);
    case sched::StopReason::kResized:
      return fmt::format("resized: {}", stop.detail);
    case sched::StopReason::kMoved:
      return fmt::format("moved: {}", stop.detail);
    case sched::StopReason::kTaskFailed:
      return stop.detail.empty() ? "a task failed" : stop.detail;
    case sched::StopReason::kLeaderDone:
      return "the leading task is done";
    case sched::StopReason::kStartDeadline:
      return stop.detail.empty() ? "did not start in time" : stop.detail;
    case sched::StopReason::kNodeLost:
      return stop.detail.empty() ? "a node was lost" : stop.detail;
  }
  __builtin_unreachable();
}

std::string requeue_text(const sched::Requeue& requeue, const std::string& cause, TimeMs now_ms) {
  std::string text = fmt::format("will start again after {}", model::exit_class_name(requeue.because));
  if (!cause.empty()) text += fmt::format(" ({})", cause);
  if (requeue.not_before_ms > now_ms) {
    text += fmt::format(", not before {} from now", format_duration_ms(requeue.not_before_ms - now_ms));
  }
  if (requeue.hold_until_ms > now_ms) {
    text += fmt::format("; keeps the cards of {} of {} tasks for {}", requeue.held.tasks.size(), requeue.gang_tasks,
                        format_duration_ms(requeue.hold_until_ms - now_ms));
  }
  return text;
}

std::string promise_text(const sched::Reserve& reserve, TimeMs now_ms) {
  if (reserve.nodes.empty()) return "";
  const std::size_t nodes = reserve.nodes.size();
  const std::string place = fmt::format("next of its queue, {} node{} kept for it", nodes, nodes == 1 ? "" : "s");
  return reserve.start_ms == 0 ? place
                               : fmt::format("{}: starts within {}", place,
                                             format_duration_ms(std::max<std::int64_t>(reserve.start_ms - now_ms, 0)));
}

std::string finish_text(const JobRecord& record, const sched::Finish& finish) {
  std::string text = finish.reason;
  if (finish.state == model::JobState::kFailed && !record.attempts.empty()) {
    // The failing task's own words (an OOM kill, a runtime's message) say more than its class.
    for (const api::TaskStatus& task : record.attempts.back().tasks) {
      if (task.detail.empty() || task.exit_class != model::exit_class_name(finish.exit_class)) continue;
      if (text.find(task.detail) == std::string::npos)
        text += fmt::format("{}task {}: {}", text.empty() ? "" : "; ", task.rank, task.detail);
      break;
    }
  }
  return text;
}

int signal_number(const std::string& name) {
  if (const auto number = parse_int(name); number && *number > 0 && *number < NSIG) return static_cast<int>(*number);
  std::string_view bare = name;
  if (bare.starts_with("SIG")) bare.remove_prefix(3);
  for (const SignalName& signal : kSignals) {
    if (signal.name == bare) return signal.number;
  }
  return 0;
}

std::optional<chip::Denominator> peak_of(const chip::Catalogue& catalogue, const sched::Core& core,
                                         const model::JobSpec& spec, const model::Placement& placement) {
  if (placement.tasks.empty() || placement.tasks.front().cards.empty()) return std::nullopt;
  const model::Node* node = core.find_node(placement.tasks.front().node);
  const std::uint16_t index = placement.tasks.front().cards.front();
  if (node == nullptr || index >= node->cards.size()) return std::nullopt;
  std::string precision = spec.efficiency.precision.empty() ? spec.precision : spec.efficiency.precision;
  if (precision.empty()) precision = "fp32";
  return chip::denominator_for(catalogue, node->cards[index].chip, node->cards[index].peak_gflops, precision);
}

}  // namespace busbar::control
