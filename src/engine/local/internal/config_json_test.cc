#include "engine/local/internal/config_json.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace busbar::engine {
namespace {

class ConfigJson : public ::testing::Test {
 protected:
  ConfigInput input() {
    return {.launch = launch_,
            .task = launch_.tasks[0],
            .rootfs = rootfs_,
            .task_dir = "/state/task",
            .helper_dir = "/helper",
            .cgroup_path = "/busbar/1.1/0",
            .limits = {.memory = true, .swap = true, .cpu = true, .cpu_set = true, .processes = true}};
  }
  TaskLaunch& task() { return launch_.tasks[0]; }
  Json config() { return make_config(input()).value(); }

  static std::vector<std::string> texts(const Json& list) {
    std::vector<std::string> values;
    for (const Json& each : list.items()) {
      values.push_back(each.as_string());
    }
    return values;
  }
  static bool holds(const Json& list, const std::string& value) {
    const auto values = texts(list);
    return std::find(values.begin(), values.end(), value) != values.end();
  }
  static int mount_index(const Json& config, const std::string& target) {
    const auto& mounts = config["mounts"].items();
    for (std::size_t i = 0; i < mounts.size(); ++i) {
      if (mounts[i]["destination"].as_string() == target) {
        return static_cast<int>(i);
      }
    }
    return -1;
  }

  AttemptLaunch launch_{.id = {.job = {1}, .number = 1},
                        .job_name = "name",
                        .tasks = {{.hostname = "host-0", .argv = {"/bin/echo", "hi"}, .workdir = "/w"}}};
  Rootfs rootfs_;
};

TEST_F(ConfigJson, RunsTheCommandUnderOurInitWithoutPrivileges) {
  const Json c = config();
  EXPECT_EQ(c["ociVersion"].as_string(), "1.0.2");
  EXPECT_EQ(texts(c["process"]["args"]),
            (std::vector<std::string>{kHelperInContainer, "init", "--", "/bin/echo", "hi"}));
  EXPECT_EQ(c["process"]["cwd"].as_string(), "/w");
  EXPECT_TRUE(c["process"]["noNewPrivileges"].as_bool());
  EXPECT_FALSE(holds(c["process"]["capabilities"]["bounding"], "CAP_SYS_ADMIN"));
  EXPECT_TRUE(holds(c["process"]["capabilities"]["bounding"], "CAP_CHOWN"));
  EXPECT_EQ(c["process"].find("oomScoreAdj"), nullptr);
  EXPECT_EQ(c["hostname"].as_string(), "host-0");
  EXPECT_EQ(c["linux"]["seccomp"]["defaultAction"].as_string(), "SCMP_ACT_ERRNO");
}

TEST_F(ConfigJson, HasNamespacesOfItsOwnButTheHostsNetwork) {
  const Json c = config();
  std::vector<std::string> types;
  for (const Json& each : c["linux"]["namespaces"].items()) {
    types.push_back(each["type"].as_string());
  }
  EXPECT_EQ(types, (std::vector<std::string>{"pid", "mount", "ipc", "uts"}));
}

TEST_F(ConfigJson, LimitsBecomeCgroupValues) {
  task().memory = {1 << 30};
  task().cpus = {1500};
  task().device_edits.cpu_set = {0, 1, 2, 5};
  const Json c = config();
  const Json& resources = c["linux"]["resources"];
  EXPECT_EQ(resources["memory"]["limit"].as_int(), 1 << 30);
  EXPECT_EQ(resources["memory"]["swap"].as_int(), 1 << 30);
  EXPECT_EQ(resources["cpu"]["quota"].as_int(), 150'000);
  EXPECT_EQ(resources["cpu"]["period"].as_int(), 100'000);
  EXPECT_EQ(resources["cpu"]["cpus"].as_string(), "0-2,5");
  EXPECT_GT(resources["pids"]["limit"].as_int(), 1000);
}

TEST_F(ConfigJson, LimitsThatTheMachineLacksAreLeftOut) {
  task().memory = {1 << 30};
  task().cpus = {1500};
  task().device_edits.cpu_set = {0};
  ConfigInput without = input();
  without.limits = {};
  const Json c = make_config(without).value();
  for (const char* name : {"memory", "cpu", "pids"}) {
    EXPECT_EQ(c["linux"]["resources"].find(name), nullptr) << name;
  }
}

TEST_F(ConfigJson, AQuotaIsNeverBelowTheKernelsMinimum) {
  task().cpus = {1};
  EXPECT_EQ(config()["linux"]["resources"]["cpu"]["quota"].as_int(), 1000);
}

TEST_F(ConfigJson, LaterEnvironmentsWin) {
  rootfs_.env = {"PATH=/image", "A=image", "B=image", "broken"};
  task().device_edits.env = {{"A", "device"}, {"B", "device"}};
  task().env = {{"B", "job"}};
  ConfigInput with_python = input();
  with_python.has_python = true;
  const Json c = make_config(with_python).value();
  const Json& env = c["process"]["env"];
  for (const char* expected : {"PATH=/image", "A=device", "B=job", "PYTHONPATH=/run/busbar/lib/python", "HOME=/root"}) {
    EXPECT_TRUE(holds(env, expected)) << expected;
  }
}

TEST_F(ConfigJson, SecretValuesAreNowhere) {
  task().secrets = {{.name = "token", .env = "TOKEN", .value = "hunter2"}, {.name = "file", .value = "hunter2"}};
  ConfigInput with_secrets = input();
  with_secrets.secrets_dir = "/memory";
  const Json c = make_config(with_secrets).value();
  EXPECT_EQ(c.dump().find("hunter2"), std::string::npos);
  EXPECT_EQ(texts(c["process"]["args"]),
            (std::vector<std::string>{kHelperInContainer, "init", "--secret", "TOKEN=token", "--", "/bin/echo", "hi"}));
  EXPECT_GE(mount_index(c, "/run/secrets"), 0);
  const Json exec = make_exec_process(c, task().secrets, {.argv = {"sh"}});
  EXPECT_EQ(texts(exec["args"]),
            (std::vector<std::string>{kHelperInContainer, "run", "--secret", "TOKEN=token", "--", "sh"}));
}

TEST_F(ConfigJson, MasksComeBeforeWhatTheUserMounts) {
  task().mounts = {{.source = "/data", .target = "/root/data"},
                   {.source = "/ro", .target = "/ro", .is_read_only = true}};
  ConfigInput masked = input();
  masked.host_mounts = {"/home"};
  masked.masked_dirs = {"/home/u/.ssh"};
  masked.masked_files = {"/home/u/key"};
  const Json c = make_config(masked).value();
  EXPECT_LT(mount_index(c, "/home"), mount_index(c, "/home/u/.ssh"));
  EXPECT_LT(mount_index(c, "/home/u/.ssh"), mount_index(c, "/root/data"));
  const Json& read_only = c["mounts"].items().at(static_cast<std::size_t>(mount_index(c, "/ro")));
  EXPECT_TRUE(holds(read_only["options"], "ro"));
  EXPECT_EQ(c["mounts"].items().at(static_cast<std::size_t>(mount_index(c, "/home/u/key")))["source"].as_string(),
            "/dev/null");
}

TEST_F(ConfigJson, SharedMemoryHasTheSizeAskedForOrDockers) {
  const auto shm = [](const Json& c) {
    return texts(c["mounts"].items().at(static_cast<std::size_t>(mount_index(c, "/dev/shm")))["options"]).back();
  };
  EXPECT_EQ(shm(config()), "size=67108864");
  task().shm_size = {1 << 20};
  EXPECT_EQ(shm(config()), "size=1048576");
}

TEST_F(ConfigJson, DevicesAreAllowedOneByOne) {
  ConfigInput with_device = input();
  with_device.devices = {{.path = "/dev/card0", .major = 195, .minor = 3, .permissions = "rw"}};
  const Json c = make_config(with_device).value();
  EXPECT_FALSE(c["linux"]["resources"]["devices"].items().at(0)["allow"].as_bool(true));
  EXPECT_EQ(c["linux"]["resources"]["devices"].items().at(1)["major"].as_int(), 195);
  EXPECT_EQ(c["linux"]["devices"].items().at(0)["path"].as_string(), "/dev/card0");
}

TEST_F(ConfigJson, AnEngineWithoutRootUsesAUserNamespace) {
  ConfigInput rootless = input();
  rootless.user_namespace = UserNamespace{.host_uid = 1000, .host_gid = 100};
  const Json c = make_config(rootless).value();
  EXPECT_EQ(c["linux"]["namespaces"].items().back()["type"].as_string(), "user");
  EXPECT_EQ(c["linux"]["uidMappings"].items().at(0)["hostID"].as_int(), 1000);
  EXPECT_EQ(c["linux"]["gidMappings"].items().at(0)["hostID"].as_int(), 100);
  EXPECT_EQ(c["linux"]["resources"].find("devices"), nullptr);
  const Json& sys = c["mounts"].items().at(static_cast<std::size_t>(mount_index(c, "/sys")));
  EXPECT_TRUE(holds(sys["options"], "rbind"));
}

TEST_F(ConfigJson, AGangSharesItsSocketsDirectory) {
  ConfigInput gang = input();
  gang.gang_dir = "/state/gang";
  const Json c = make_config(gang).value();
  EXPECT_GE(mount_index(c, "/run/busbar/gang"), 0);
  EXPECT_TRUE(holds(c["process"]["args"], "--gang"));
  EXPECT_EQ(mount_index(config(), "/run/busbar/gang"), -1);
}

TEST_F(ConfigJson, UsersAreNumbers) {
  rootfs_.user = "1000:100";
  EXPECT_EQ(config()["process"]["user"]["uid"].as_int(), 1000);
  EXPECT_EQ(config()["process"]["user"]["gid"].as_int(), 100);
  for (const char* user : {"alice", "1:2:3", "-1", "99999999999"}) {
    rootfs_.user = user;
    EXPECT_EQ(make_config(input()).error().code, ErrorCode::kInvalidArgument) << user;
  }
}

TEST_F(ConfigJson, LaunchesThatCannotBeRunAreRefused) {
  const auto refused = [this](auto change) {
    AttemptLaunch launch = launch_;
    change(launch);
    const auto checked = check_launch(launch);
    return !checked && checked.error().code == ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(check_launch(launch_).has_value());
  EXPECT_TRUE(refused([](AttemptLaunch& l) { l.tasks.clear(); }));
  EXPECT_TRUE(refused([](AttemptLaunch& l) { l.tasks[0].argv.clear(); }));
  EXPECT_TRUE(refused([](AttemptLaunch& l) { l.tasks[0].rank = 5; }));
  EXPECT_TRUE(refused([](AttemptLaunch& l) { l.tasks[0].hostname = "a/b"; }));
  EXPECT_TRUE(refused([](AttemptLaunch& l) { l.tasks[0].workdir = "relative"; }));
  EXPECT_TRUE(refused([](AttemptLaunch& l) { l.tasks[0].files = {{"../up", ""}}; }));
  EXPECT_TRUE(refused([](AttemptLaunch& l) { l.tasks[0].secrets = {{.name = "a/b"}}; }));
  EXPECT_TRUE(refused([](AttemptLaunch& l) { l.tasks[0].mounts = {{.source = "/a", .target = "/b/../c"}}; }));
}

TEST_F(ConfigJson, ExecKeepsTheTasksEnvironmentAndUser) {
  task().env = {{"KEEP", "1"}, {"CHANGE", "old"}};
  const Json exec = make_exec_process(
      config(), {}, {.argv = {"ls"}, .env = {{"CHANGE", "new"}}, .workdir = "/x", .has_terminal = true});
  EXPECT_TRUE(holds(exec["env"], "KEEP=1"));
  EXPECT_TRUE(holds(exec["env"], "CHANGE=new"));
  EXPECT_FALSE(holds(exec["env"], "CHANGE=old"));
  EXPECT_EQ(exec["cwd"].as_string(), "/x");
  EXPECT_TRUE(exec["terminal"].as_bool());
  EXPECT_EQ(exec["consoleSize"]["height"].as_int(), 24);
  EXPECT_TRUE(exec["noNewPrivileges"].as_bool());
}

}  // namespace
}  // namespace busbar::engine
