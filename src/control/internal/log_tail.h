#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "control/log_streamer.h"
#include "os/unique_fd.h"

namespace busbar::control {

/// Reads one task's output line by line, across rotated files. Not thread-safe; blocks only for the disk.
///
/// A file is known by its inode, not by its name, and is opened as soon as it is seen: so a file that rotation removes
/// while its reader is behind can still be read to its end. Rotation renames the live file, then makes a new one; once
/// the new one is there, nothing is added to the old one.
class LogTail {
 public:
  struct Line {
    TimeMs time_ms = 0;
    int stream = 1;
    std::string text = {};
  };

  explicit LogTail(LogTask task) : task_(std::move(task)) {}

  /// Opens files that have appeared. Call it when the directory has changed.
  void refresh();
  /// Moves to `lines` lines before the end. Before the first `next`.
  void seek_tail(std::size_t lines);
  /// What is written from now on is not read. Before the first `next`.
  void freeze();
  /// No more will be written: from now on an unfinished line counts as a line.
  void finish() { is_finished_ = true; }

  /// The next line, or nullopt at the present end. Lines beyond 64 KiB come in pieces.
  std::optional<Line> next();
  /// True once for each time that files were removed before they had been seen.
  bool take_gap() { return std::exchange(has_gap_, false); }

  std::uint32_t rank() const { return task_.rank; }
  std::uint32_t attempt() const { return task_.attempt; }
  /// Of the live file; "" until there is one.
  const std::string& directory() const { return directory_; }
  /// Whether a change of this name in the directory may concern this task. Both ways, because in the middle of a
  /// rotation the newest file that there is is "log.1".
  bool is_own_file(std::string_view name) const { return name.starts_with(live_name_) || live_name_.starts_with(name); }

 private:
  struct File {
    os::UniqueFd fd;
    dev_t device = 0;
    ino_t inode = 0;
    off_t offset = 0;
  };
  /// The parts of a line that has not ended yet.
  struct Unfinished {
    std::string text = {};
    TimeMs time_ms = 0;
    bool is_empty = true;
  };

  static bool is_same(const File& a, const File& b) { return a.device == b.device && a.inode == b.inode; }
  std::vector<File> open_present();
  std::optional<std::vector<File>> look();
  std::optional<std::string_view> next_raw();
  bool read_more();
  std::optional<Line> take(std::string_view raw);
  std::optional<Line> take_part(TimeMs time_ms, int stream, std::string_view text, bool is_last);
  std::optional<Line> flush_unfinished();

  LogTask task_;
  std::string directory_;
  std::string live_name_;
  std::deque<File> files_;  ///< Oldest first; the front is being read.
  std::string buffer_;      ///< Read, from `consumed_` on not yet handed out.
  std::size_t consumed_ = 0;
  std::optional<off_t> frozen_size_;  ///< Of the last file.
  std::array<Unfinished, 2> unfinished_;
  TimeMs last_time_ms_ = 0;
  std::optional<Line> stashed_;  ///< A line that ended by the arrival of what is now in `unfinished_`.
  bool is_finished_ = false;
  bool has_gap_ = false;
};

}  // namespace busbar::control
