#pragma once

#include <string>
#include <vector>

#include "control/controller.h"
#include "control/secret_box.h"
#include "launch/launch_plan.h"

namespace busbar::control {

/// Placement + spec -> AttemptLaunch: leases ports from the engine, plans the launch environment, adds the cards' OCI
/// edits, mounts and secrets. Used on the control thread.
class PlanLaunchBuilder final : public LaunchBuilder {
 public:
  /// Borrows both.
  PlanLaunchBuilder(engine::Engine& engine, const SecretBox& secrets);
  Result<engine::AttemptLaunch> build(const StartOrder& order, const Ledger& ledger) override;
  Result<engine::Extension> extend(const ExtendOrder& order, const Ledger& ledger) override;
  Result<engine::Reduction> shrink(const ShrinkOrder& order, const Ledger& ledger) override;

  /// For --dry-run: the same with ports 0 and secrets left out; starts and leases nothing.
  Result<engine::AttemptLaunch> preview(const StartOrder& order, const Ledger& ledger) const;

 private:
  enum class Secrets { kOpened, kLeftOut };
  /// What enters the launch beside the order.
  struct Given {
    std::vector<std::uint16_t> ports = {};
    Secrets secrets = Secrets::kOpened;
    std::uint32_t first_rank = 0;  ///< Tasks before it are there already.
    std::uint32_t generation = 1;
  };
  Result<engine::AttemptLaunch> assemble(const StartOrder& order, const Ledger& ledger, const Given& given) const;
  /// One for the rendezvous, then those of each task by rank.
  Result<std::vector<std::uint16_t>> ports_of(const StartOrder& order);
  Result<engine::TaskLaunch> task_launch(const StartOrder& order, const Ledger& ledger, const launch::TaskPlan& plan,
                                         Secrets secrets) const;

  engine::Engine& engine_;
  const SecretBox& secrets_;
};

}  // namespace busbar::control
