#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "cli/context.h"

/// The client's side of exec and attach: keys and window size out, output in, the terminal as it was afterwards.
namespace busbar::cli {

/// Rows and columns of a terminal.
struct WindowSize {
  std::uint16_t rows = 24;
  std::uint16_t columns = 80;
};
WindowSize window_size(int descriptor);

/// Puts a terminal into raw mode for as long as it lives: every key goes to the other side. The mode comes back when
/// it is destroyed and also when a deadly signal ends the process. One at a time.
class RawMode {
 public:
  static Result<RawMode> enter(int descriptor);
  RawMode(RawMode&& other) noexcept;
  RawMode& operator=(RawMode&&) = delete;
  ~RawMode();

 private:
  explicit RawMode(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

/// Looks for the keys that leave a session (Ctrl-P Ctrl-Q, as docker has them) in what is typed. Not thread-safe.
class DetachKeys {
 public:
  struct Typed {
    std::string bytes = {};  ///< What goes to the other side; a Ctrl-P waits for the key after it.
    bool is_detach = false;
  };
  Typed feed(std::string_view bytes);

 private:
  bool has_first_ = false;
};

struct TerminalPlan {
  std::string target = {};  ///< Of the WebSocket: "/v1/jobs/17/exec?argv=...".
  bool sends_input = false;
  bool is_raw = false;           ///< The other side has a terminal: raw mode, window size.
  bool has_detach_keys = false;  ///< attach: leaving does not end what runs.
};

struct TerminalEnd {
  int exit_code = 0;
  bool was_detached = false;
};

/// Runs one session to its end. An error that the server sends as its last frame is the error of this call; a
/// connection that breaks is kUnavailable.
Result<TerminalEnd> run_terminal(Context& context, const TerminalPlan& plan);

}  // namespace busbar::cli
