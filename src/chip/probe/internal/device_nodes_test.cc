#include "chip/probe/internal/device_nodes.h"

#include <gtest/gtest.h>

namespace busbar::chip::probe {
namespace {

using Match = std::pair<std::string, std::string>;

TEST(NodePatterns, AreFilledInFromValues) {
  EXPECT_EQ(fill_pattern("/dev/nvidia{minor}", {{"minor", "3"}}), "/dev/nvidia3");
  EXPECT_EQ(fill_pattern("/dev/cap_dev{n}_mi{mi}", {{"n", "3"}, {"mi", "1"}}), "/dev/cap_dev3_mi1");
  EXPECT_EQ(fill_pattern("/dev/nvidia{minor}", {}), std::nullopt);
  EXPECT_EQ(fill_pattern("/dev/a{n}|/dev/b{m}", {{"m", "1"}}), "/dev/b1");
  EXPECT_EQ(fill_pattern("/dev/host{n}->/dev/inside", {{"n", "2"}}), "/dev/host2");
  EXPECT_EQ(fill_pattern("/dev/kfd", {}), "/dev/kfd");
  EXPECT_EQ(fill_pattern("/dev/odd{", {}), std::nullopt);
}

TEST(NodePatterns, MatchOneNumberOnly) {
  EXPECT_EQ(match_pattern("/dev/davinci{phyid}", "/dev/davinci12", {}), (Match{"phyid", "12"}));
  EXPECT_EQ(match_pattern("/dev/rngd/npu{n}pe{m}", "/dev/rngd/npu1pe7", {{"n", "1"}}), (Match{"m", "7"}));
  for (const std::string_view path :
       {"/dev/davinci", "/dev/davinci_manager", "/dev/davinci1x", "/dev/vdavinci1", "/dev/davinci12345678901"}) {
    SCOPED_TRACE(path);
    EXPECT_EQ(match_pattern("/dev/davinci{phyid}", path, {}), std::nullopt);
  }
  EXPECT_EQ(match_pattern("/dev/npu{n}pe{m}", "/dev/npu1pe2", {}), std::nullopt) << "two are unknown";
  EXPECT_EQ(match_pattern("/dev/kfd", "/dev/kfd", {}), std::nullopt) << "nothing is unknown";
}

}  // namespace
}  // namespace busbar::chip::probe
