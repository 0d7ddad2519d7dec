#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <utility>

#include "base/text.h"
#include "engine/fake_engine.h"
#include "engine/internal/fake_state.h"

namespace busbar::engine {
namespace {

/// Callbacks that go silent when the session is destroyed; the lock keeps the destructor from overtaking a call.
struct Line {
  explicit Line(TerminalSession::Callbacks session_callbacks) : callbacks(std::move(session_callbacks)) {}

  void output(std::string_view bytes) {
    const std::lock_guard lock(mutex);
    if (is_open && callbacks.on_output) {
      callbacks.on_output(1, bytes);
    }
  }
  void exit(int code) {
    const std::lock_guard lock(mutex);
    if (is_open && callbacks.on_exit) {
      is_open = false;
      callbacks.on_exit(code);
    }
  }
  void close() {
    const std::lock_guard lock(mutex);
    is_open = false;
  }

  std::recursive_mutex mutex;  // a callback may destroy its session
  bool is_open = true;
  TerminalSession::Callbacks callbacks;
};

using Post = std::function<void(std::function<void()>)>;
using Input = std::function<void(const std::shared_ptr<Line>&, std::string_view)>;

/// A session whose answers come through the machine's queue, so in order with the facts.
class FakeTerminal final : public TerminalSession {
 public:
  FakeTerminal(std::shared_ptr<Line> line, Post post, Input input)
      : line_(std::move(line)), post_(std::move(post)), input_(std::move(input)) {}
  ~FakeTerminal() override { line_->close(); }

  bool write_input(std::string_view bytes) override {
    input_(line_, bytes);
    return true;
  }
  void close_input() override {}
  void resize(std::uint16_t, std::uint16_t) override {}
  void signal(int number) override {
    post_([line = line_, number] { line->exit(128 + number); });
  }
  void pause_output(bool) override {}

 private:
  std::shared_ptr<Line> line_;
  Post post_;
  Input input_;
};

}  // namespace

Result<std::unique_ptr<TerminalSession>> FakeEngine::exec(const ExecRequest& request,
                                                          TerminalSession::Callbacks callbacks) {
  const std::shared_ptr<FakeMachine> machine = machine_;
  const std::lock_guard lock(machine->state_->mutex);
  if (machine->state_->find_live_task_locked(request.task) == nullptr) {
    return make_error(ErrorCode::kFailedPrecondition, "task " + request.task.to_string() + " is not running");
  }
  const auto line = std::make_shared<Line>(std::move(callbacks));
  const auto post_locked = [machine](std::function<void()> work) {
    machine->state_->enqueue_locked([work = std::move(work)](const FactSink&) { work(); });
  };
  for (const FakeCommand& command : fake_script(request.argv)) {
    if (command.kind == FakeCommand::Kind::kPrint) {
      post_locked([line, text = command.text + "\n"] { line->output(text); });
    } else if (command.kind == FakeCommand::Kind::kExit) {
      post_locked([line, code = command.code] { line->exit(code); });
    }
  }
  const Post post = [machine, post_locked](std::function<void()> work) {
    const std::lock_guard inner(machine->state_->mutex);
    post_locked(std::move(work));
  };
  // Like `cat`: what is typed comes back.
  const Input echo = [post](const std::shared_ptr<Line>& to, std::string_view bytes) {
    post([to, text = std::string(bytes)] { to->output(text); });
  };
  return std::make_unique<FakeTerminal>(line, post, echo);
}

Result<std::unique_ptr<TerminalSession>> FakeEngine::attach(model::TaskId task, TerminalSession::Callbacks callbacks) {
  const std::shared_ptr<FakeMachine> machine = machine_;
  const std::lock_guard lock(machine->state_->mutex);
  if (machine->state_->find_live_task_locked(task) == nullptr) {
    return make_error(ErrorCode::kFailedPrecondition, "task " + task.to_string() + " is not running");
  }
  if (!machine->state_->find_locked(task.attempt)->launch.has_terminal) {
    return make_error(ErrorCode::kFailedPrecondition,
                      "task " + task.to_string() + " has no terminal; use exec, or start the job with type: dev");
  }
  const auto line = std::make_shared<Line>(std::move(callbacks));
  const Post post = [machine](std::function<void()> work) {
    const std::lock_guard inner(machine->state_->mutex);
    machine->state_->enqueue_locked([work = std::move(work)](const FactSink&) { work(); });
  };
  // A shell that knows one command, `exit N`; anything else comes back as the terminal's echo.
  const Input shell = [machine, post, task](const std::shared_ptr<Line>& to, std::string_view bytes) {
    post([to, text = std::string(bytes)] { to->output(text); });
    const std::string_view command = trim(bytes);
    if (command.starts_with("exit")) {
      const auto code = static_cast<int>(parse_int(trim(command.substr(4))).value_or(0));
      machine->end_task(task, code == 0 ? model::ExitClass::kSuccess : model::ExitClass::kUser, code);
      post([to, code] { to->exit(code); });
    }
  };
  return std::make_unique<FakeTerminal>(line, post, shell);
}

}  // namespace busbar::engine
