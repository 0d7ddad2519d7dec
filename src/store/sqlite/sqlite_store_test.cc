#include "store/sqlite/sqlite_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <thread>

#include "store/contract_tests.h"
#include "store/sqlite/test_support.h"

namespace busbar::store {

namespace {

class SqliteHarness final : public StoreHarness {
 public:
  std::unique_ptr<Store> open() override { return open_store(directory_.file("busbar.db")); }

 private:
  TemporaryDirectory directory_;
};

std::unique_ptr<StoreHarness> make_sqlite_harness() {
  return std::make_unique<SqliteHarness>();
}

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract, testing::Values(&make_sqlite_harness));

TEST(SqliteStore, RefusesASecondServerOnOneDatabase) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("busbar.db");
  auto first = open_store(path);
  const auto second = open_sqlite_store({.path = path});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_NE(second.error().message.find("process " + std::to_string(getpid())), std::string::npos)
      << second.error().message;
  first.reset();
  EXPECT_TRUE(open_sqlite_store({.path = path}));
}

TEST(SqliteStore, WaitsForAChildThatAKilledServerLeftBeforeItsExec) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("busbar.db");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t server = fork();
  ASSERT_GE(server, 0);
  if (server == 0) {
    const auto store = open_sqlite_store({.path = path});
    // The grandchild has the lock's descriptor, and lets it go only when the test has read from the pipe.
    if (fork() == 0) {
      close(ends[0]);
      const std::string filler(1 << 17, 'x');
      static_cast<void>(write(ends[1], filler.data(), filler.size()));
      _exit(0);
    }
    kill(getpid(), SIGKILL);
  }
  close(ends[1]);
  ASSERT_EQ(waitpid(server, nullptr, 0), server);
  std::thread reader([&] {
    char bytes[4'096];
    while (read(ends[0], bytes, sizeof bytes) > 0) {
    }
  });
  const auto store = open_sqlite_store({.path = path});
  EXPECT_TRUE(store) << store.error().to_string();
  reader.join();
  close(ends[0]);
}

TEST(SqliteStore, LetsNobodyElseReadItsFiles) {
  const TemporaryDirectory directory;
  const auto store = open_store(directory.file("busbar.db"));
  ASSERT_TRUE(store->commit({.meta = {{"a", "b"}}}));
  ASSERT_TRUE(store->backup(directory.file("backup.db")));
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    struct stat status{};
    ASSERT_EQ(stat(entry.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u) << entry.path();
  }
}

TEST(SqliteStore, SaysWhichDirectoryIsMissing) {
  const TemporaryDirectory directory;
  const auto store = open_sqlite_store({.path = directory.file("no/such/busbar.db")});
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::kNotFound);
  EXPECT_NE(store.error().message.find("no/such/busbar.db"), std::string::npos);
}

TEST(SqliteStore, AnswersReadersWhileItWrites) {
  const TemporaryDirectory directory;
  const auto store = open_store(directory.file("busbar.db"));
  constexpr std::uint64_t kSteps = 300;
  std::atomic<bool> is_done = false;
  std::atomic<int> torn = 0;
  const auto read = [&] {
    std::uint64_t last = 0;
    while (!is_done || last < kSteps) {
      const auto sequence = store->last_sequence();
      if (!sequence || *sequence < last) ++torn;
      last = sequence.value_or(last);
      // A step's job is there as soon as its frame is.
      if (last > 0 && !store->job({last}).value()) ++torn;
    }
  };
  std::thread first(read);
  std::thread second(read);
  for (std::uint64_t n = 1; n <= kSteps; ++n) {
    EXPECT_TRUE(store->commit({.frames = {{n, "frame"}}, .jobs = {{.id = {n}}}}));
  }
  is_done = true;
  first.join();
  second.join();
  EXPECT_EQ(torn, 0);
}

TEST(SqliteStore, BacksUpAConsistentCopyWhileItWrites) {
  const TemporaryDirectory directory;
  const auto store = open_store(directory.file("busbar.db"));
  std::atomic<bool> is_done = false;
  std::atomic<std::uint64_t> written = 0;
  std::thread writer([&] {
    for (std::uint64_t n = 1; !is_done; ++n) {
      EXPECT_TRUE(store->commit({.frames = {{n, std::string(2'000, 'x')}}, .jobs = {{.id = {n}}}}));
      written = n;
      written.notify_all();
    }
  });
  written.wait(0);
  for (int i = 0; i < 5; ++i) {
    const std::uint64_t before = written;
    const std::string path = directory.file("backup-" + std::to_string(i) + ".db");
    ASSERT_TRUE(store->backup(path));
    const auto copy = open_store(path);
    const std::uint64_t last = copy->last_sequence().value();
    EXPECT_GE(last, before);
    EXPECT_EQ(copy->last_job_id().value().value, last);
    EXPECT_TRUE(copy->verify());
  }
  is_done = true;
  writer.join();
}

TEST(SqliteStore, NeverReplacesAFileByABackup) {
  const TemporaryDirectory directory;
  const auto store = open_store(directory.file("busbar.db"));
  write_file(directory.file("precious"), "not a backup");
  const auto refused = store->backup(directory.file("precious"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(read_file(directory.file("precious")), "not a backup");
}

TEST(SqliteStore, RefusesADamagedDatabaseAndNamesTheWayOut) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("busbar.db");
  {
    const auto store = open_store(path);
    Transaction all;
    for (std::uint64_t n = 1; n <= 200; ++n) all.frames.push_back({n, std::string(500, 'x')});
    ASSERT_TRUE(store->commit(all));
  }
  const std::string good = read_file(path);
  struct Case {
    const char* name;
    std::string bytes;
  };
  std::string torn_page = good;
  torn_page.replace(good.size() / 2, 8'192, std::string(8'192, '\xee'));
  const Case cases[] = {
      {"not a database at all", "this is a text file, and a long one: " + std::string(4'096, '.')},
      {"cut in the middle", good.substr(0, good.size() / 2)},
      {"pages overwritten", torn_page},
  };
  for (const auto& item : cases) {
    SCOPED_TRACE(item.name);
    write_file(path, item.bytes);
    const auto store = open_sqlite_store({.path = path});
    ASSERT_FALSE(store);
    EXPECT_EQ(store.error().code, ErrorCode::kDataCorrupt) << store.error().to_string();
    EXPECT_NE(store.error().message.find("busbar restore"), std::string::npos) << store.error().to_string();
    EXPECT_EQ(read_file(path), item.bytes);
  }
}

TEST(SqliteStore, VerifyFindsAGapInTheJournal) {
  const TemporaryDirectory directory;
  const auto store = open_store(directory.file("busbar.db"));
  ASSERT_TRUE(store->commit({.frames = {{1, "a"}, {2, "b"}, {4, "d"}}}));
  const auto result = store->verify();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kDataCorrupt);
  EXPECT_NE(result.error().cause.find("1 journal records are missing"), std::string::npos) << result.error().cause;
}

}  // namespace

}  // namespace busbar::store
