#pragma once

#include <memory>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/local/internal/attempt_runner.h"
#include "engine/local/internal/engine_context.h"

namespace busbar::engine {

/// Another process in a running container, by `runc exec`. The session's end kills it.
Result<std::unique_ptr<TerminalSession>> open_exec(EngineContext& context, AttemptRunner& runner,
                                                   const ExecRequest& request, TerminalSession::Callbacks callbacks);

/// The terminal of the task itself, by conmon's attach socket. The session's end leaves the task alone.
Result<std::unique_ptr<TerminalSession>> open_attach(EngineContext& context, AttemptRunner& runner, model::TaskId task,
                                                     TerminalSession::Callbacks callbacks);

}  // namespace busbar::engine
