#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "cli/completion.h"
#include "cli/follow.h"
#include "cli/help.h"
#include "cli/job_source.h"
#include "cli/streams.h"
#include "cli/terminal.h"
#include "cli/test_support.h"
#include "os/process.h"

namespace busbar::cli {
namespace {

using testing::expect_golden;
using testing::finished_job;

TEST(JobSource, NamesAreTakenFromWhatRuns) {
  EXPECT_EQ(name_of_command({"python3", "train.py", "--lr", "0.1"}), "train");
  EXPECT_EQ(name_of_command({"python3", "-c", "print(1)"}), "python3");
  EXPECT_EQ(name_of_command({"/usr/bin/Hello World"}), "hello");
  EXPECT_EQ(name_of_command({"make && ./a.out"}), "make");
  EXPECT_EQ(name_of_command({"./-"}), "run");
  EXPECT_EQ(name_of_command({}), "run");
}

std::string run_text(const std::vector<std::string>& command) {
  const auto source = command_source({}, command, [](const char*) { return std::nullopt; });
  return (*parse_json(source->text))["run"].as_string();
}

TEST(JobSource, WordsStayWordsAndOneWordWithSpacesIsShellText) {
  EXPECT_EQ(run_text({"echo", "a b", "it's"}), "echo 'a b' 'it'\\''s'");
  EXPECT_EQ(run_text({"make && ./a.out"}), "make && ./a.out");
  EXPECT_EQ(run_text({"a;b"}), "'a;b'");
}

TEST(JobSource, FlagsBecomeOverridesInTheJobFilesWords) {
  const RunFlags flags{.nodes = "2..4",
                       .cpus = "2",
                       .memory = "4G",
                       .accelerators = "H100:8",
                       .time_limit = "4h",
                       .env = {"A=1=2", "HOME"},
                       .volumes = {"/data:/data:ro"},
                       .settings = {"restart.max=3"}};
  const auto overrides =
      flag_overrides(flags, [](const char* name) { return std::optional<std::string>(std::string(name) + "-value"); });
  ASSERT_TRUE(overrides);
  const std::vector<std::string> wanted{
      "nodes=2..4",    "resources.cpus=2", "resources.memory=4G", "resources.accelerators=H100:8",
      "time_limit=4h", "env.A=1=2",        "env.HOME=HOME-value", "volumes=[\"/data:/data:ro\"]",
      "restart.max=3"};
  EXPECT_EQ(*overrides, wanted);
  const auto unset = flag_overrides({.env = {"NOPE"}}, [](const char*) { return std::nullopt; });
  ASSERT_FALSE(unset);
  EXPECT_EQ(unset.error().message, "-e NOPE: this shell has no variable NOPE; write -e NOPE=VALUE");
}

/// A folder of its own for one test.
struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "busbar-cli-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    return (path / name).string();
  }
};

TEST(JobSource, JobFilesStartFromTheirFolderAndScriptsFromHere) {
  const Folder folder;
  const auto yaml = file_source(folder.write("a.yaml", "run: hi\n"));
  ASSERT_TRUE(yaml);
  EXPECT_EQ(yaml->folder, folder.path.string());
  const auto script = file_source(folder.write("a.sh", "#!/bin/sh\n#SBATCH -n 2\nhostname\n"));
  ASSERT_TRUE(script);
  EXPECT_EQ(script->folder, std::filesystem::current_path().string());
  EXPECT_EQ(file_source((folder.path / "no.yaml").string()).error().code, ErrorCode::kNotFound);
}

TEST(JobSource, OnlyYamlAndSbatchScriptsAreJobFiles) {
  const Folder folder;
  EXPECT_TRUE(is_job_file(folder.write("a.yaml", "run: hi\n")));
  EXPECT_TRUE(is_job_file(folder.write("job", "#!/bin/bash\n#SBATCH -n 2\nhostname\n")));
  EXPECT_FALSE(is_job_file(folder.write("plain.sh", "#!/bin/bash\nhostname\n")));
  EXPECT_FALSE(is_job_file("python3"));
  EXPECT_FALSE(is_job_file(folder.path.string()));
}

api::LogLine line(std::uint32_t task, TimeMs time_ms, std::string text) {
  return {.task = task, .attempt = 1, .time_ms = time_ms, .text = std::move(text)};
}

TEST(LogPosition, AReopenedStreamRepeatsNoLineAndLosesNone) {
  LogPosition position;
  EXPECT_EQ(position.since_ms(), 0);
  EXPECT_TRUE(position.take(line(0, 100, "a")));
  EXPECT_TRUE(position.take(line(0, 200, "b")));
  EXPECT_TRUE(position.take(line(0, 200, "c")));
  EXPECT_TRUE(position.take(line(1, 150, "x")));
  EXPECT_EQ(position.since_ms(), 150);
  position.reopen();
  EXPECT_FALSE(position.take(line(1, 150, "x")));
  EXPECT_FALSE(position.take(line(0, 180, "older")));
  EXPECT_FALSE(position.take(line(0, 200, "b")));
  EXPECT_FALSE(position.take(line(0, 200, "c")));
  EXPECT_TRUE(position.take(line(0, 200, "d"))) << "new, with the time of the last ones";
  EXPECT_TRUE(position.take(line(0, 199, "e"))) << "a clock that stepped back hides nothing";
  EXPECT_TRUE(position.take(line(1, 300, "y")));
}

TEST(MirroredExitCode, FollowsTheDocumentedTable) {
  EXPECT_EQ(mirrored_exit_code(finished_job()), 0);
  EXPECT_EQ(mirrored_exit_code(finished_job(model::ExitClass::kUser, 3)), 3);
  EXPECT_EQ(mirrored_exit_code(finished_job(model::ExitClass::kUser, 139)), 139);
  EXPECT_EQ(mirrored_exit_code(finished_job(model::ExitClass::kUser, 0)), 1);
  EXPECT_EQ(mirrored_exit_code(finished_job(model::ExitClass::kOutOfMemory, 137)), 137);
  EXPECT_EQ(mirrored_exit_code(finished_job(model::ExitClass::kTimeLimit, 143)), 124);
  EXPECT_EQ(mirrored_exit_code(finished_job(model::ExitClass::kCancelled, 143)), 143);
  EXPECT_EQ(mirrored_exit_code(finished_job(model::ExitClass::kInfrastructure, 255)), 125);
  EXPECT_EQ(mirrored_exit_code(finished_job(model::ExitClass::kPreempted, 143)), 125);
  EXPECT_EQ(mirrored_exit_code(FollowEnd{.job = finished_job(), .was_left = true}), 130);
}

TEST(DetachKeys, CtrlPCtrlQLeavesAlsoAcrossReads) {
  DetachKeys keys;
  EXPECT_EQ(keys.feed("ls\r").bytes, "ls\r");
  EXPECT_EQ(keys.feed("\x10").bytes, "") << "waits for the next key";
  EXPECT_TRUE(keys.feed("\x11").is_detach);
}

TEST(DetachKeys, CtrlPAloneReachesTheOtherSide) {
  DetachKeys keys;
  EXPECT_EQ(keys.feed("a\x10").bytes, "a");
  EXPECT_EQ(keys.feed("b").bytes,
            "\x10"
            "b");
  const auto twice = keys.feed("\x10\x10\x11");
  EXPECT_EQ(twice.bytes, "\x10");
  EXPECT_TRUE(twice.is_detach);
  EXPECT_FALSE(keys.feed("\x11").is_detach);
}

TEST(Help, OfEachVerbIsAsInItsGoldenFile) {
  const Output pipe([](std::string_view) {}, {});
  expect_golden("help.txt", main_help(pipe));
  for (const Verb& verb : verbs()) {
    SCOPED_TRACE(verb.name);
    const Command command = verb.make();
    EXPECT_EQ(command.name, verb.name);
    EXPECT_EQ(command.summary, verb.summary);
    EXPECT_TRUE(command.usage.starts_with("busbar " + command.name)) << command.usage;
    EXPECT_FALSE(command.examples.empty());
    std::string file = "help-" + command.name + ".txt";
    std::ranges::replace(file, ' ', '-');
    expect_golden(file, command_help(command, pipe));
  }
}

TEST(Help, SuggestsTheVerbThatWasMeant) {
  EXPECT_EQ(suggest_verb("squeue"), "ps");
  EXPECT_EQ(suggest_verb("scancel"), "stop");
  EXPECT_EQ(suggest_verb("decsribe"), "describe");
  EXPECT_EQ(suggest_verb("xyzzyqq"), "");
}

TEST(Completion, BashAcceptsItsScriptAndCompletes) {
  const Folder folder;
  const std::string script = folder.write("busbar.bash", completion_script("bash"));
  const auto complete = [&](const std::string& words, int at) {
    const auto result =
        os::run_command({"bash", "-c",
                         "source " + script + "; COMP_WORDS=(" + words + "); COMP_CWORD=" + std::to_string(at) +
                             "; _busbar; echo \"${COMPREPLY[@]}\""});
    EXPECT_TRUE(result && result->is_success()) << (result ? result->stderr_text : result.error().to_string());
    return result ? result->stdout_text : "";
  };
  EXPECT_EQ(complete("busbar des", 1), "describe\n");
  EXPECT_EQ(complete("busbar secret l", 2), "list\n");
  EXPECT_EQ(complete("busbar ps --sta", 2), "--state --state-dir\n");
  EXPECT_EQ(complete("busbar ps --state fai", 3), "failed\n");
  EXPECT_EQ(complete("busbar queues set --l", 3), "--limit\n");
  EXPECT_EQ(complete("busbar completion z", 2), "zsh\n");
}

TEST(Completion, EveryVerbIsInEachScript) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = completion_script(shell);
    for (const Verb& verb : verbs()) {
      for (const std::string_view word : {verb.name.substr(0, verb.name.find(' '))}) {
        EXPECT_NE(script.find(word), std::string::npos) << shell << " " << word;
      }
    }
  }
}

}  // namespace
}  // namespace busbar::cli
