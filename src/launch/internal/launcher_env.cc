#include "launch/internal/launcher_env.h"

#include <algorithm>
#include <span>

namespace busbar::launch::internal {
namespace {

constexpr std::string_view kTorchrun[] = {
    "PET_NNODES",       "PET_NODE_RANK",     "PET_NPROC_PER_NODE", "PET_MASTER_ADDR", "PET_MASTER_PORT",
    "PET_RDZV_BACKEND", "PET_RDZV_ENDPOINT", "PET_RDZV_ID",        "MASTER_ADDR",     "MASTER_PORT",
    "NNODES",           "NODE_RANK",         "NPROC_PER_NODE"};
constexpr std::string_view kDirect[] = {"RANK",        "LOCAL_RANK",  "WORLD_SIZE", "LOCAL_WORLD_SIZE",
                                        "MASTER_ADDR", "MASTER_PORT", "NNODES",     "NODE_RANK"};
constexpr std::string_view kMpirun[] = {"OMPI_MCA_plm_rsh_agent", "OMPI_MCA_orte_default_hostfile", "NNODES",
                                        "NODE_RANK"};
constexpr std::string_view kNone[] = {"NNODES", "NODE_RANK"};

std::span<const std::string_view> owned_by(model::Launcher launcher) {
  switch (launcher) {
    case model::Launcher::kTorchrun:
      return kTorchrun;
    case model::Launcher::kDirect:
      return kDirect;
    case model::Launcher::kMpirun:
      return kMpirun;
    case model::Launcher::kNone:
      return kNone;
  }
  return {};
}

}  // namespace

bool is_owned_by_launcher(model::Launcher launcher, std::string_view name) {
  const auto names = owned_by(launcher);
  return name.starts_with("BUSBAR_") || std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace busbar::launch::internal
