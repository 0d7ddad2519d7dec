#include "sched/journal.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "base/test_paths.h"
#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using testing::cluster;
using testing::job;

/// A journal of a small day: joins, a placement, an end.
struct Recorded {
  Recorded() {
    add(NodeJoined{.node = cluster().cards(2).build()[0]});
    add(JobSubmitted{.job = job(1, 1, 1000)});
    add(JobSubmitted{.job = job(2, 1, 4000)});
    add(GangStarted{.attempt = {.job = {1}, .number = 1}});
    add(TaskExited{.task = {.attempt = {.job = {1}, .number = 1}, .rank = 0}});
    add(GangGone{.attempt = {.job = {1}, .number = 1}});
  }

  void add(EventBody body) {
    JournalRecord record = {.sequence = records.size() + 1,
                            .event = {.time_ms = 1000, .body = std::move(body), .actor = "test", .request_id = "r1"}};
    record.decisions = core.apply(record.event).value();
    record.state_hash = core.state_hash();
    records.push_back(std::move(record));
  }
  std::string file() const {
    std::string bytes = encode_journal_header({.build_id = "build-7"});
    for (const JournalRecord& record : records) {
      bytes += encode_frame(record);
    }
    return bytes;
  }

  Core core = Core(Policy{});
  std::vector<JournalRecord> records;
};

TEST(Journal, GivesBackEveryRecord) {
  for (const JournalRecord& record : Recorded().records) {
    const std::string frame = encode_frame(record);
    const auto decoded = decode_frame(frame + "more");
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(decoded->record, record);
    EXPECT_EQ(decoded->size, frame.size());
  }
}

TEST(Journal, ReplaysWithoutADifference) {
  const Recorded recorded;
  const auto report = replay_journal(recorded.file());
  ASSERT_TRUE(report.has_value()) << report.error().to_string();
  EXPECT_TRUE(report->is_identical) << report->difference;
  EXPECT_EQ(report->steps, recorded.records.size());
  EXPECT_EQ(report->final_hash, recorded.core.state_hash());
}

TEST(Journal, NamesTheFirstStepThatDiffers) {
  Recorded recorded;
  recorded.records[1].decisions.clear();
  recorded.records[3].state_hash ^= 1;
  auto report = replay_journal(recorded.file());
  ASSERT_TRUE(report.has_value());
  EXPECT_FALSE(report->is_identical);
  EXPECT_EQ(report->first_difference, 2U);
  EXPECT_EQ(report->difference, "decision 1: recorded nothing, now place 1.1 on 1 tasks");
  recorded = Recorded();
  recorded.records[3].state_hash ^= 1;
  report = replay_journal(recorded.file());
  EXPECT_EQ(report->first_difference, 4U);
  EXPECT_NE(report->difference.find("state hash"), std::string::npos);
}

TEST(Journal, FindsEveryFlippedByte) {
  const std::string frame = encode_frame(Recorded().records[1]);
  for (std::size_t i = 0; i < frame.size(); ++i) {
    std::string damaged = frame;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    const auto decoded = decode_frame(damaged);
    ASSERT_FALSE(decoded.has_value()) << "byte " << i;
    EXPECT_EQ(decoded.error().code, ErrorCode::kDataCorrupt);
  }
}

TEST(Journal, FindsEveryCut) {
  const std::string file = Recorded().file();
  const std::size_t header = encode_journal_header({.build_id = "build-7"}).size();
  const std::size_t last = encode_frame(Recorded().records.back()).size();
  for (std::size_t size = 0; size < header; ++size) {
    EXPECT_FALSE(replay_journal(file.substr(0, size)).has_value()) << size;
  }
  for (std::size_t size = file.size() - last + 1; size < file.size(); ++size) {
    const auto report = replay_journal(file.substr(0, size));
    ASSERT_FALSE(report.has_value()) << size;
    EXPECT_NE(report.error().message.find("after record 5"), std::string::npos) << report.error().message;
  }
}

TEST(Journal, FindsAGapInTheSequence) {
  Recorded recorded;
  recorded.records.erase(recorded.records.begin() + 2);
  const auto report = replay_journal(recorded.file());
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().message, "journal has record 4 after record 2");
}

TEST(Journal, StartsFromASnapshot) {
  Recorded recorded;
  std::string file = encode_journal_header({.build_id = "b", .snapshot = recorded.core.snapshot()});
  const std::size_t first = recorded.records.size();
  recorded.add(JobSubmitted{.job = job(3, 1, 2000)});
  file += encode_frame(recorded.records[first]);
  const auto report = replay_journal(file);
  ASSERT_TRUE(report.has_value());
  EXPECT_TRUE(report->is_identical);
}

std::string read_testdata(const std::string& name) {
  std::ifstream stream(std::string(BUSBAR_SOURCE_DIR) + "/src/sched/testdata/" + name, std::ios::binary);
  EXPECT_TRUE(stream.good()) << name;
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Written by the builds before the tree of queues; before promises, windows and held cards; before jobs that yield and
// packing; before gangs that grow; before those that do so live.
TEST(Journal, TakesTheStepsOfOlderFormatsAsTheyWereRecorded) {
  for (const char* name :
       {"journal_format_1.bbj", "journal_format_1_long.bbj", "journal_format_2.bbj", "journal_format_3.bbj",
        "journal_format_3_snapshot.bbj", "journal_format_5.bbj", "journal_format_6.bbj"}) {
    SCOPED_TRACE(name);
    const auto report = replay_journal(read_testdata(name));
    ASSERT_TRUE(report.has_value()) << report.error().to_string();
    EXPECT_TRUE(report->is_identical) << report->difference;
    EXPECT_GT(report->steps, 5U);
    EXPECT_EQ(report->steps_taken, report->steps);
  }
}

TEST(Journal, ReplaysAChangeOfThePolicy) {
  Recorded recorded;
  recorded.add(JobSubmitted{.job = job(3, 1, 1000)});
  Policy policy = {.start_deadline_ms = 5'000, .fair_share_half_life_ms = 3'600'000, .hold_ms = 1};
  policy.chip_weights = {{"h100", 2000}};
  recorded.add(PolicyChanged{.policy = policy});
  EXPECT_EQ(recorded.core.policy(), policy);
  EXPECT_EQ(recorded.core.next_wakeup(), 6'000) << "the deadline of what starts now is the new one";
  EXPECT_EQ(recorded.core.state_hash(), recorded.core.recompute_hash());
  const auto report = replay_journal(recorded.file());
  ASSERT_TRUE(report.has_value()) << report.error().to_string();
  EXPECT_TRUE(report->is_identical) << report->difference;
  policy.hold_ms = INT64_MAX;
  EXPECT_FALSE(recorded.core.apply({.time_ms = 1000, .body = PolicyChanged{.policy = policy}}).has_value());
}

TEST(Snapshot, RefusesDamageAndOtherVersions) {
  const std::string snapshot = Recorded().core.snapshot();
  ASSERT_TRUE(Core::restore(snapshot).has_value());
  for (std::size_t i = 0; i < snapshot.size(); ++i) {
    std::string damaged = snapshot;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x04);
    EXPECT_FALSE(Core::restore(damaged).has_value()) << "byte " << i;
    EXPECT_FALSE(Core::restore(snapshot.substr(0, i)).has_value()) << "cut at " << i;
  }
  std::string newer = snapshot;
  newer[4] = 9;
  EXPECT_EQ(Core::restore(newer).error().code, ErrorCode::kUnsupported);
}

TEST(Recovery, RefusesDecisionsThatDoNotFit) {
  const Recorded recorded;
  const Event submit = recorded.records[1].event;
  const Decision place = recorded.records[1].decisions[0];
  Core core(Policy{});
  ASSERT_TRUE(core.apply_recorded(recorded.records[0].event, {}).has_value());
  ASSERT_TRUE(core.apply_recorded(submit, {&place, 1}).has_value());
  const std::vector<Decision> wrong = {place,
                                       Requeue{.job = {1}},
                                       Finish{.job = {1}},
                                       Refuse{.job = {1}},
                                       Block{.job = {7}},
                                       Stop{.attempt = {.job = {7}, .number = 1}}};
  for (const Decision& decision : wrong) {
    SCOPED_TRACE(decision.index());
    Core fork = core.fork();
    const auto result = fork.apply_recorded({.time_ms = 1000}, {&decision, 1});
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::kDataCorrupt);
  }
}

}  // namespace
}  // namespace busbar::sched
