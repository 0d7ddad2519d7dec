#include "control/retention.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>

#include "engine/fake_engine.h"
#include "os/test_dir.h"
#include "store/sqlite/sqlite_store.h"

namespace busbar::control {
namespace {

constexpr TimeMs kNow = 1'700'000'000'000;
constexpr std::int64_t kHourMs = 3'600'000;

std::vector<std::uint64_t> ids(const std::vector<ExpiredFiles>& expired) {
  std::vector<std::uint64_t> numbers;
  for (const ExpiredFiles& one : expired) numbers.push_back(one.job.value);
  return numbers;
}

/// Job 1 ended ten hours ago, job 10 one hour ago; each has 100 bytes.
std::vector<EndedFiles> ten_jobs() {
  std::vector<EndedFiles> jobs;
  for (std::uint64_t i = 1; i <= 10; ++i) {
    jobs.push_back({.job = {i}, .ended_ms = kNow - static_cast<TimeMs>(11 - i) * kHourMs, .bytes = 100});
  }
  return jobs;
}

using Numbers = std::vector<std::uint64_t>;

TEST(ExpiredFiles, WithoutLimitsEverythingStays) {
  EXPECT_TRUE(expired_files(ten_jobs(), {}, kNow).empty());
}

TEST(ExpiredFiles, EachLimitTakesTheOldestFirst) {
  EXPECT_EQ(ids(expired_files(ten_jobs(), {.jobs = 7}, kNow)), (Numbers{1, 2, 3}));
  EXPECT_EQ(ids(expired_files(ten_jobs(), {.age_ms = 8 * kHourMs}, kNow)), (Numbers{1, 2}));
  EXPECT_EQ(ids(expired_files(ten_jobs(), {.bytes = 650}, kNow)), (Numbers{1, 2, 3, 4}));
  EXPECT_EQ(ids(expired_files(ten_jobs(), {.jobs = 9, .age_ms = 8 * kHourMs, .bytes = 1000}, kNow)), (Numbers{1, 2}));
}

TEST(ExpiredFiles, SaysWhichSettingItWas) {
  EXPECT_NE(expired_files(ten_jobs(), {.jobs = 9}, kNow).front().reason.find("keep_ended_jobs"), std::string::npos);
  EXPECT_NE(expired_files(ten_jobs(), {.age_ms = 9 * kHourMs}, kNow).front().reason.find("keep_ended_age"),
            std::string::npos);
  EXPECT_NE(expired_files(ten_jobs(), {.bytes = 900}, kNow).front().reason.find("keep_ended_size"), std::string::npos);
}

TEST(ExpiredFiles, TheLastJobKeepsItsFilesHoweverBigTheyAre) {
  std::vector<EndedFiles> jobs = ten_jobs();
  jobs.back().bytes = 1'000'000;
  EXPECT_EQ(ids(expired_files(jobs, {.bytes = 1000}, kNow)).size(), 9U);
}

TEST(ExpiredFiles, ABigOldJobDoesNotTakeSmallOlderOnesWithIt) {
  std::vector<EndedFiles> jobs = ten_jobs();
  jobs[8].bytes = 1'000'000;
  EXPECT_EQ(ids(expired_files(jobs, {.bytes = 900}, kNow)), (Numbers{9}));
}

/// Attempts on the fake machine and rows in a real store.
class RetentionTest : public testing::Test {
 protected:
  void SetUp() override {
    auto store = store::open_sqlite_store({.path = dir_.path() + "/busbar.db", .is_synchronous_full = false});
    ASSERT_TRUE(store.has_value()) << store.error().to_string();
    store_ = *std::move(store);
    ASSERT_TRUE(engine_.adopt({}, [this](const engine::Fact& fact) {
      if (std::holds_alternative<engine::AttemptGone>(fact.body)) tell([this] { ++gone_; });
    }));
  }

  /// An attempt that has run; its job is over if `ended_ms` is not 0. The job's row is there before its attempt is, as
  /// in the server.
  void leave(std::uint64_t job, std::uint32_t attempt, TimeMs ended_ms) {
    put_row(job, 0);
    engine::AttemptLaunch launch{.id = {{job}, attempt}, .job_name = "j"};
    launch.tasks.push_back({.rank = 0, .argv = {"/bin/sh", "-c", "echo hello; exit 0"}});
    const int before = gone_;
    ASSERT_TRUE(engine_.start(launch).has_value());
    ASSERT_TRUE(engine_.release(launch.id).has_value());
    ASSERT_TRUE(wait([&] { return gone_ > before; }));
    put_row(job, ended_ms);
  }

  void put_row(std::uint64_t job, TimeMs ended_ms) {
    store::Transaction transaction;
    transaction.jobs.push_back({.id = {job},
                                .name = "j",
                                .user = "ada",
                                .queue = "default",
                                .state = ended_ms == 0 ? model::JobState::kRunning : model::JobState::kSucceeded,
                                .submitted_ms = 1,
                                .ended_ms = ended_ms,
                                .spec_json = "{}",
                                .status_json = "{}"});
    ASSERT_TRUE(store_->commit(transaction).has_value());
  }

  std::unique_ptr<Retention> start(RetentionLimits limits) {
    return std::make_unique<Retention>(Retention::Dependencies{.engine = engine_,
                                                               .store = *store_,
                                                               .clock = clock_,
                                                               .metrics = metrics_,
                                                               .on_deleted =
                                                                   [this](model::JobId job, const std::string&) {
                                                                     tell([this, job] { deleted_.insert(job.value); });
                                                                   }},
                                       limits);
  }

  void tell(const std::function<void()>& change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  bool wait(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), condition);
  }

  os::TestDir dir_;
  FakeClock clock_{kNow};
  Metrics metrics_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int gone_ = 0;
  std::set<std::uint64_t> deleted_;
  std::unique_ptr<store::Store> store_;
  engine::FakeEngine engine_{std::make_shared<engine::FakeMachine>(), clock_};
};

TEST_F(RetentionTest, DeletesAllAttemptsOfWhatIsOverAndNothingOfWhatIsNot) {
  leave(1, 1, kNow - 3 * kHourMs);
  leave(1, 2, kNow - 3 * kHourMs);
  leave(2, 1, 0);  // a job that is being restarted
  leave(3, 1, kNow - kHourMs);
  const auto retention = start({.jobs = 1});
  EXPECT_TRUE(wait([this] { return deleted_ == std::set<std::uint64_t>{1}; }));
  retention->stop();
  EXPECT_EQ(engine_.kept().value(), (std::vector<model::AttemptId>{{{2}, 1}, {{3}, 1}}));
  EXPECT_NE(metrics_.render().find("busbar_control_kept_jobs 1\n"), std::string::npos) << metrics_.render();
  EXPECT_NE(metrics_.render().find("busbar_control_forgotten_jobs_total 1\n"), std::string::npos);
}

TEST_F(RetentionTest, LooksAgainWhenAJobHasEnded) {
  const auto retention = start({.jobs = 1});
  leave(1, 1, kNow - 2 * kHourMs);
  leave(2, 1, kNow - kHourMs);
  retention->wake();
  EXPECT_TRUE(wait([this] { return deleted_ == std::set<std::uint64_t>{1}; }));
}

TEST_F(RetentionTest, FinishesInTheNextLifeWhatACrashCutShort) {
  leave(1, 1, kNow - 3 * kHourMs);
  leave(1, 2, kNow - 3 * kHourMs);
  leave(2, 1, kNow - kHourMs);
  ASSERT_TRUE(engine_.forget({{1}, 1}).has_value());  // and then the power failed
  const auto retention = start({.jobs = 1});
  EXPECT_TRUE(wait([this] { return deleted_ == std::set<std::uint64_t>{1}; }));
  EXPECT_EQ(engine_.kept().value(), (std::vector<model::AttemptId>{{{2}, 1}}));
}

}  // namespace
}  // namespace busbar::control
