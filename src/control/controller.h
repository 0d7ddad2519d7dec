#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/types.h"
#include "base/clock.h"
#include "control/ledger.h"
#include "control/metrics.h"
#include "engine/engine.h"
#include "store/store.h"

namespace busbar::control {

/// Turns a placement into what the engine starts: ports, launch environment, secrets. Called on the control thread.
class LaunchBuilder {
 public:
  virtual ~LaunchBuilder() = default;
  virtual Result<engine::AttemptLaunch> build(const StartOrder& order, const Ledger& ledger) = 0;
  /// The same of tasks that come to an attempt that runs, and what the others must know when some leave it.
  virtual Result<engine::Extension> extend(const ExtendOrder& order, const Ledger& ledger) = 0;
  virtual Result<engine::Reduction> shrink(const ShrinkOrder& order, const Ledger& ledger) = 0;
};

/// Hears of every committed change, on the control thread; must not block.
class ChangeListener {
 public:
  virtual ~ChangeListener() = default;
  virtual void on_job(const api::JobStatus& status) = 0;
  virtual void on_event(const store::EventRow& event) = 0;
  /// Whole, at each change; the first time right after the start.
  virtual void on_services(const ServiceView& view) = 0;
};

/// Owns the Ledger and the one thread that touches it (design: one writer thread a subsystem). Messages are handled in
/// batches; each batch is one transaction, so a burst of submissions shares one sync of the disk. Nothing leaves a
/// batch (answers, orders to the engine, notices) before its transaction is committed.
///
/// When the store refuses (disk full), the batch is kept and tried again; meanwhile new submissions are refused, and
/// what already runs is followed in memory (`is_degraded`).
class Controller {
 public:
  struct Dependencies {
    store::Store& store;
    engine::Engine& engine;
    LaunchBuilder& launches;
    ChangeListener& listener;
    const Clock& clock;
    Metrics& metrics;
  };

  /// Recovers the state, declares the engine's nodes, re-adopts what runs, then starts the thread. All dependencies
  /// are borrowed and must outlive the controller.
  static Result<std::unique_ptr<Controller>> start(Dependencies dependencies, LedgerOptions options);
  /// Commits what is pending and joins the thread. Containers go on.
  ~Controller();

  /// Runs on the control thread once the batch of the command is committed, or could not be (then `is_degraded`: the
  /// change is kept in memory and tried again, but must not be confirmed). Sees the state after the whole batch.
  using Reply = std::function<void(const Ledger&)>;
  /// Runs `command` on the control thread. Thread-safe; never blocks. After stop() the command is dropped.
  void post(std::function<Reply(Ledger&)> command);
  void post_fact(engine::Fact fact);

  bool is_degraded() const { return is_degraded_.load(); }
  std::string degraded_reason() const;
  void stop();

 private:
  Controller(Dependencies dependencies, LedgerOptions options);
  void run();
  std::vector<std::function<Reply(Ledger&)>> next_batch();
  bool commit_step();
  void finish_step();
  void send_replies();
  void carry_out(const EngineOrder& order);
  void extend(const ExtendOrder& order);
  void shrink(const ShrinkOrder& order);
  void find_endpoints();
  void fail_start(model::AttemptId attempt, const Error& error);

  Dependencies dependencies_;
  Ledger ledger_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<Reply(Ledger&)>> mailbox_;
  bool is_stopping_ = false;
  std::string degraded_reason_;

  std::atomic<bool> is_degraded_ = false;
  std::optional<Step> uncommitted_;
  std::vector<Reply> replies_;
  std::thread thread_;
};

}  // namespace busbar::control
