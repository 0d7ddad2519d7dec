#include "chip/oci_edits.h"

#include <gtest/gtest.h>

namespace busbar::chip {
namespace {

TEST(OciEdits, MergingKeepsWhatIsTheSameOnce) {
  OciEdits edits{.devices = {{.path = "/dev/a"}}, .env = {{"A", "1"}}, .cpu_set = {5}};
  const OciEdits more{.devices = {{.path = "/dev/a"}, {.path = "/dev/b"}},
                      .mounts = {{.host_path = "/x", .container_path = "/x"}},
                      .env = {{"A", "2"}},
                      .cpu_set = {2, 5},
                      .remarks = {"why"}};
  ASSERT_TRUE(merge_edits(edits, more).has_value());
  ASSERT_TRUE(merge_edits(edits, more).has_value());
  EXPECT_EQ(edits.devices.size(), 2u);
  EXPECT_EQ(edits.mounts.size(), 1u);
  EXPECT_EQ(edits.env.at("A"), "2");
  EXPECT_EQ(edits.cpu_set, (std::vector<std::uint32_t>{2, 5}));
  EXPECT_EQ(edits.remarks.size(), 1u);
}

TEST(OciEdits, TwoThingsAtOnePlaceAreRefused) {
  OciEdits edits{.devices = {{.path = "/dev/a"}}, .mounts = {{.host_path = "/x", .container_path = "/m"}}};
  EXPECT_FALSE(merge_edits(edits, {.devices = {{.path = "/dev/a", .host_path = "/dev/b"}}}).has_value());
  EXPECT_FALSE(merge_edits(edits, {.mounts = {{.host_path = "/y", .container_path = "/m"}}}).has_value());
}

TEST(OciEdits, SurviveJson) {
  const OciEdits edits{
      .devices = {{.path = "/dev/a", .host_path = "/dev/b", .permissions = "rwm"}},
      .mounts = {{.host_path = "/usr/lib/x", .container_path = "/lib/x", .options = {"ro", "bind"}}},
      .hooks =
          {{.name = "createContainer", .path = "/usr/bin/hook", .args = {"hook", "x"}, .env = {"A=b"}, .timeout_s = 5}},
      .env = {{"VISIBLE", "0,1"}, {"EQUALS", "a=b"}},
      .cpu_set = {1, 3},
      .remarks = {"by the rule"}};
  EXPECT_EQ(oci_edits_from_json(to_json(edits)).value(), edits);
}

TEST(OciEdits, MalformedJsonIsAnError) {
  EXPECT_FALSE(oci_edits_from_json(Json("text")).has_value());
  EXPECT_FALSE(oci_edits_from_json(parse_json(R"({"env":["NOVALUE"]})").value()).has_value());
  EXPECT_FALSE(oci_edits_from_json(parse_json(R"({"cpuSet":[-3]})").value()).has_value());
}

}  // namespace
}  // namespace busbar::chip
