#include "control/internal/log_tail.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/log_line.h"
#include "os/files.h"

namespace busbar::control {
namespace {

constexpr std::size_t kBlockBytes = 64 << 10;
constexpr std::size_t kMaxLineBytes = 64 << 10;
/// conmon's lines have at most 8 KiB; a file with longer ones is not a log, but must not fill the memory.
constexpr std::size_t kMaxRawBytes = kMaxLineBytes;
/// A client so slow that this many rotated files wait for it loses the oldest: they keep their disk space occupied.
constexpr std::size_t kMaxOpenFiles = 16;

std::size_t pread_some(int fd, char* to, std::size_t size, off_t offset) {
  while (true) {
    const ssize_t got = ::pread(fd, to, size, offset);
    if (got >= 0) {
      return static_cast<std::size_t>(got);
    }
    // An unreadable disk ends the file here; the next change of the directory tries again.
    if (errno != EINTR) {
      return 0;
    }
  }
}

off_t size_of(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 ? status.st_size : 0;
}

/// Whether a line of the file ends a line of the program.
bool ends_line(std::string_view raw) {
  if (raw.ends_with('\n')) {
    raw.remove_suffix(1);
  }
  const auto line = engine::parse_log_line(raw);
  return !line || !line->is_partial;
}

/// Where the last `lines_left` lines begin; nullopt if the whole file has fewer, and then `lines_left` is what is to be
/// found in older files. Reads backwards, so the cost is that of the lines found.
std::optional<off_t> tail_offset(int fd, std::size_t& lines_left) {
  off_t position = size_of(fd);
  std::string text;  // from `position` on: the end of a line whose start is still to be read
  while (position > 0) {
    const auto block = static_cast<std::size_t>(std::min<off_t>(position, kBlockBytes));
    std::string bytes(block, '\0');
    position -= static_cast<off_t>(block);
    bytes.resize(pread_some(fd, bytes.data(), block, position));
    text.insert(0, bytes);
    std::size_t end = text.size();
    while (end > 0) {
      const std::size_t newline = end >= 2 ? text.rfind('\n', end - 2) : std::string::npos;
      if (newline == std::string::npos && position > 0) {
        break;
      }
      const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
      if (ends_line(std::string_view(text).substr(begin, end - begin))) {
        if (lines_left == 0) {
          return position + static_cast<off_t>(end);
        }
        --lines_left;
      }
      end = begin;
    }
    text.resize(end > kMaxRawBytes ? 0 : end);
  }
  return std::nullopt;
}

}  // namespace

std::vector<LogTail::File> LogTail::open_present() {
  const auto found = task_.files ? task_.files() : Result<engine::LogFiles>(engine::LogFiles{});
  if (!found || found->paths.empty()) {
    return {};
  }
  const std::string& live = found->paths.back();
  directory_ = os::parent_path(live);
  live_name_ = live.substr(live.rfind('/') + 1);
  std::vector<File> present;
  for (const std::string& path : found->paths) {
    auto fd = os::open_file(path, O_RDONLY | O_NONBLOCK);
    struct stat status{};
    if (fd && ::fstat(fd->get(), &status) == 0 && S_ISREG(status.st_mode)) {
      present.push_back({.fd = *std::move(fd), .device = status.st_dev, .inode = status.st_ino, .offset = 0});
    }
  }
  return present;
}

/// A rotation renames file after file, so one look may miss a file that is just changing its name. Two looks that agree
/// did not.
std::optional<std::vector<LogTail::File>> LogTail::look() {
  constexpr int kTries = 5;
  std::vector<File> before = open_present();
  for (int i = 0; i < kTries; ++i) {
    std::vector<File> now = open_present();
    if (std::equal(before.begin(), before.end(), now.begin(), now.end(), is_same)) {
      return now;
    }
    before = std::move(now);
  }
  return std::nullopt;  // still being renamed, which will wake us again
}

void LogTail::refresh() {
  auto present = look();
  if (!present || present->empty()) {
    return;
  }
  auto first_new = present->begin();
  if (!files_.empty()) {
    const auto last_known = std::find_if(present->begin(), present->end(),
                                         [this](const File& file) { return is_same(file, files_.back()); });
    if (last_known != present->end()) {
      first_new = last_known + 1;
    } else if (present->size() > 1) {
      // The last one that was seen has been removed since, and perhaps others after it. (Where only one file is kept,
      // it is the normal case that the last one is gone.)
      has_gap_ = true;
    }
  }
  std::move(first_new, present->end(), std::back_inserter(files_));
  while (files_.size() > kMaxOpenFiles) {
    files_.pop_front();
    buffer_.clear();
    consumed_ = 0;
    has_gap_ = true;
  }
}

void LogTail::seek_tail(std::size_t lines) {
  std::size_t lines_left = lines;
  for (std::size_t i = files_.size(); i > 0; --i) {
    if (const auto offset = tail_offset(files_[i - 1].fd.get(), lines_left)) {
      files_.erase(files_.begin(), files_.begin() + static_cast<std::ptrdiff_t>(i - 1));
      files_.front().offset = *offset;
      return;
    }
  }
}

void LogTail::freeze() {
  frozen_size_ = files_.empty() ? 0 : size_of(files_.back().fd.get());
}

bool LogTail::read_more() {
  File& file = files_.front();
  const bool is_last = files_.size() == 1;
  std::size_t wanted = kBlockBytes;
  if (is_last && frozen_size_) {
    wanted = static_cast<std::size_t>(std::clamp<off_t>(*frozen_size_ - file.offset, 0, kBlockBytes));
  }
  buffer_.erase(0, std::exchange(consumed_, 0));
  const std::size_t kept = buffer_.size();
  buffer_.resize(kept + wanted);
  const std::size_t got = pread_some(file.fd.get(), buffer_.data() + kept, wanted, file.offset);
  buffer_.resize(kept + got);
  file.offset += static_cast<off_t>(got);
  // A file that somebody has emptied begins again.
  if (got == 0 && !frozen_size_ && size_of(file.fd.get()) < file.offset) {
    file.offset = 0;
    buffer_.clear();
    return true;
  }
  return got > 0;
}

std::optional<std::string_view> LogTail::next_raw() {
  std::size_t searched = consumed_;
  while (!files_.empty()) {
    const std::size_t newline = buffer_.find('\n', searched);
    if (newline != std::string::npos) {
      const std::string_view raw = std::string_view(buffer_).substr(consumed_, newline - consumed_);
      consumed_ = newline + 1;
      return raw;
    }
    const std::size_t rest = buffer_.size() - consumed_;
    const bool is_too_long = rest > kMaxRawBytes;
    if (!is_too_long && read_more()) {
      searched = rest;  // read_more has moved the rest to the front
      continue;
    }
    const bool has_successor = files_.size() > 1;
    if (rest > 0 && (is_too_long || has_successor || is_finished_)) {
      const std::string_view raw = std::string_view(buffer_).substr(consumed_);
      consumed_ = buffer_.size();
      return raw;
    }
    if (!has_successor) {
      return std::nullopt;
    }
    files_.pop_front();
    searched = consumed_;
  }
  return std::nullopt;
}

std::optional<LogTail::Line> LogTail::next() {
  if (stashed_) {
    return std::exchange(stashed_, std::nullopt);
  }
  while (const auto raw = next_raw()) {
    if (auto line = take(*raw)) {
      return line;
    }
  }
  return is_finished_ ? flush_unfinished() : std::nullopt;
}

std::optional<LogTail::Line> LogTail::take(std::string_view raw) {
  const auto parsed = engine::parse_log_line(raw);
  if (!parsed) {
    // Torn on a full disk: shown as it is rather than lost.
    return raw.empty() ? std::nullopt : std::optional(Line{last_time_ms_, 1, std::string(raw)});
  }
  last_time_ms_ = parsed->time_ms;
  return take_part(parsed->time_ms, parsed->stream, parsed->text, !parsed->is_partial);
}

std::optional<LogTail::Line> LogTail::take_part(TimeMs time_ms, int stream, std::string_view text, bool is_last) {
  Unfinished& unfinished = unfinished_[stream == 2 ? 1 : 0];
  // Progress bars go back to the start of the line and never end it: each state of the bar counts as a line, so that it
  // is seen while it moves. (A lone "\r" is the first half of a "\r\n" that was torn apart.)
  const bool starts_over = text.size() > 1 && text.front() == '\r';
  std::optional<Line> before;
  if (!unfinished.is_empty && (starts_over || unfinished.text.size() + text.size() > kMaxLineBytes)) {
    before = Line{unfinished.time_ms, stream, std::exchange(unfinished.text, {})};
    unfinished.is_empty = true;
  }
  if (unfinished.is_empty) {
    unfinished.time_ms = time_ms;
    unfinished.is_empty = false;
  }
  unfinished.text += text;
  if (!is_last) {
    return before;
  }
  Line whole{unfinished.time_ms, stream, std::exchange(unfinished.text, {})};
  unfinished.is_empty = true;
  if (before) {
    stashed_ = std::move(whole);
    return before;
  }
  return whole;
}

std::optional<LogTail::Line> LogTail::flush_unfinished() {
  for (std::size_t i = 0; i < unfinished_.size(); ++i) {
    if (!unfinished_[i].is_empty) {
      unfinished_[i].is_empty = true;
      return Line{unfinished_[i].time_ms, static_cast<int>(i) + 1, std::exchange(unfinished_[i].text, {})};
    }
  }
  return std::nullopt;
}

}  // namespace busbar::control
