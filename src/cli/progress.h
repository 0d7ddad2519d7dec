#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "api/types.h"
#include "cli/describe.h"
#include "cli/output.h"

namespace busbar::cli {

/// "step 120/600, loss 0.412, 1,234 samples/s, ETA 12s"; "" before the first report.
std::string progress_text(const api::ProgressStatus& progress);
/// Of total steps, 0 to 100; nullopt while the total is unknown.
std::optional<int> progress_percent(const api::ProgressStatus& progress);

/// Shows how a job gets on. On a terminal one line is kept at the bottom and drawn again in place; other text goes
/// above it by `above`. On a pipe a line is written at each change of state and about each 10 %. Not thread-safe.
class ProgressLine {
 public:
  /// Borrows `err`. Quiet: shows nothing at all.
  ProgressLine(Output& err, bool is_quiet) : err_(err), is_quiet_(is_quiet) {}
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(const api::JobStatus& job, TimeMs now_ms);
  /// Takes the line away while something else is written; `redraw` brings it back.
  void clear();
  void redraw();

 private:
  void show_on_terminal(const api::JobStatus& job, TimeMs now_ms);
  void show_on_pipe(const api::JobStatus& job);

  Output& err_;
  bool is_quiet_;
  std::string line_;
  bool is_drawn_ = false;
  std::string last_state_;
  int last_tenth_ = -1;
  model::JobId last_job_ = {};
};

}  // namespace busbar::cli
