#include "os/dynamic_library.h"

#include <gtest/gtest.h>

#include <array>

namespace busbar::os {
namespace {

TEST(DynamicLibrary, FindsFunctionsOfALibrary) {
  const auto library = DynamicLibrary::open("libm.so.6");
  ASSERT_TRUE(library.has_value()) << library.error().to_string();
  double (*root)(double) = nullptr;
  ASSERT_TRUE(library->require("sqrt", root).has_value());
  EXPECT_EQ(root(9), 3);
}

TEST(DynamicLibrary, AMissingFunctionIsUnsupportedAndNamed) {
  const auto library = DynamicLibrary::open("libm.so.6").value();
  void (*nothing)() = nullptr;
  const auto found = library.require("no_such_function", nothing);
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(found.error().message, "libm.so.6 has no function no_such_function");
  EXPECT_EQ(nothing, nullptr);
}

TEST(DynamicLibrary, TheFirstThatIsThereIsOpened) {
  EXPECT_EQ(DynamicLibrary::open_any(std::array{"libabsent.so", "libm.so.6"})->name(), "libm.so.6");
  const auto none = DynamicLibrary::open_any(std::array{"libabsent.so", "libmissing.so"});
  ASSERT_FALSE(none.has_value());
  EXPECT_NE(none.error().message.find("libabsent.so"), std::string::npos);
}

}  // namespace
}  // namespace busbar::os
