#include "engine/local/internal/cgroup.h"

#include <gtest/gtest.h>

#include "os/files.h"
#include "os/test_dir.h"

namespace busbar::engine {
namespace {

std::vector<MountPoint> v1_mounts(const std::string& top) {
  return {{.path = top + "/cpu", .fs_type = "cgroup", .super_options = "rw,cpu"},
          {.path = top + "/cpuacct", .fs_type = "cgroup", .super_options = "rw,cpuacct"},
          {.path = top + "/memory", .fs_type = "cgroup", .super_options = "rw,memory"},
          {.path = top + "/pids", .fs_type = "cgroup", .super_options = "rw,pids"},
          {.path = top + "/freezer", .fs_type = "cgroup", .super_options = "rw,freezer"},
          {.path = top + "/systemd", .fs_type = "cgroup", .super_options = "rw,xattr,name=systemd"}};
}

MountPoint v2_mount(const std::string& path) {
  return {.path = path, .fs_type = "cgroup2", .super_options = "rw"};
}

TEST(CgroupFacts, SeparateControllersAreVersionOne) {
  const CgroupFacts facts = cgroup_facts(v1_mounts("/cg"), "");
  EXPECT_FALSE(facts.is_v2());
  EXPECT_TRUE(facts.has("memory"));
  EXPECT_FALSE(facts.has("cpuset"));
  EXPECT_EQ(facts.describe("memory"), "cgroup v1 memory controller");
  EXPECT_NE(facts.describe("cpuset").find("no cgroup cpuset controller"), std::string::npos);
}

TEST(CgroupFacts, AHybridMachineUsesVersionOne) {
  auto mounts = v1_mounts("/cg");
  mounts.push_back(v2_mount("/cg/unified"));
  const CgroupFacts facts = cgroup_facts(mounts, "");
  EXPECT_FALSE(facts.is_v2());
  EXPECT_TRUE(facts.has("memory"));
  EXPECT_EQ(facts.unified, "/cg/unified");
}

TEST(CgroupFacts, AUnifiedTreeIsVersionTwoAlsoWithSystemdsOwnBeside) {
  const CgroupFacts facts =
      cgroup_facts({v2_mount("/cg"), {.path = "/s", .fs_type = "cgroup", .super_options = "rw,name=systemd"}},
                   "cpuset cpu io memory pids\n");
  EXPECT_TRUE(facts.is_v2());
  EXPECT_TRUE(facts.has("memory"));
  EXPECT_FALSE(facts.has("hugetlb"));
  EXPECT_EQ(facts.describe("cpu"), "cgroup v2 cpu controller");
}

TEST(CgroupFacts, NoTreeAtAllSaysWhatToDo) {
  EXPECT_NE(cgroup_facts({}, "").describe("memory").find("mount one"), std::string::npos);
}

class CgroupFiles : public ::testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(os::make_dirs(os::parent_path(dir_.file(path))));
    ASSERT_TRUE(os::write_file_atomic(dir_.file(path), text, 0644, os::Durability::kCached));
  }
  os::TestDir dir_;
};

TEST_F(CgroupFiles, VersionOneIsReadFromItsControllers) {
  const CgroupFacts facts = cgroup_facts(v1_mounts(dir_.path()), "");
  put("memory/b/1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
  put("memory/b/1/memory.usage_in_bytes", "4096\n");
  put("memory/b/1/memory.max_usage_in_bytes", "8192\n");
  put("cpuacct/b/1/cpuacct.usage", "2500000000\n");
  put("pids/b/1/cgroup.procs", "10\n11\n");
  const Cgroup group(facts, "/b/1");
  EXPECT_EQ(group.oom_kills(), 3U);
  EXPECT_EQ(group.stats().cpu_usage_ms, 2500);
  EXPECT_EQ(group.stats().memory.value, 4096);
  EXPECT_EQ(group.stats().memory_peak.value, 8192);
  EXPECT_EQ(group.processes(), (std::vector<std::int64_t>{10, 11}));
}

TEST_F(CgroupFiles, VersionTwoIsReadFromOneDirectory) {
  const CgroupFacts facts = cgroup_facts({v2_mount(dir_.path())}, "cpu memory pids");
  put("b/1/memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n");
  put("b/1/memory.current", "100\n");
  put("b/1/memory.peak", "200\n");
  put("b/1/cpu.stat", "usage_usec 7000\nuser_usec 1\n");
  put("b/1/cgroup.procs", "5\n");
  put("b/1/cgroup.freeze", "0\n");
  put("b/1/cgroup.events", "populated 1\nfrozen 1\n");
  Cgroup group(facts, "/b/1");
  EXPECT_EQ(group.oom_kills(), 1U);
  EXPECT_EQ(group.stats().cpu_usage_ms, 7);
  EXPECT_EQ(group.stats().memory.value, 100);
  EXPECT_EQ(group.stats().memory_peak.value, 200);
  EXPECT_TRUE(group.freeze().has_value());
  EXPECT_TRUE(os::read_file(dir_.file("b/1/cgroup.freeze"), 10).value().starts_with("1"));
}

TEST_F(CgroupFiles, AGroupThatIsGoneHasNothing) {
  const CgroupFacts facts = cgroup_facts(v1_mounts(dir_.path()), "");
  const Cgroup group(facts, "/none");
  EXPECT_EQ(group.oom_kills(), 0U);
  EXPECT_TRUE(group.processes().empty());
  group.remove();
}

}  // namespace
}  // namespace busbar::engine
