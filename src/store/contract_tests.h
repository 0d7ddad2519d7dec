#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "store/store.h"

namespace busbar::store {

/// What a driver hands to the suite below: a store whose content outlives `close`.
class StoreHarness {
 public:
  virtual ~StoreHarness() = default;
  /// Opens it; empty the first time.
  virtual std::unique_ptr<Store> open() = 0;
};

/// Every driver of Store passes this suite: instantiate it with a maker of harnesses.
///   INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract, testing::Values(&make_sqlite_harness));
class StoreContract : public testing::TestWithParam<std::unique_ptr<StoreHarness> (*)()> {
 protected:
  void SetUp() override {
    harness_ = GetParam()();
    store_ = harness_->open();
    ASSERT_NE(store_, nullptr);
  }
  void reopen() {
    store_.reset();
    store_ = harness_->open();
    ASSERT_NE(store_, nullptr);
  }
  void commit(const Transaction& transaction) {
    const auto done = store_->commit(transaction);
    ASSERT_TRUE(done) << done.error().to_string();
  }
  std::vector<std::uint64_t> job_ids(const JobFilter& filter) {
    std::vector<std::uint64_t> ids;
    const auto rows = store_->jobs(filter);
    EXPECT_TRUE(rows);
    if (rows) {
      for (const auto& row : *rows) ids.push_back(row.id.value);
    }
    return ids;
  }
  static JobRow job_row(std::uint64_t id) {
    return JobRow{.id = {id},
                  .name = "digits",
                  .user = "ada",
                  .queue = "vision",
                  .state = model::JobState::kRunning,
                  .submitted_ms = 1'700'000'000'000 + static_cast<TimeMs>(id),
                  .spec_json = R"({"name":"digits"})",
                  .status_json = R"({"step":1})"};
  }

  std::unique_ptr<StoreHarness> harness_;
  std::unique_ptr<Store> store_;
};

inline bool same_job(const JobRow& a, const JobRow& b) {
  return a.id == b.id && a.name == b.name && a.user == b.user && a.queue == b.queue && a.state == b.state &&
         a.submitted_ms == b.submitted_ms && a.ended_ms == b.ended_ms && a.array == b.array &&
         a.client_key == b.client_key && a.spec_json == b.spec_json && a.status_json == b.status_json;
}

TEST_P(StoreContract, StartsEmpty) {
  EXPECT_EQ(store_->last_sequence().value(), 0u);
  EXPECT_EQ(store_->last_event_id().value(), 0u);
  EXPECT_EQ(store_->last_job_id().value(), model::JobId{});
  EXPECT_TRUE(job_ids({}).empty());
  EXPECT_FALSE(store_->latest_snapshot().value());
  EXPECT_FALSE(store_->job({1}).value());
  EXPECT_FALSE(store_->meta("x").value());
  EXPECT_TRUE(store_->verify());
}

TEST_P(StoreContract, KeepsAStepOverAReopen) {
  JobRow row = job_row(7);
  row.client_key = "key-1";
  row.array = {5};
  row.ended_ms = 12;
  commit({.frames = {{1, std::string("frame\0one", 9)}, {2, ""}},
          .jobs = {row},
          .attempts = {{.id = {{7}, 1}, .launch_json = "{\"a\":1}", .status_json = "{}"}},
          .events = {{.id = 3, .time_ms = 9, .job = {7}, .kind = "placed", .text = "on 2 cards", .detail_json = "{}"}},
          .secrets = {{.name = "token", .sealed = std::string("\x00\xff", 2), .changed_ms = 4}},
          .services = {{.name = "vad", .record_json = "{}"}, {.name = "chat", .record_json = "{\"a\":1}"}},
          .callers = {{.kind = "tenant", .name = "a", .record_json = "{}"},
                      {.kind = "key", .name = "a", .record_json = "{\"b\":2}"}},
          .meta = {{"server_id", "abc"}},
          .snapshot = "state",
          .snapshot_sequence = 2});
  reopen();
  EXPECT_TRUE(same_job(store_->job({7}).value().value(), row));
  EXPECT_TRUE(same_job(store_->job_by_client_key("ada", "key-1").value().value(), row));
  const auto attempts = store_->attempts({7}).value();
  ASSERT_EQ(attempts.size(), 1u);
  EXPECT_EQ(attempts[0].id, (model::AttemptId{{7}, 1}));
  EXPECT_EQ(attempts[0].launch_json, "{\"a\":1}");
  const auto events = store_->events({}, 0, 10).value();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].text, "on 2 cards");
  EXPECT_EQ(events[0].job, model::JobId{7});
  EXPECT_EQ(store_->secrets().value().at(0).sealed, std::string("\x00\xff", 2));
  ASSERT_EQ(store_->services().value().size(), 2u);
  EXPECT_EQ(store_->services().value().at(0).name, "chat");
  EXPECT_EQ(store_->services().value().at(0).record_json, "{\"a\":1}");
  ASSERT_EQ(store_->callers().value().size(), 2u);
  EXPECT_EQ(store_->callers().value().at(0).kind, "key");
  EXPECT_EQ(store_->callers().value().at(0).record_json, "{\"b\":2}");
  EXPECT_EQ(store_->meta("server_id").value(), "abc");
  EXPECT_EQ(store_->latest_snapshot().value()->bytes, "state");
  EXPECT_EQ(store_->last_sequence().value(), 2u);
  EXPECT_EQ(store_->last_event_id().value(), 3u);
  EXPECT_EQ(store_->last_job_id().value(), model::JobId{7});
  std::vector<std::string> frames;
  ASSERT_TRUE(store_->read_frames(0, [&](std::uint64_t, std::string_view bytes) -> Result<void> {
    frames.emplace_back(bytes);
    return {};
  }));
  EXPECT_EQ(frames, (std::vector<std::string>{std::string("frame\0one", 9), ""}));
}

TEST_P(StoreContract, ReplacesRowsOfTheSameId) {
  commit({.jobs = {job_row(1)},
          .attempts = {{.id = {{1}, 1}}},
          .secrets = {{.name = "s", .sealed = "old"}},
          .services = {{.name = "chat", .record_json = "{}"}, {.name = "vad", .record_json = "{}"}}});
  JobRow changed = job_row(1);
  changed.state = model::JobState::kSucceeded;
  changed.ended_ms = 99;
  commit({.jobs = {changed},
          .attempts = {{.id = {{1}, 1}, .is_over = true, .status_json = "done"}},
          .secrets = {{.name = "s", .sealed = "new"}},
          .services = {{.name = "vad", .record_json = "[]"}},
          .removed_services = {"chat", "never-there"}});
  EXPECT_TRUE(same_job(store_->job({1}).value().value(), changed));
  EXPECT_EQ(store_->attempts({1}).value().at(0).status_json, "done");
  EXPECT_TRUE(store_->open_attempts().value().empty());
  EXPECT_EQ(store_->secrets().value().at(0).sealed, "new");
  ASSERT_EQ(store_->services().value().size(), 1u);
  EXPECT_EQ(store_->services().value().at(0).record_json, "[]");
  commit({.callers = {{.kind = "key", .name = "k"}, {.kind = "tenant", .name = "k"}}});
  commit({.callers = {{.kind = "tenant", .name = "k", .record_json = "new"}},
          .removed_callers = {{"key", "k"}, {"key", "never-there"}}});
  ASSERT_EQ(store_->callers().value().size(), 1u);
  EXPECT_EQ(store_->callers().value().at(0).record_json, "new");
  commit({.removed_secrets = {"s", "never-there"}});
  EXPECT_TRUE(store_->secrets().value().empty());
}

TEST_P(StoreContract, CommitsAllOrNothing) {
  commit({.frames = {{1, "a"}}});
  const auto refused = store_->commit({.frames = {{2, "b"}, {1, "again"}}, .jobs = {job_row(3)}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(store_->last_sequence().value(), 1u);
  EXPECT_FALSE(store_->job({3}).value());
  commit({.frames = {{2, "b"}}, .jobs = {job_row(3)}});
  EXPECT_EQ(store_->last_sequence().value(), 2u);
}

TEST_P(StoreContract, GivesAClientKeyToOneJobPerUser) {
  JobRow first = job_row(1);
  first.client_key = "k";
  commit({.jobs = {first}});
  JobRow second = job_row(2);
  second.client_key = "k";
  const auto refused = store_->commit({.jobs = {second}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
  EXPECT_NE(refused.error().message.find("client key \"k\""), std::string::npos) << refused.error().message;
  second.user = "bob";
  commit({.jobs = {second, job_row(3), job_row(4)}});  // Empty keys never collide.
  EXPECT_EQ(store_->job_by_client_key("bob", "k").value()->id, model::JobId{2});
  EXPECT_FALSE(store_->job_by_client_key("ada", "").value());
}

TEST_P(StoreContract, ListsJobsNewestFirstByFilter) {
  Transaction all;
  for (std::uint64_t id = 1; id <= 6; ++id) {
    JobRow row = job_row(id);
    row.state = id % 2 == 0 ? model::JobState::kQueued : model::JobState::kFailed;
    row.user = id <= 3 ? "ada" : "bob";
    row.queue = id == 6 ? "speech" : "vision";
    row.name = id == 4 ? "llm" : "digits";
    row.array = {id <= 2 ? 1u : 0u};
    all.jobs.push_back(row);
  }
  commit(all);
  using Ids = std::vector<std::uint64_t>;
  EXPECT_EQ(job_ids({}), (Ids{6, 5, 4, 3, 2, 1}));
  EXPECT_EQ(job_ids({.states = {model::JobState::kQueued}}), (Ids{6, 4, 2}));
  EXPECT_EQ(job_ids({.states = {model::JobState::kQueued, model::JobState::kFailed}, .user = "ada"}), (Ids{3, 2, 1}));
  EXPECT_EQ(job_ids({.queue = "speech"}), (Ids{6}));
  EXPECT_EQ(job_ids({.name = "llm"}), (Ids{4}));
  EXPECT_EQ(job_ids({.array = {1}}), (Ids{2, 1}));
  EXPECT_EQ(job_ids({.before = {4}, .limit = 2}), (Ids{3, 2}));
  EXPECT_EQ(job_ids({.states = {model::JobState::kRunning}}), (Ids{}));
}

TEST_P(StoreContract, ListsAttemptsThatAreOpen) {
  commit({.attempts = {{.id = {{2}, 1}, .is_over = true}, {.id = {{2}, 2}}, {.id = {{1}, 1}}}});
  const auto open = store_->open_attempts().value();
  ASSERT_EQ(open.size(), 2u);
  EXPECT_EQ(open[0].id, (model::AttemptId{{1}, 1}));
  EXPECT_EQ(open[1].id, (model::AttemptId{{2}, 2}));
  EXPECT_EQ(store_->attempts({2}).value().size(), 2u);
}

TEST_P(StoreContract, PagesThroughEvents) {
  Transaction all;
  for (std::uint64_t id = 1; id <= 5; ++id) all.events.push_back({.id = id, .job = {id % 2}, .kind = "k"});
  commit(all);
  const auto page = store_->events({}, 2, 2).value();
  ASSERT_EQ(page.size(), 2u);
  EXPECT_EQ(page[0].id, 3u);
  EXPECT_EQ(page[1].id, 4u);
  const auto of_job = store_->events({1}, 1, 10).value();
  ASSERT_EQ(of_job.size(), 2u);
  EXPECT_EQ(of_job[1].id, 5u);
}

TEST_P(StoreContract, KeepsTheTwoNewestSnapshots) {
  for (std::uint64_t n = 1; n <= 3; ++n) commit({.snapshot = "s" + std::to_string(n), .snapshot_sequence = n});
  EXPECT_EQ(store_->latest_snapshot().value()->sequence, 3u);
  EXPECT_EQ(store_->latest_snapshot().value()->bytes, "s3");
}

TEST_P(StoreContract, ReadsManyFramesInOrderAndStopsOnError) {
  constexpr std::uint64_t kFrames = 1'000;
  Transaction all;
  for (std::uint64_t n = 1; n <= kFrames; ++n) all.frames.push_back({n, "frame " + std::to_string(n)});
  commit(all);
  std::uint64_t expected = 100;
  ASSERT_TRUE(store_->read_frames(100, [&](std::uint64_t sequence, std::string_view bytes) -> Result<void> {
    EXPECT_EQ(sequence, ++expected);
    EXPECT_EQ(bytes, "frame " + std::to_string(sequence));
    // The store may be used from within.
    EXPECT_TRUE(store_->job({1}));
    return {};
  }));
  EXPECT_EQ(expected, kFrames);
  const auto stopped = store_->read_frames(0, [](std::uint64_t sequence, std::string_view) -> Result<void> {
    if (sequence == 3) return make_error(ErrorCode::kCancelled, "enough");
    return {};
  });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().message, "enough");
}

TEST_P(StoreContract, TakesAnyBytesAsText) {
  JobRow row = job_row(1);
  row.name = "quote ' and \" and ; DROP TABLE jobs; --";
  row.spec_json = std::string("nul\0inside", 10);
  commit({.jobs = {row}});
  EXPECT_TRUE(same_job(store_->job({1}).value().value(), row));
  EXPECT_EQ(job_ids({.name = row.name}).size(), 1u);
}

}  // namespace busbar::store
