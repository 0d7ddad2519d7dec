// Runs the scripts of a plan in real shells. The container is stood in for by a folder in place of /run/busbar and by
// `setsid`, which gives the task a process group of its own, as the engine's init does.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/text.h"
#include "launch/launch_plan.h"

namespace busbar::launch {
namespace {

namespace fs = std::filesystem;
using model::JobSpec;
using model::Launcher;

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

struct Outcome {
  int code = -1;
  std::string output = {};
  std::vector<std::string> sorted_lines() const {
    std::vector<std::string> lines;
    std::istringstream stream(output);
    for (std::string line; std::getline(stream, line);) {
      lines.push_back(line);
    }
    std::sort(lines.begin(), lines.end());
    return lines;
  }
};

Outcome run_shell(const std::string& command) {
  Outcome outcome;
  std::FILE* pipe = popen(command.c_str(), "r");
  char buffer[4096];
  for (std::size_t size = 0; (size = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    outcome.output.append(buffer, size);
  }
  const int status = pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

class LaunchScripts : public ::testing::Test {
 protected:
  LaunchScripts() : folder_(fs::temp_directory_path() / ("busbar-scripts-" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~LaunchScripts() override { fs::remove_all(folder_); }

  /// Puts the files of one task into its folder and gives the command that starts it.
  std::string prepare(const JobSpec& spec, std::uint32_t rank = 0, std::uint16_t cards = 1) {
    model::Placement placement;
    for (std::uint32_t task = 0; task < spec.max_nodes; ++task) {
      placement.tasks.push_back({.rank = task, .node = {1}, .cards = model::CardList(cards)});
    }
    const auto plans = plan_launch({.spec = spec,
                                    .attempt = {.job = {7}, .number = 1},
                                    .placement = placement,
                                    .nodes = {{.id = {1}, .name = "n"}},
                                    .rendezvous_port = 29'500});
    EXPECT_TRUE(plans) << plans.error().to_string();
    const TaskPlan& plan = (*plans)[rank];
    const std::string at = (folder_ / ("task" + std::to_string(rank))).string();
    fs::create_directories(at);
    for (const auto& [name, content] : plan.files) {
      std::ofstream(at + "/" + name) << replace_all(content, "/run/busbar", at);
      fs::permissions(at + "/" + name, fs::perms::owner_all);
    }
    std::string command = "cd " + shell_quote(folder_.string()) + " && exec env";
    for (const auto& [name, value] : plan.env) {
      command += " " + shell_quote(name + "=" + replace_all(value, "/run/busbar", at));
    }
    for (const std::string& word : plan.argv) {
      command += " " + shell_quote(replace_all(word, "/run/busbar", at));
    }
    return command;
  }
  Outcome run(const JobSpec& spec, std::uint32_t rank = 0, std::uint16_t cards = 1) {
    return run_shell("exec 2>&1; setsid --wait sh -c " + shell_quote(prepare(spec, rank, cards)));
  }
  /// Starts the task, waits until it has written to the pipe `ready`, sends `signal` to its group, waits for its end.
  Outcome run_and_signal(const JobSpec& spec, const std::string& signal, std::uint16_t cards = 1) {
    const std::string command = prepare(spec, 0, cards);
    const std::string ready = shell_quote((folder_ / "ready").string());
    return run_shell("exec 2>&1; mkfifo " + ready + "; setsid sh -c " + shell_quote(command) +
                     " & pid=$!; read line <" + ready + "; kill -s " + signal + " -- -$pid; wait $pid");
  }

  fs::path folder_;
};

TEST_F(LaunchScripts, RunTextsExitCodeIsTheTasks) {
  EXPECT_EQ(run({.name = "a", .run = "echo out\nexit 7"}).code, 7);
  EXPECT_EQ(run({.name = "a", .run = "false\necho after"}).output, "after\n");
  EXPECT_EQ(run({.name = "a", .run = "no-such-program-here"}).code, 127);
}

TEST_F(LaunchScripts, SetupStopsAtItsFirstFailureAndSharesItsShell) {
  const Outcome failed = run({.name = "a", .setup = "echo one\nfalse\necho two", .run = "echo run"});
  EXPECT_EQ(failed.code, 1);
  EXPECT_EQ(failed.output, "one\n");
  EXPECT_EQ(run({.name = "a", .setup = "x=5\ncd /", .run = "false\necho $x $PWD"}).output, "5 /\n");
}

TEST_F(LaunchScripts, TextStaysAsItIs) {
  const std::string text = "cat <<'END'\na'b \"c\" $d `e` \\f\nEND\n";
  EXPECT_EQ(run({.name = "a", .run = text}).output, "a'b \"c\" $d `e` \\f\n");
}

TEST_F(LaunchScripts, AScriptRunsUnderItsOwnInterpreter) {
  EXPECT_EQ(run({.name = "a", .run = "#!/usr/bin/env python3\nprint(6 * 7)\nexit(3)\n"}).output, "42\n");
  EXPECT_EQ(run({.name = "a", .run = "#!/usr/bin/env python3\nexit(3)\n"}).code, 3);
}

TEST_F(LaunchScripts, AProgramMaySaveBeforeItEndsBySigterm) {
  const Outcome outcome = run_and_signal({.name = "a",
                                          .run = "sh -c 'trap \"echo saved; exit 0\" TERM; echo >ready; while :; do "
                                                 "sleep 0.01; done' 2>/dev/null\necho more"},
                                         "TERM");
  EXPECT_EQ(outcome.output, "saved\n");
  EXPECT_EQ(outcome.code, 143);
}

TEST_F(LaunchScripts, ACheckpointSignalDoesNotEndTheTask) {
  const Outcome outcome = run_and_signal({.name = "a",
                                          .run = "sh -c 'trap \"echo saved; exit 0\" USR1; echo >ready; while :; do "
                                                 "sleep 0.01; done' 2>/dev/null\necho more"},
                                         "USR1");
  EXPECT_EQ(outcome.output, "saved\nmore\n");
  EXPECT_EQ(outcome.code, 0);
}

TEST_F(LaunchScripts, DirectStartsOneProcessPerCard) {
  const JobSpec spec{.name = "a",
                     .setup = "export FROM_SETUP=yes",
                     .run = "echo $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE $FROM_SETUP $MASTER_PORT",
                     .min_nodes = 2,
                     .max_nodes = 2,
                     .launcher = Launcher::kDirect};
  const Outcome outcome = run(spec, 1, 3);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.sorted_lines(),
            (std::vector<std::string>{"3 0 6 3 yes 29500", "4 1 6 3 yes 29500", "5 2 6 3 yes 29500"}));
}

TEST_F(LaunchScripts, DirectEndsWithTheFirstFailureAndStopsTheOthers) {
  const JobSpec spec{.name = "a", .run = "if [ $RANK = 1 ]; then exit 9; fi\nsleep 600", .launcher = Launcher::kDirect};
  EXPECT_EQ(run(spec, 0, 3).code, 9);
}

TEST_F(LaunchScripts, DirectHandsATerminationToAllProcesses) {
  const JobSpec spec{.name = "a",
                     .run =
                         "sh -c 'trap \"echo saved $RANK; exit 0\" TERM; echo $RANK >up.$RANK\n"
                         "if [ $RANK = 0 ]; then until [ -s up.1 ]; do sleep 0.01; done; echo >ready; fi\n"
                         "while :; do sleep 0.01; done' 2>/dev/null",
                     .launcher = Launcher::kDirect};
  const Outcome outcome = run_and_signal(spec, "TERM", 2);
  EXPECT_EQ(outcome.sorted_lines(), (std::vector<std::string>{"saved 0", "saved 1"}));
  EXPECT_EQ(outcome.code, 143);
}

TEST_F(LaunchScripts, MpisOtherHostsTellTheirSetupAndWait) {
  const JobSpec spec{.name = "a",
                     .setup = "echo >ready",
                     .run = "mpirun x",
                     .min_nodes = 2,
                     .max_nodes = 2,
                     .launcher = Launcher::kMpirun};
  const std::string command = prepare(spec, 1);
  const std::string ready = shell_quote((folder_ / "ready").string());
  const std::string done = shell_quote((folder_ / "task1" / "setup.done").string());
  const Outcome outcome = run_shell("exec 2>&1; mkfifo " + ready + "; setsid sh -c " + shell_quote(command) +
                                    " & pid=$!; read line <" + ready + "; until [ -e " + done +
                                    " ]; do sleep 0.01; done; cat " + done + "; kill -s TERM -- -$pid; wait $pid");
  EXPECT_EQ(outcome.output, "0\n");
  EXPECT_EQ(outcome.code, 0);
}

TEST_F(LaunchScripts, MpisLeaderWaitsForTheOthersAndReportsTheirFailure) {
  const JobSpec spec{
      .name = "a", .setup = "true", .run = "echo run", .min_nodes = 2, .max_nodes = 2, .launcher = Launcher::kMpirun};
  const std::string command = prepare(spec, 0);
  const fs::path agent = folder_ / "task0" / "rsh";
  std::ofstream(agent) << "#!/bin/sh\nexit ${FAKE_CODE:-0}\n";
  fs::permissions(agent, fs::perms::owner_all);
  EXPECT_EQ(run_shell("setsid --wait sh -c " + shell_quote(command)).output, "run\n");
  const Outcome failed =
      run_shell("exec 2>&1; FAKE_CODE=2; export FAKE_CODE; setsid --wait sh -c " + shell_quote(command));
  EXPECT_EQ(failed.output, "busbar: setup failed on a-7-1\n");
  EXPECT_EQ(failed.code, 1);
}

TEST_F(LaunchScripts, ADevShellWithoutATerminalWaitsForExec) {
  const JobSpec spec{.name = "a", .type = model::JobType::kDev, .setup = "echo >ready", .launcher = Launcher::kNone};
  EXPECT_EQ(run_and_signal(spec, "TERM").code, 0);
}

}  // namespace
}  // namespace busbar::launch
