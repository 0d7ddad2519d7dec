#include "chip/probe/internal/links.h"

#include <gtest/gtest.h>

namespace busbar::chip::probe {
namespace {

using Groups = std::vector<std::uint16_t>;

LinkEnds card(std::string address, std::vector<std::string> upstream, std::int16_t numa = 0) {
  return {.address = std::move(address), .upstream = std::move(upstream), .numa_node = numa};
}

TEST(LinkGroups, CardsBelowOneSwitchAreNear) {
  EXPECT_EQ(link_groups({card("a", {"pci0", "p1", "s1"}), card("b", {"pci0", "p2", "s2"}),
                         card("c", {"pci0", "p1", "s3"}), card("d", {"pci0", "p2", "s4"})},
                        {}),
            (Groups{0, 1, 0, 1}));
}

TEST(LinkGroups, TheNearestSharedSwitchCounts) {
  EXPECT_EQ(link_groups({card("a", {"pci0", "p", "up", "down1"}), card("b", {"pci0", "p", "up", "down2"}),
                         card("c", {"pci0", "p", "other"})},
                        {}),
            (Groups{0, 0, 1}));
}

TEST(LinkGroups, WithoutASwitchTheNumaNodeCountsAndWithoutThatTheHostBridge) {
  EXPECT_EQ(link_groups({card("a", {"pci0", "p1"}, 0), card("b", {"pci0", "p2"}, 1), card("c", {"pci0", "p3"}, 0)}, {}),
            (Groups{0, 1, 0}));
  EXPECT_EQ(
      link_groups({card("a", {"pci0", "p1"}, -1), card("b", {"pci8", "p2"}, -1), card("c", {"pci8", "p3"}, -1)}, {}),
      (Groups{0, 1, 1}));
}

TEST(LinkGroups, VendorLinksWinAlsoThroughASwitchOfTheirOwn) {
  auto cards =
      std::vector{card("a", {"pci0", "p1", "s"}), card("b", {"pci0", "p1", "t"}), card("c", {"pci8", "p2"}, 1)};
  cards[0].peers = {"nvswitch"};
  cards[2].peers = {"nvswitch"};
  EXPECT_EQ(link_groups(cards, {}), (Groups{0, 1, 0}));
}

TEST(LinkGroups, TheOperatorsWordJoinsToo) {
  const auto cards =
      std::vector{card("a", {"pci0", "p1"}, 0), card("b", {"pci8", "p2"}, 1), card("c", {"pci9", "p3"}, 2)};
  EXPECT_EQ(link_groups(cards, {{"a", "c"}}), (Groups{0, 1, 0}));
  EXPECT_EQ(link_groups(cards, {{"a", "absent"}}), (Groups{0, 1, 2}));
}

TEST(LinkGroups, NothingIsKnownOfACardWithoutAPath) {
  EXPECT_EQ(link_groups({card("a", {}, -1), card("b", {}, -1)}, {}), (Groups{0, 0}));
  EXPECT_TRUE(link_groups({}, {}).empty());
}

}  // namespace
}  // namespace busbar::chip::probe
