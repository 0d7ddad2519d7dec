#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/engine.h"

namespace busbar::engine {

struct FakeMachineOptions {
  std::vector<model::Node> nodes = {};  ///< Empty: one node "fake" with four CPU cards.
  /// False: images and containers become ready only by `create_gang`.
  bool creates_by_itself = true;
  /// False: tasks ignore their argv, and end only by `end_task` and stop().
  bool runs_by_itself = true;
  bool can_pause = true;
};

/// The machine below a FakeEngine: attempts in memory, no process. It outlives engines, as containers outlive a
/// server: make a second FakeEngine on the same machine and adopt() to play a crash and restart. Thread-safe.
///
/// What a task tells that is told to leave, or that joins, is told at once.
///
/// What tasks do is read from their argv: `/bin/sh -c SCRIPT` with the commands `exit N`, `echo TEXT [>> FILE]`,
/// `sleep N` (runs until stopped), `trap '' TERM` (ignores SIGTERM) joined by `;`, or `sleep N`, `true`, `false`
/// directly. Anything else runs until it is stopped or `end_task` is called. So one contract test suite runs on the
/// fake and on real containers.
class FakeMachine {
 public:
  explicit FakeMachine(FakeMachineOptions options = {});
  ~FakeMachine();

  // Facts by hand. Each does nothing for what is unknown or over.
  void create_gang(model::AttemptId attempt);
  void fail_creation(model::AttemptId attempt, std::string detail);
  void end_task(model::TaskId task, model::ExitClass exit_class, std::int32_t exit_code, std::string detail = {});
  void report(model::TaskId task, std::vector<std::string> lines);
  /// A new state of a node, as after a card failed.
  void observe(model::Node node);
  /// The next start() returns this error.
  void fail_next_start(Error error);

  // What tests look at.
  std::vector<model::AttemptId> present() const;  ///< Attempts that are not gone.
  std::vector<model::AttemptId> started() const;  ///< Each start() that made something, in order.
  std::optional<AttemptLaunch> launch_of(model::AttemptId attempt) const;
  bool is_released(model::AttemptId attempt) const;
  bool is_paused(model::AttemptId attempt) const;
  std::size_t leased_ports() const;
  std::vector<std::pair<model::TaskId, int>> signals() const;  ///< All that tasks got, in order.

 private:
  friend class FakeEngine;
  struct Task;
  struct Attempt;
  struct State;

  std::unique_ptr<State> state_;
};

/// When a FakeEngine calls the sink.
enum class FakeDelivery {
  kOwnThread,  ///< As real engines do: from a thread of the engine, in order.
  kByHand,     ///< Only inside `FakeEngine::deliver`, for single-threaded tests.
};

/// An Engine without processes, deterministic, for tests of what is above it. Passes contract_tests.h.
class FakeEngine final : public Engine {
 public:
  FakeEngine(std::shared_ptr<FakeMachine> machine, const Clock& clock,
             FakeDelivery delivery = FakeDelivery::kOwnThread);
  ~FakeEngine() override;

  /// kByHand: delivers all facts that wait, also those that the sink's own calls cause; returns how many.
  std::size_t deliver();

  std::vector<Capability> capabilities() const override;
  Result<std::vector<model::Node>> observe_nodes() override;
  /// CPU cards by their number, nothing for others.
  Result<chip::OciEdits> edits_for(model::NodeId node, const std::vector<model::Card>& granted,
                                   MilliCards per_card) override;
  Result<std::vector<model::AttemptId>> adopt(const std::vector<AttemptLaunch>& active, FactSink sink) override;
  Result<void> start(AttemptLaunch launch) override;
  Result<void> release(model::AttemptId attempt) override;
  Result<void> stop(model::AttemptId attempt, std::int64_t grace_ms, int signal_first) override;
  Result<void> extend(Extension extension) override;
  Result<void> shrink(const Reduction& reduction) override;
  Result<void> signal(model::TaskId task, int number) override;
  Result<void> pause(model::AttemptId attempt) override;
  Result<void> resume(model::AttemptId attempt) override;
  Result<LogFiles> logs(model::TaskId task) const override;
  Result<std::unique_ptr<TerminalSession>> exec(const ExecRequest& request,
                                                TerminalSession::Callbacks callbacks) override;
  Result<std::unique_ptr<TerminalSession>> attach(model::TaskId task, TerminalSession::Callbacks callbacks) override;
  Result<TaskStats> stats(model::TaskId task) override;
  Result<std::vector<std::uint16_t>> lease_ports(model::AttemptId attempt, std::size_t count) override;
  std::vector<std::uint16_t> leased_ports(model::AttemptId attempt) const override;
  Result<std::vector<Json>> preview(const AttemptLaunch& launch) override;
  Result<std::vector<model::AttemptId>> kept() const override;
  Bytes kept_bytes(model::AttemptId attempt) const override;
  Result<void> forget(model::AttemptId attempt) override;
  void shutdown() override;

 private:
  class Deliverer;

  std::shared_ptr<FakeMachine> machine_;
  const Clock& clock_;
  FakeDelivery delivery_;
  std::unique_ptr<Deliverer> deliverer_;
};

}  // namespace busbar::engine
