#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "launch/launch_plan.h"

namespace busbar::launch::internal {

/// What the environment of every task depends on, worked out once for the gang.
struct GangShape {
  std::vector<const NodeFacts*> nodes = {};       ///< By rank.
  std::vector<std::string> hostnames = {};        ///< By rank.
  std::vector<std::uint32_t> processes = {};      ///< By rank: processes in the task.
  std::vector<std::uint32_t> first_process = {};  ///< By rank: the global rank of its first process.
  std::uint32_t world_size = 0;
};

/// kInvalidArgument if placement, spec and node facts do not belong together.
Result<GangShape> shape_of(const LaunchInput& input);

/// Busbar's variables under the job file's own: where the launcher owns a name ours wins, elsewhere the job file's.
Result<std::map<std::string, std::string>> task_environment(const LaunchInput& input, const GangShape& shape,
                                                            std::uint32_t rank);

/// The content of a live gang's members file.
std::string members_json(const LaunchInput& input, const GangShape& shape);
/// The hostnames of all tasks that the gang may ever have, by rank.
std::vector<std::string> possible_hostnames(const LaunchInput& input);

/// "<hostname> slots=<processes>" a line, in rank order.
std::string hostfile(const GangShape& shape);

}  // namespace busbar::launch::internal
