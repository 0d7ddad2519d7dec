#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "engine/fake_probe.h"
#include "engine/local/internal/node_observer.h"
#include "engine/local/internal/port_leases.h"
#include "engine/local/internal/root_assembly.h"
#include "engine/local/internal/rootfs_mount.h"
#include "engine/local/internal/runtime.h"
#include "os/files.h"
#include "os/test_dir.h"

namespace busbar::engine {
namespace {

TEST(NodeObserver, MakesANodeOfWhatTheProbeFound) {
  FakeProbe probe(2);
  Inventory inventory = probe.inventory();
  inventory.cards[1].card.health = model::CardHealth::kUnhealthy;
  inventory.cards[1].health_detail = "its node is missing";
  const NodeObserved observed = make_node({.name = "n", .memory_bytes = 1 << 30}, inventory);
  EXPECT_EQ(observed.node.name, "n");
  EXPECT_EQ(observed.node.cpus.value, 2000);
  EXPECT_EQ(observed.node.memory.value, 1 << 30);
  ASSERT_EQ(observed.node.cards.size(), 2U);
  EXPECT_EQ(observed.node.cards[1].device, "cpu:1");
  EXPECT_EQ(observed.health_details, (std::map<std::uint16_t, std::string>{{1, "its node is missing"}}));
}

TEST(NodeObserver, ThisMachineHasANameAndMemory) {
  const MachineFacts facts = read_machine_facts("").value();
  EXPECT_FALSE(facts.name.empty());
  EXPECT_GT(facts.memory_bytes, 1 << 20);
}

constexpr model::AttemptId kFirst{.job = {1}, .number = 1};
constexpr model::AttemptId kSecond{.job = {2}, .number = 1};

TEST(PortLeases, SurviveARestart) {
  const os::TestDir dir;
  PortLeases before(dir.path());
  const auto ports = before.lease(kFirst, 3).value();
  PortLeases after(dir.path());
  const auto more = after.lease(kSecond, 50);
  if (more) {
    for (const std::uint16_t port : ports) {
      EXPECT_EQ(std::count(more->begin(), more->end(), port), 0);
    }
  }
  EXPECT_EQ(after.lease(kSecond, 10'001).error().code, ErrorCode::kResourceExhausted);
  after.keep_only({});
  EXPECT_TRUE(os::list_dir(dir.path()).value().empty());
}

TEST(PortLeases, AreGivenBack) {
  const os::TestDir dir;
  PortLeases leases(dir.path());
  ASSERT_TRUE(leases.lease(kFirst, 2).has_value());
  ASSERT_TRUE(leases.lease(kFirst, 1).has_value());
  EXPECT_TRUE(os::file_exists(dir.file("1.1")));
  leases.release(kFirst);
  EXPECT_FALSE(os::file_exists(dir.file("1.1")));
  leases.release(kFirst);
}

TEST(PortLeases, APortInUseIsNotFree) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  EXPECT_FALSE(is_port_free(ntohs(address.sin_port)));
  ::close(fd);
  EXPECT_TRUE(is_port_free(ntohs(address.sin_port)));
}

TEST(MaskPlan, SortsByFileSystemAndLeavesOutWhatIsNotThere) {
  const os::TestDir dir;
  ASSERT_TRUE(os::make_dirs(dir.file("own/below")));
  ASSERT_TRUE(os::make_dirs(dir.file("other/dir")));
  ASSERT_TRUE(os::write_file_atomic(dir.file("other/file"), ""));
  const std::vector<std::string> mounts{dir.file("other")};
  const MaskPlan plan = plan_masks({dir.file("own"), dir.file("own/below"), dir.file("own/"), dir.file("other/dir"),
                                    dir.file("other/file"), dir.file("missing"), "/"},
                                   mounts);
  EXPECT_EQ(plan.in_layer, std::vector<std::string>{dir.file("own")});
  EXPECT_EQ(plan.covered_dirs, std::vector<std::string>{dir.file("other/dir")});
  EXPECT_EQ(plan.covered_files, std::vector<std::string>{dir.file("other/file")});
}

TEST(RootAssembly, AHostsRootIsMadeOfItsTopDirectories) {
  const os::TestDir dir;
  for (const char* name : {"usr/bin", "etc", "proc", "mnt", "home/u", "srv"}) {
    ASSERT_TRUE(os::make_dirs(dir.file(name)));
  }
  ASSERT_EQ(::symlink("usr/bin", dir.file("bin").c_str()), 0);
  const RootAssembly assembly = assemble_root({dir.path()}, true, {{.path = "/srv/disk"}, {.path = "/srv2"}}).value();
  ASSERT_EQ(assembly.overlay_dirs.size(), 3U);
  EXPECT_EQ(assembly.overlay_dirs[0].name, "etc");
  EXPECT_EQ(assembly.overlay_dirs[1].name, "home");
  EXPECT_EQ(assembly.overlay_dirs[2].lower_dirs, std::vector<std::string>{dir.file("usr")});
  EXPECT_EQ(assembly.bound_dirs, std::vector<std::string>{"/srv"});
  EXPECT_EQ(assembly.links, (std::vector<std::pair<std::string, std::string>>{{"bin", "usr/bin"}}));
  EXPECT_TRUE(is_shown(assembly, "/home/u/.ssh"));
  EXPECT_TRUE(is_shown(assembly, "/srv/x"));
  EXPECT_FALSE(is_shown(assembly, "/root/x"));
  EXPECT_FALSE(is_shown(assembly, "/homes"));
}

TEST(RootAssembly, LayersOfAnImageMeetInEachDirectory) {
  const os::TestDir dir;
  for (const char* name : {"top/etc", "top/mnt", "below/etc", "below/usr", "below/tmp"}) {
    ASSERT_TRUE(os::make_dirs(dir.file(name)));
  }
  const RootAssembly assembly = assemble_root({dir.file("top"), dir.file("below")}, false, {}).value();
  ASSERT_EQ(assembly.overlay_dirs.size(), 3U);
  EXPECT_EQ(assembly.overlay_dirs[0].lower_dirs,
            (std::vector<std::string>{dir.file("top/etc"), dir.file("below/etc")}));
  EXPECT_EQ(assembly.overlay_dirs[1].name, "mnt");
  EXPECT_EQ(assembly.overlay_dirs[2].name, "usr");
}

TEST(RuntimeProbe, AnUnusableRuntimeIsRefusedWithTheReasonAndTheCure) {
  const os::TestDir dir;
  ASSERT_TRUE(os::write_file_atomic(dir.file("helper"), "", 0755));
  for (const char* program : {"/bin/false", "/no/such/runtime"}) {
    SCOPED_TRACE(program);
    const auto probed = probe_runtime({.wanted = program,
                                       .helper = dir.file("helper"),
                                       .scratch_dir = dir.path(),
                                       .cache_file = dir.file("cache.json"),
                                       .config_template = Json::object()});
    ASSERT_FALSE(probed.has_value());
    EXPECT_EQ(probed.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(probed.error().to_string().find(program), std::string::npos);
    EXPECT_NE(probed.error().message.find("apt-get install"), std::string::npos);
    EXPECT_FALSE(os::file_exists(dir.file("cache.json")));
  }
}

TEST(RuntimeProbe, TheAnswerIsKeptForTheSameProgram) {
  const os::TestDir dir;
  ASSERT_TRUE(os::write_file_atomic(dir.file("helper"), "", 0755));
  const std::string runtime = dir.file("runtime");
  const std::string calls = dir.file("calls");
  ASSERT_TRUE(os::write_file_atomic(runtime, "#!/bin/sh\necho $3 >> " + calls + "\n", 0755));
  const ProbeRequest request{.wanted = runtime,
                             .helper = dir.file("helper"),
                             .scratch_dir = dir.path(),
                             .cache_file = dir.file("cache.json"),
                             .config_template = Json::object()};
  EXPECT_EQ(probe_runtime(request).value(), runtime);
  const std::string first = os::read_file(calls, 1000).value();
  EXPECT_EQ(probe_runtime(request).value(), runtime);
  EXPECT_EQ(os::read_file(calls, 1000).value(), first);
  EXPECT_TRUE(first.starts_with("run\n")) << first;
}

}  // namespace
}  // namespace busbar::engine
