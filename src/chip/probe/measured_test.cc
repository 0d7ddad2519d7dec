#include "chip/probe/measured.h"

#include <gtest/gtest.h>

#include "os/files.h"
#include "os/test_dir.h"

namespace busbar::chip::probe {
namespace {

TEST(Measured, SurvivesTheFile) {
  const os::TestDir dir;
  const Measured measured = {
      {"cpu:0", {.chip = "cpu", .by_precision = {{"fp32", {.gflops = 90, .library = "OpenBLAS", .time_ms = 17}}}}},
      {"pci:0000:3b:00.0", {.chip = "nvidia-t4", .uuid = "GPU-1", .by_precision = {{"fp16", {.gflops = 50'000}}}}}};
  ASSERT_TRUE(write_measured(dir.file("m.json"), measured).has_value());
  EXPECT_EQ(read_measured(dir.file("m.json")).value(), measured);
}

TEST(Measured, WithoutAFileNothingIsMeasured) {
  const os::TestDir dir;
  EXPECT_TRUE(read_measured(dir.file("absent")).value().empty());
  EXPECT_TRUE(read_measured("").value().empty());
}

TEST(Measured, ADamagedFileSaysWhatToDo) {
  const os::TestDir dir;
  for (const std::string text : {"{", "[]", R"({"cards": {"cpu:0": {"gemm": {"fp32": {"gflops": -1}}}}})"}) {
    SCOPED_TRACE(text);
    ASSERT_TRUE(os::write_file_atomic(dir.file("m.json"), text).has_value());
    const auto read = read_measured(dir.file("m.json"));
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().code, ErrorCode::kDataCorrupt);
    EXPECT_NE(read.error().message.find("measure again"), std::string::npos);
  }
}

}  // namespace
}  // namespace busbar::chip::probe
