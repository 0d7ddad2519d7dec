#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "base/units.h"
#include "control/log_streamer.h"
#include "os/files.h"

namespace busbar::control {

/// A task's log files as conmon and the local engine write and rotate them. For tests.
class LogFilesOnDisk {
 public:
  LogFilesOnDisk(std::string dir, int kept, std::string name = "log")
      : dir_(std::move(dir)), kept_(kept), name_(std::move(name)) {}

  std::string live() const { return dir_ + "/" + name_; }
  std::string rotated(int age) const { return live() + "." + std::to_string(age); }

  /// `text`: "stdout F hello".
  void append(TimeMs time_ms, std::string_view text) const { append_to(live(), time_ms, text); }
  void append_to(const std::string& path, TimeMs time_ms, std::string_view text) const {
    std::string time = format_time(time_ms);
    time.pop_back();  // its Z
    write(path, time + "000000+00:00 " + std::string(text) + "\n");
  }
  void append_raw(std::string_view bytes) const { write(live(), bytes); }

  /// The first half of a rotation: the live file has another name, the next one is not there yet.
  void rename_live() const {
    if (kept_ == 1) {
      ::unlink(live().c_str());
      return;
    }
    ::unlink(rotated(kept_ - 1).c_str());
    for (int age = kept_ - 2; age >= 1; --age) {
      std::rename(rotated(age).c_str(), rotated(age + 1).c_str());
    }
    std::rename(live().c_str(), rotated(1).c_str());
  }
  void rotate() const {
    rename_live();
    write(live(), "");
  }

  std::function<Result<engine::LogFiles>()> provider() const {
    return [self = *this]() -> Result<engine::LogFiles> {
      engine::LogFiles files;
      for (int age = self.kept_ - 1; age >= 1; --age) {
        if (os::file_exists(self.rotated(age))) {
          files.paths.push_back(self.rotated(age));
        }
      }
      if (os::file_exists(self.live())) {
        files.paths.push_back(self.live());
      }
      return files;
    };
  }

 private:
  static void write(const std::string& path, std::string_view bytes) {
    std::FILE* file = std::fopen(path.c_str(), "ae");
    ASSERT_NE(file, nullptr) << path;
    EXPECT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
    std::fclose(file);
  }

  std::string dir_;
  int kept_;
  std::string name_;
};

}  // namespace busbar::control
