#include <gtest/gtest.h>
#include <sys/stat.h>

#include "engine/local/internal/attempt_store.h"
#include "engine/local/internal/conmon.h"
#include "engine/local/internal/exit_class.h"
#include "engine/local/internal/log_rotation.h"
#include "engine/local/internal/report_reader.h"
#include "os/files.h"
#include "os/test_dir.h"

namespace busbar::engine {
namespace {

using Kind = AttemptEvent::Kind;
using model::ExitClass;

constexpr model::AttemptId kAttempt{.job = {17}, .number = 2};

TEST(AttemptStore, IdsAreReadBackAndNothingElse) {
  EXPECT_EQ(parse_attempt_id("17.2"), kAttempt);
  for (const char* text : {"", "17", "17.", ".2", "17.2.0", "a.b", "-1.2", "017.2", "17.99999999999"}) {
    EXPECT_EQ(parse_attempt_id(text), std::nullopt) << text;
  }
}

TEST(AttemptStore, EventsSurviveTheFileAndATornLine) {
  const os::TestDir dir;
  const std::string path = dir.file("events.jsonl");
  ASSERT_TRUE(append_event(path, {.kind = Kind::kStarted, .time_ms = 1}));
  ASSERT_TRUE(append_event(path, {.kind = Kind::kStopWanted, .time_ms = 2, .deadline_ms = 99}));
  ASSERT_TRUE(append_event(path, {.kind = Kind::kTaskEnded,
                                  .time_ms = 3,
                                  .ended = {.task = {kAttempt, 4},
                                            .exit_class = ExitClass::kOutOfMemory,
                                            .exit_code = 137,
                                            .detail = "over \"2GiB\"\n"}}));
  const std::string text = os::read_file(path, 4096).value() + R"({"time":4,"event":"go)";
  const auto events = parse_events(kAttempt, "garbage\n{\"event\":\"unknown\"}\n" + text);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].kind, Kind::kStarted);
  EXPECT_EQ(events[1].deadline_ms, 99);
  EXPECT_EQ(events[2].ended.task, (model::TaskId{kAttempt, 4}));
  EXPECT_EQ(events[2].ended.exit_class, ExitClass::kOutOfMemory);
  EXPECT_EQ(events[2].ended.exit_code, 137);
  EXPECT_EQ(events[2].ended.detail, "over \"2GiB\"\n");
}

TEST(ExitClassify, TellsTheEndsApart) {
  struct Row {
    const char* name;
    ExitFacts facts;
    ExitClass expected;
  };
  const Row rows[] = {
      {"success", {.code = 0, .has_exit_mark = true}, ExitClass::kSuccess},
      {"own failure", {.code = 3, .has_exit_mark = true}, ExitClass::kUser},
      {"own signal", {.code = 139, .has_exit_mark = true}, ExitClass::kUser},
      {"out of memory, program killed", {.code = 137, .oom_kills = 1, .has_exit_mark = true}, ExitClass::kOutOfMemory},
      {"out of memory, init killed", {.code = 137, .oom_kills = 1}, ExitClass::kOutOfMemory},
      {"survived the loss of a child", {.code = 0, .oom_kills = 1, .has_exit_mark = true}, ExitClass::kSuccess},
      {"init killed from outside", {.code = 137}, ExitClass::kInfrastructure},
      {"stopped", {.code = 143, .was_stopped = true, .has_exit_mark = true}, ExitClass::kCancelled},
      {"stopped and clean", {.code = 0, .was_stopped = true, .has_exit_mark = true}, ExitClass::kCancelled},
      {"stopped and killed", {.code = 137, .was_stopped = true}, ExitClass::kCancelled},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const TaskEnded ended = classify_exit({kAttempt, 0}, row.facts);
    EXPECT_EQ(ended.exit_class, row.expected);
    EXPECT_EQ(ended.exit_code, row.facts.code);
    EXPECT_EQ(ended.detail.empty(), row.expected == ExitClass::kSuccess);
  }
  EXPECT_NE(
      classify_exit({kAttempt, 0}, {.code = 137, .oom_kills = 1, .memory_limit = {2LL << 30}}).detail.find("2GiB"),
      std::string::npos);
}

TEST(ConmonAnswer, GivesThePidOrTheRuntimesReason) {
  EXPECT_EQ(parse_created("{\"pid\": 123}\n").value(), 123);
  const auto failed = parse_created("{\"pid\": -1, \"message\": \"runc create failed: no such file\\n\"}\n");
  ASSERT_FALSE(failed.has_value());
  EXPECT_NE(failed.error().to_string().find("no such file"), std::string::npos);
  EXPECT_FALSE(parse_created("").has_value());
  EXPECT_FALSE(parse_created("conmon: panic").has_value());
}

TEST(ReportReader, GivesWholeLinesAndTheOffsetAfterThem) {
  const os::TestDir dir;
  const std::string path = dir.file("report.jsonl");
  EXPECT_EQ(read_report(path, 0).offset, 0U);
  ASSERT_TRUE(os::write_file_atomic(path, "one\n\ntwo\nthr"));
  const ReportChunk chunk = read_report(path, 0);
  EXPECT_EQ(chunk.lines, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(chunk.offset, 9U);
  EXPECT_FALSE(chunk.has_more);
  EXPECT_TRUE(read_report(path, 9).lines.empty());
  EXPECT_EQ(read_report(path, 9).offset, 9U);
  EXPECT_EQ(read_report(path, 1000).offset, 1000U);
}

TEST(ReportReader, SkipsALineWithoutEndAndComesInPieces) {
  const os::TestDir dir;
  const std::string path = dir.file("report.jsonl");
  ASSERT_TRUE(os::write_file_atomic(path, std::string((1 << 20) + 10, 'x') + "\nlast\n"));
  const ReportChunk first = read_report(path, 0);
  EXPECT_TRUE(first.lines.empty());
  EXPECT_TRUE(first.has_more);
  const ReportChunk second = read_report(path, first.offset);
  EXPECT_EQ(second.lines.back(), "last");
}

TEST(ReportReader, FollowsNoLinksAndWaitsForNoFifo) {
  const os::TestDir dir;
  ASSERT_TRUE(os::write_file_atomic(dir.file("secret"), "line\n"));
  ASSERT_EQ(::symlink(dir.file("secret").c_str(), dir.file("link").c_str()), 0);
  ASSERT_EQ(::mkfifo(dir.file("fifo").c_str(), 0600), 0);
  EXPECT_TRUE(read_report(dir.file("link"), 0).lines.empty());
  EXPECT_TRUE(read_report(dir.file("fifo"), 0).lines.empty());
}

TEST(LogRotation, KeepsSoManyFilesOldestFirst) {
  const os::TestDir dir;
  const std::string log = dir.file("task.log");
  for (const char* text : {"a", "b", "c", "d"}) {
    ASSERT_TRUE(os::write_file_atomic(log, text));
    EXPECT_TRUE(is_log_full(log, 1));
    EXPECT_FALSE(is_log_full(log, 2));
    shift_logs(log, 3);
    EXPECT_FALSE(os::file_exists(log));
  }
  ASSERT_TRUE(os::write_file_atomic(log, "e"));
  EXPECT_EQ(existing_logs(log, 3), (std::vector<std::string>{log + ".2", log + ".1", log}));
  EXPECT_EQ(os::read_file(log + ".2", 10).value(), "c");
  EXPECT_FALSE(os::file_exists(log + ".3"));
}

}  // namespace
}  // namespace busbar::engine
