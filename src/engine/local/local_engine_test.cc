#include "engine/local/local_engine.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <thread>

#include "base/text.h"
#include "engine/local/local_engine_fixture.h"
#include "os/event_fd.h"
#include "os/files.h"
#include "os/process.h"

namespace busbar::engine {
namespace {

using model::ExitClass;

class LocalEngineTest : public EngineTestBase {};

TEST_F(LocalEngineTest, OverItsMemoryLimitATaskIsOutOfMemory) {
  AttemptLaunch launch = launch_of(1, {shell("tail /dev/zero")});
  launch.tasks[0].memory = {std::int64_t{32} << 20};
  const TaskEnded ended = run(launch);
  EXPECT_EQ(ended.exit_class, ExitClass::kOutOfMemory);
  EXPECT_NE(ended.exit_code, 0);
  EXPECT_NE(ended.detail.find("32MiB"), std::string::npos) << ended.detail;
}

TEST_F(LocalEngineTest, AProgramThatKillsItselfIsNotOutOfMemory) {
  AttemptLaunch launch = launch_of(1, {shell("kill -KILL $$")});
  launch.tasks[0].memory = {std::int64_t{64} << 20};
  const TaskEnded ended = run(launch);
  EXPECT_EQ(ended.exit_class, ExitClass::kUser);
  EXPECT_EQ(ended.exit_code, 137);
}

TEST_F(LocalEngineTest, ACommandThatDoesNotExistIsTheUsersFailure) {
  const TaskEnded ended = run(launch_of(1, {{"/no/such/program"}}));
  EXPECT_EQ(ended.exit_class, ExitClass::kUser);
  EXPECT_EQ(ended.exit_code, 127);
  EXPECT_NE(log({{{1}, 1}, 0}).find("/no/such/program"), std::string::npos);
}

TEST_F(LocalEngineTest, TheCpuSetIsAllThatATaskSees) {
  AttemptLaunch launch = launch_of(1, {shell("nproc")});
  launch.tasks[0].device_edits.cpu_set = {0};
  run(launch);
  EXPECT_EQ(log({launch.id, 0}), "1\n");
}

TEST_F(LocalEngineTest, TheSharedMemoryHasTheSizeAskedFor) {
  AttemptLaunch launch = launch_of(1, {shell("df -B1 --output=size /dev/shm | tail -1 | tr -d ' '")});
  launch.tasks[0].shm_size = {std::int64_t{8} << 20};
  run(launch);
  EXPECT_EQ(log({launch.id, 0}), "8388608\n");
}

TEST_F(LocalEngineTest, ATaskHasItsOwnProcessesNameWorkdirAndFiles) {
  AttemptLaunch launch = launch_of(1, {shell("hostname; pwd; cat /run/busbar/hello; ls /proc | grep -c '^[0-9]'; "
                                             "touch /usr/private && echo written")});
  launch.tasks[0].workdir = "/new/place";
  launch.tasks[0].files = {{"hello", "file\n"}};
  run(launch);
  const std::string text = log({launch.id, 0});
  EXPECT_TRUE(text.starts_with("task-0\n/new/place\nfile\n")) << text;
  EXPECT_TRUE(text.ends_with("written\n")) << text;
  EXPECT_FALSE(os::file_exists("/usr/private"));
}

TEST_F(LocalEngineTest, TheTokenAndOtherPrivateFilesCannotBeRead) {
  const std::string token = fixture_.dir().file("token");
  ASSERT_TRUE(os::write_file_atomic(token, "secret-token\n", 0600));
  fixture_.masked_paths = {token};
  reopen({});
  const AttemptLaunch launch =
      launch_of(1, {shell("exec 2>&1; cat " + token + "; ls -A " + fixture_.dir().file("state") +
                          "; cat /etc/shadow; ls -A /root; ls /run")});
  run(launch);
  const std::string text = log({launch.id, 0});
  EXPECT_EQ(text.find("secret-token"), std::string::npos) << text;
  EXPECT_EQ(text.find("attempts"), std::string::npos) << text;
  EXPECT_EQ(text.find("root:"), std::string::npos) << text;
  EXPECT_EQ(text.find(".bash"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("busbar\n")) << text;
}

TEST_F(LocalEngineTest, AVolumeBelowAMaskedPathIsSeen) {
  const std::string source = fixture_.dir().file("data");
  ASSERT_TRUE(os::make_dirs(source));
  ASSERT_TRUE(os::write_file_atomic(source + "/in", "input"));
  AttemptLaunch launch =
      launch_of(1, {shell("cat /root/project/in; echo out > /root/project/out; echo no > /read/out || echo refused")});
  launch.tasks[0].mounts = {{.source = source, .target = "/root/project"},
                            {.source = source, .target = "/read", .is_read_only = true}};
  run(launch);
  EXPECT_TRUE(log({launch.id, 0}).starts_with("input")) << log({launch.id, 0});
  EXPECT_NE(log({launch.id, 0}).find("refused"), std::string::npos);
  EXPECT_EQ(os::read_file(source + "/out", 100).value(), "out\n");
}

TEST_F(LocalEngineTest, AVolumeThatDoesNotExistIsRefusedAtOnce) {
  AttemptLaunch launch = launch_of(1, {shell("true")});
  launch.tasks[0].mounts = {{.source = "/no/such/dir", .target = "/x"}};
  const auto started = engine_->start(launch);
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(started.error().message.find("/no/such/dir"), std::string::npos);
}

TEST_F(LocalEngineTest, SecretsAreInMemoryAndNowhereElse) {
  const std::string value = "hunter2-" + std::to_string(::getpid());
  AttemptLaunch launch = launch_of(1, {shell("echo $TOKEN | tr a-z A-Z; wc -c < /run/secrets/token; "
                                             "echo '{}' >> /run/busbar/report.jsonl; sleep 1000")});
  launch.tasks[0].secrets = {{.name = "token", .env = "TOKEN", .value = value}};
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<ReportLines>());

  for (const char* dir : {"state", "run"}) {
    EXPECT_EQ(files_holding(fixture_.dir().file(dir), value), "");
  }
  const auto all_processes = os::list_dir("/proc").value();
  for (const os::DirEntry& process : all_processes) {
    if (parse_int(process.name)) {
      const std::string command = os::read_file("/proc/" + process.name + "/cmdline", 1 << 20).value_or("");
      EXPECT_EQ(command.find(value), std::string::npos) << command;
    }
  }
  std::string upper = value;
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
  EXPECT_TRUE(wait_for_log({launch.id, 0}, upper)) << log({launch.id, 0});
  stop_and_wait(launch.id);
  EXPECT_TRUE(log({launch.id, 0}).ends_with(std::to_string(value.size()) + "\n"));
}

TEST_F(LocalEngineTest, SeccompDeniesNewNamespacesAndPrivilegesAreGone) {
  const AttemptLaunch launch =
      launch_of(1, {shell("exec 2>&1; unshare -U true && echo made; mount -t tmpfs x /mnt && echo mounted; "
                          "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\t '; cat /proc/kcore 2>/dev/null "
                          "| head -c1 | wc -c")});
  run(launch);
  const std::string text = log({launch.id, 0});
  EXPECT_EQ(text.find("made"), std::string::npos) << text;
  EXPECT_EQ(text.find("mounted"), std::string::npos) << text;
  EXPECT_NE(text.find("NoNewPrivs:1\nSeccomp:2\n0\n"), std::string::npos) << text;
}

TEST_F(LocalEngineTest, StopLetsATaskSaveItsState) {
  const AttemptLaunch launch =
      launch_of(1, {shell("trap 'echo saved; exit 0' TERM; echo '{}' >> /run/busbar/report.jsonl; "
                          "while true; do sleep 0.05; done")});
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<ReportLines>());
  ASSERT_TRUE(engine_->stop(launch.id, 20'000, 0).has_value());
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_code, 0);
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_class, ExitClass::kCancelled);
  EXPECT_NE(log({launch.id, 0}).find("saved\n"), std::string::npos) << log({launch.id, 0});
}

TEST_F(LocalEngineTest, AShorterGraceTakesEffect) {
  const AttemptLaunch launch = launch_of(1, {shell("trap '' TERM; echo {} >> /run/busbar/report.jsonl; sleep 1000")});
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<ReportLines>());
  ASSERT_TRUE(engine_->stop(launch.id, 3'600'000, 0).has_value());
  ASSERT_TRUE(engine_->stop(launch.id, 50, 0).has_value());
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_code, 137);
}

TEST_F(LocalEngineTest, NothingOfAnAttemptIsLeftButItsLogs) {
  AttemptLaunch launch = launch_of(1, {shell("echo out; (sleep 1000 &); exit 0"), shell("exit 0")});
  launch.tasks[0].secrets = {{.name = "s", .value = "v"}};
  ASSERT_TRUE(engine_->lease_ports(launch.id, 2).has_value());
  run(launch);
  EXPECT_EQ(os::read_file("/proc/self/mounts", 16 << 20).value().find(fixture_.dir().file("state/attempts")),
            std::string::npos);
  EXPECT_TRUE(os::list_dir(fixture_.dir().file("run/runtime")).value().empty());
  EXPECT_TRUE(os::list_dir(fixture_.dir().file("run/tasks")).value().empty());
  EXPECT_TRUE(os::list_dir(fixture_.dir().file("run/exits")).value().empty());
  EXPECT_TRUE(os::list_dir(fixture_.dir().file("state/ports")).value().empty());
  EXPECT_FALSE(os::file_exists(fixture_.dir().file("state/attempts/1.1/0/upper")));
  EXPECT_EQ(log({launch.id, 0}), "out\n");
}

TEST_F(LocalEngineTest, LogsAreRotatedWithoutLosingALine) {
  fixture_.log_max_bytes = 20'000;
  reopen({});
  const AttemptLaunch launch =
      launch_of(1, {shell("i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i of a text that fills the log; done; "
                          "read x < /run/busbar/go; i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo more $i; done")});
  const std::string dir = fixture_.dir().file("state/attempts/1.1/0/busbar");
  ASSERT_TRUE(engine_->start(launch).has_value());
  ASSERT_TRUE(facts_->wait_for<GangCreated>());
  ASSERT_EQ(::mkfifo((dir + "/go").c_str(), 0600), 0);
  ASSERT_TRUE(engine_->release(launch.id).has_value());
  ASSERT_TRUE(wait_until([&] {
    const auto files = engine_->logs({launch.id, 0});
    return files && files->paths.size() == 2;
  }));
  {
    const auto go = os::open_file(dir + "/go", O_WRONLY);
  }
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  const std::string text = log({launch.id, 0});
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 500);
  EXPECT_TRUE(text.starts_with("line 1 of")) << text.substr(0, 100);
  EXPECT_TRUE(text.ends_with("more 100\n"));
}

TEST_F(LocalEngineTest, AnImageOfItsOwnRunsAsItsUser) {
  AttemptLaunch launch = launch_of(1, {{"/bin/sh", "-c", "id -u; pwd; ls /"}});
  launch.image = "test:busybox";
  launch.tasks[0].workdir.clear();
  run(launch);
  const std::string text = log({launch.id, 0});
  EXPECT_TRUE(text.starts_with("1000\n/work\nbin\n")) << text;
  EXPECT_EQ(text.find("home"), std::string::npos) << text;
}

TEST_F(LocalEngineTest, AnUnknownImageIsReported) {
  AttemptLaunch launch = launch_of(1, {shell("true")});
  launch.image = "docker:unknown";
  ASSERT_TRUE(engine_->start(launch).has_value());
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_class, ExitClass::kInfrastructure);
  EXPECT_NE(facts_->all<TaskEnded>().at(0).detail.find("docker:unknown"), std::string::npos);
}

TEST_F(LocalEngineTest, RshRunsCommandsInTheGangAndNowhereElse) {
  AttemptLaunch launch =
      launch_of(1, {shell("/run/busbar/rsh -l root task-1 echo on '$(hostname)' in '$(pwd)'; "
                          "echo piped | /run/busbar/rsh task-1 cat; /run/busbar/rsh task-1 exit 7; echo code $?; "
                          "/run/busbar/rsh stranger true 2>/dev/null; echo code $?"),
                    shell("sleep 1000")});
  launch.tasks[0].workdir = "/tmp";
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<TaskEnded>());
  const std::string text = log({launch.id, 0});
  EXPECT_TRUE(text.starts_with("on task-1 in /tmp\npiped\ncode 7\n")) << text;
  EXPECT_TRUE(text.ends_with("code 255\n")) << text;
  stop_and_wait(launch.id);
}

TEST_F(LocalEngineTest, RshEndsItsCommandWhenItsCallerIsKilled) {
  AttemptLaunch launch =
      launch_of(1, {shell("/run/busbar/rsh task-1 'echo {} >> /run/busbar/report.jsonl; sleep 1000' & sleep 0.2; wait"),
                    shell("sleep 1000")});
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<ReportLines>());
  EXPECT_EQ(facts_->all<ReportLines>().at(0).task.rank, 1U);
  const std::uint32_t with_guest = engine_->stats({launch.id, 1}).value().processes;
  ASSERT_TRUE(engine_->signal({launch.id, 0}, SIGKILL).has_value());
  ASSERT_TRUE(facts_->wait_for<TaskEnded>());
  EXPECT_TRUE(wait_until([&] { return engine_->stats({launch.id, 1}).value().processes < with_guest; }));
  stop_and_wait(launch.id);
}

TEST_F(LocalEngineTest, ATaskResolvesItsOwnNameButNotItsPeers) {
  const AttemptLaunch launch =
      launch_of(1, {shell("getent hosts task-0 | tr -s ' '; getent hosts task-1 || echo unknown"), shell("true")});
  run(launch);
  EXPECT_EQ(log({launch.id, 0}), "127.0.0.1 task-0\nunknown\n");
}

TEST_F(LocalEngineTest, ExecHasATerminalWhenAsked) {
  const AttemptLaunch launch = launch_of(1, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  SessionLog log;
  const auto session =
      engine_->exec({.task = {launch.id, 0},
                     .argv = shell("tty; stty size; read x; echo got $x; "
                                   "until [ \"$(stty size)\" = \"40 120\" ]; do sleep 0.02; done; exit 3"),
                     .has_terminal = true,
                     .rows = 30,
                     .columns = 90},
                    log.callbacks());
  ASSERT_TRUE(session.has_value()) << session.error().to_string();
  ASSERT_TRUE(log.wait_for_output("30 90")) << log.output();
  (*session)->resize(40, 120);
  (*session)->write_input("word\n");
  ASSERT_TRUE(log.wait_for_exit());
  EXPECT_NE(log.output().find("/dev/pts/"), std::string::npos) << log.output();
  EXPECT_NE(log.output().find("got word"), std::string::npos);
  EXPECT_EQ(log.exit_code(), 3);
  stop_and_wait(launch.id);
}

TEST_F(LocalEngineTest, ExecPassesInputEnvironmentAndMuchOutput) {
  const AttemptLaunch launch = launch_of(1, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  SessionLog log;
  const auto session = engine_->exec({.task = {launch.id, 0},
                                      .argv = shell("echo $NAME; wc -c; head -c 3000000 /dev/zero | tr '\\0' x"),
                                      .env = {{"NAME", "value"}}},
                                     log.callbacks());
  ASSERT_TRUE(session.has_value()) << session.error().to_string();
  (*session)->pause_output(true);
  (*session)->write_input(std::string(500'000, 'i'));
  (*session)->close_input();
  (*session)->pause_output(false);
  ASSERT_TRUE(log.wait_for_exit());
  EXPECT_TRUE(log.output().starts_with("value\n500000\nxxx")) << log.output().substr(0, 40);
  EXPECT_EQ(log.output().size(), 3'000'000U + 13);
  stop_and_wait(launch.id);
}

TEST_F(LocalEngineTest, InputThatNobodyReadsIsNotTakenWithoutBound) {
  const AttemptLaunch launch = launch_of(1, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  SessionLog log;
  std::promise<void> drained;
  auto callbacks = log.callbacks();
  callbacks.on_input_drained = [&drained] { drained.set_value(); };
  const auto session = engine_->exec(
      {.task = {launch.id, 0}, .argv = shell("until [ -e /dev/shm/go ]; do sleep 0.02; done; wc -c")}, callbacks);
  ASSERT_TRUE(session.has_value()) << session.error().to_string();
  const std::string block(16 << 10, 'x');
  std::size_t sent = 0;
  bool has_room = true;
  while (has_room && sent < (std::size_t{8} << 20)) {
    has_room = (*session)->write_input(block);
    sent += block.size();
  }
  EXPECT_FALSE(has_room);
  // A little more than the bound is in the pipe to the process.
  EXPECT_LT(sent, 4 * TerminalSession::kMaxWaitingInput);

  SessionLog other;
  const auto go = engine_->exec({.task = {launch.id, 0}, .argv = shell("touch /dev/shm/go")}, other.callbacks());
  ASSERT_TRUE(go.has_value()) << go.error().to_string();
  EXPECT_EQ(drained.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_TRUE((*session)->write_input("last"));
  (*session)->close_input();
  ASSERT_TRUE(log.wait_for_exit());
  EXPECT_EQ(log.output(), std::to_string(sent + 4) + "\n");
  stop_and_wait(launch.id);
}

TEST_F(LocalEngineTest, AnExecEndsWithItsSession) {
  const AttemptLaunch launch = launch_of(1, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  const auto processes = [&] { return engine_->stats({launch.id, 0}).value().processes; };
  ASSERT_TRUE(wait_until([&] { return processes() == 2; }));  // init and sleep
  {
    SessionLog log;
    const auto session = engine_->exec({.task = {launch.id, 0}, .argv = shell("echo up; sleep 1000")}, log.callbacks());
    ASSERT_TRUE(session.has_value());
    ASSERT_TRUE(log.wait_for_output("up"));
  }
  EXPECT_TRUE(wait_until([&] { return processes() == 2; }));
  stop_and_wait(launch.id);
}

TEST_F(LocalEngineTest, TellsWhenACardFailsAppearsOrChanges) {
  fixture_.probe_period_ms = 5;
  reopen({});
  ASSERT_TRUE(facts_->wait_for<NodeObserved>(1));
  Inventory inventory = fixture_.probe.inventory();
  inventory.cards[1].card.health = model::CardHealth::kUnhealthy;
  inventory.cards[1].health_detail = "Xid 79";
  fixture_.probe.set(inventory);
  ASSERT_TRUE(facts_->wait_for<NodeObserved>(2));
  inventory.cards.push_back({.card = {.index = 2, .chip = "nvidia-t4", .device = "pci:0000:3b:00.0"}});
  fixture_.probe.set(inventory);
  ASSERT_TRUE(facts_->wait_for<NodeObserved>(3));
  const auto told = facts_->all<NodeObserved>();
  EXPECT_EQ(told[1].node.cards[1].health, model::CardHealth::kUnhealthy);
  EXPECT_EQ(told[1].health_details.at(1), "Xid 79");
  EXPECT_EQ(told[2].node.cards.at(2).chip, "nvidia-t4");
  EXPECT_EQ(engine_->observe_nodes()->at(0).cards.size(), 3U);
}

TEST_F(LocalEngineTest, AsksItsProbeHowAContainerSeesACard) {
  Inventory inventory = fixture_.probe.inventory();
  inventory.cards.push_back({.card = {.index = 2, .chip = "x", .device = "pci:0000:3b:00.0"},
                             .facts = {.device = "pci:0000:3b:00.0", .device_nodes = {"/dev/null"}}});
  fixture_.probe.set(inventory);
  const auto edits = engine_->edits_for({1}, {inventory.cards[0].card, inventory.cards[2].card}, {1000});
  ASSERT_TRUE(edits.has_value());
  EXPECT_EQ(edits->cpu_set, std::vector<std::uint32_t>{0});
  ASSERT_EQ(edits->devices.size(), 1U);
  EXPECT_EQ(edits->devices[0].path, "/dev/null");
}

}  // namespace
}  // namespace busbar::engine
