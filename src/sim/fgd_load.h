#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sched/place/pack_types.h"

namespace busbar::sim {

/// The nodes of the openb node list, in its order; memory in MiB, kinds are the models of cards.
struct FgdCluster {
  std::vector<std::string> kinds = {};
  std::vector<sched::place::PackNode> nodes = {};
  std::int64_t card_milli = 0;  ///< Of all nodes.
};

/// One openb pod list: each pod is one of a few shapes.
struct FgdPods {
  std::vector<sched::place::ExpectedShape> shapes = {};  ///< In order of first appearance; weight: pods of the list.
  std::vector<std::uint32_t> pods = {};                  ///< Index of the shape.
};

/// `sn,cpu_milli,memory_mib,gpu,model`. Errors name file and line.
Result<FgdCluster> read_fgd_nodes(const std::string& name, std::string_view text);

/// `name,cpu_milli,memory_mib,num_gpu,gpu_milli[,gpu_spec,...]`; gpu_spec: models that will do, "A|B", empty: any.
Result<FgdPods> read_fgd_pods(const std::string& name, std::string_view text, const FgdCluster& cluster);

}  // namespace busbar::sim
