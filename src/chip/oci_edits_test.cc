#include "chip/oci_edits.h"

#include <gtest/gtest.h>

namespace busbar::chip {
namespace {

model::Card cpu_card(std::uint16_t index, const std::string& device) {
  return {.index = index, .chip = "cpu", .device = device};
}

TEST(OciEdits, CpuCardsBecomeASortedCpuSetWithoutDuplicates) {
  const auto edits = edits_for({cpu_card(0, "cpu:5"), cpu_card(1, "cpu:2"), cpu_card(2, "cpu:5")});
  ASSERT_TRUE(edits.has_value());
  EXPECT_EQ(edits->cpu_set, (std::vector<std::uint32_t>{2, 5}));
  EXPECT_TRUE(edits->devices.empty());
}

TEST(OciEdits, NoCardsChangeNothing) {
  EXPECT_EQ(edits_for({}).value(), OciEdits{});
}

TEST(OciEdits, AChipWithoutARuleIsUnsupported) {
  const auto edits = edits_for({{.index = 0, .chip = "abacus", .device = "pci:0000:3b:00.0"}});
  ASSERT_FALSE(edits.has_value());
  EXPECT_EQ(edits.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(edits.error().message.find("abacus"), std::string::npos);
}

TEST(OciEdits, AMalformedCpuDeviceIsRefused) {
  for (const std::string device : {"cpu:", "cpu:-1", "cpu:x", "3", "cpu:99999999"}) {
    SCOPED_TRACE(device);
    const auto edits = edits_for({cpu_card(0, device)});
    ASSERT_FALSE(edits.has_value());
    EXPECT_EQ(edits.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(OciEdits, SurviveJson) {
  const OciEdits edits{.devices = {{.path = "/dev/a", .host_path = "/dev/b", .permissions = "rwm"}},
                       .mounts = {{.host_path = "/usr/lib/x", .container_path = "/lib/x", .options = {"ro", "bind"}}},
                       .env = {{"VISIBLE", "0,1"}, {"EQUALS", "a=b"}},
                       .cpu_set = {1, 3}};
  EXPECT_EQ(oci_edits_from_json(to_json(edits)).value(), edits);
}

TEST(OciEdits, MalformedJsonIsAnError) {
  EXPECT_FALSE(oci_edits_from_json(Json("text")).has_value());
  EXPECT_FALSE(oci_edits_from_json(parse_json(R"({"env":["NOVALUE"]})").value()).has_value());
  EXPECT_FALSE(oci_edits_from_json(parse_json(R"({"cpuSet":[-3]})").value()).has_value());
}

}  // namespace
}  // namespace busbar::chip
