#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "base/test_paths.h"
#include "os/files.h"

namespace busbar::control {

/// Holds the part of a document between `<!-- BEGIN name -->` and `<!-- END name -->` equal to what the program says;
/// UPDATE_GOLDEN=1 writes it. `path` is relative to the source tree.
inline void expect_section(const std::string& path, const std::string& name, const std::string& expected) {
  const std::string file = std::string(BUSBAR_SOURCE_DIR) + "/" + path;
  const std::string begin_mark = "<!-- BEGIN " + name + " -->\n";
  const auto text = os::read_file(file, 1 << 20);
  ASSERT_TRUE(text.has_value()) << text.error().to_string();
  const std::size_t mark = text->find(begin_mark);
  const std::size_t end = text->find("<!-- END " + name + " -->");
  ASSERT_TRUE(mark != std::string::npos && end != std::string::npos) << path << " lacks the marks of " << name;
  const std::size_t begin = mark + begin_mark.size();
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    ASSERT_TRUE(os::write_file_atomic(file, text->substr(0, begin) + expected + text->substr(end)).has_value());
    return;
  }
  EXPECT_EQ(text->substr(begin, end - begin), expected) << "run the test with UPDATE_GOLDEN=1 to write " << path;
}

}  // namespace busbar::control
