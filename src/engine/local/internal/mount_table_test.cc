#include "engine/local/internal/mount_table.h"

#include <gtest/gtest.h>

namespace busbar::engine {
namespace {

constexpr const char* kTable =
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "22 27 0:21 / /proc rw - proc proc rw\n"
    "30 27 254:1 / /usr rw,relatime shared:5 master:2 - ext4 /dev/vdb rw,errors=remount-ro\n"
    "31 27 0:50 / /home rw - nfs4 server:/home rw,vers=4.2\n"
    "32 31 0:51 / /home/with\\040space rw - xfs /dev/vdc rw\n"
    "33 27 0:52 / /tmp rw - tmpfs tmpfs rw\n"
    "34 27 0:53 / /var/lib/busbar rw - ext4 /dev/vdd rw\n"
    "35 27 0:54 / /run/user/0 rw - ext4 /dev/vde rw\n"
    "36 27 0:55 / /srv/merged rw - overlay overlay rw,lowerdir=/\n"
    "torn line\n";

TEST(MountTable, ReadsPathsTypesAndSources) {
  const auto mounts = parse_mountinfo(kTable);
  ASSERT_EQ(mounts.size(), 9U);
  EXPECT_EQ(mounts[2].path, "/usr");
  EXPECT_EQ(mounts[2].fs_type, "ext4");
  EXPECT_EQ(mounts[2].source, "/dev/vdb");
  EXPECT_EQ(mounts[2].super_options, "rw,errors=remount-ro");
  EXPECT_EQ(mounts[4].path, "/home/with space");
}

TEST(MountTable, TheHostsDataIsWhatHoldsFilesAndIsNotHidden) {
  const std::vector<std::string> hidden{"/var/lib/busbar"};
  EXPECT_EQ(host_data_mounts(parse_mountinfo(kTable), hidden),
            (std::vector<std::string>{"/usr", "/home", "/home/with space"}));
}

TEST(MountTable, BelowMeansWholeNames) {
  EXPECT_TRUE(is_at_or_below("/a/b", "/a"));
  EXPECT_TRUE(is_at_or_below("/a", "/a"));
  EXPECT_TRUE(is_at_or_below("/a", "/"));
  EXPECT_FALSE(is_at_or_below("/ab", "/a"));
  EXPECT_FALSE(is_at_or_below("/", "/a"));
}

}  // namespace
}  // namespace busbar::engine
