#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "os/files.h"

namespace busbar::os {

/// A fresh directory below TMPDIR, removed at the end of the test. For tests of any layer above os.
class TestDir {
 public:
  TestDir() {
    const char* parent = std::getenv("TMPDIR");
    path_ = join_path(parent == nullptr ? "/tmp" : parent, "busbar-test-XXXXXX");
    if (::mkdtemp(path_.data()) == nullptr) {
      ADD_FAILURE() << "cannot make " << path_;
    }
  }
  TestDir(const TestDir&) = delete;
  TestDir& operator=(const TestDir&) = delete;
  ~TestDir() {
    const auto removed = remove_tree(path_);
    EXPECT_TRUE(removed.has_value()) << removed.error().to_string();
  }

  const std::string& path() const { return path_; }
  std::string file(std::string_view name) const { return join_path(path_, name); }

 private:
  std::string path_;
};

}  // namespace busbar::os
