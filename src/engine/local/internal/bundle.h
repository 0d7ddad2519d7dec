#pragma once

#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "engine/local/internal/engine_context.h"

namespace busbar::engine {

/// The config.json that a task would get. Looks at devices, changes nothing.
Result<Json> task_config(const EngineContext& context, const AttemptLaunch& launch, const TaskLaunch& task,
                         const PreparedRootfs& rootfs);

/// Makes all that the runtime needs to create the container: directories, files of /run/busbar, secrets in memory, the
/// overlay mount, config.json. Blocks for about a millisecond; syncs nothing. After a failure `remove_bundle` cleans
/// up.
Result<void> make_bundle(const EngineContext& context, const AttemptLaunch& launch, const TaskLaunch& task,
                         const PreparedRootfs& rootfs);

/// Unmounts and deletes what make_bundle made but for logs and /run/busbar. Idempotent.
Result<void> remove_bundle(const EngineContext& context, model::TaskId task);

/// Volumes that do not exist are the job's mistake: found before anything is made.
Result<void> check_sources(const AttemptLaunch& launch);

}  // namespace busbar::engine
