#include <gtest/gtest.h>

#include "store/sqlite/internal/schema.h"
#include "store/sqlite/test_support.h"

namespace busbar::store {

namespace {

struct Scene {
  TemporaryDirectory directory;
  std::string path = directory.file("busbar.db");
  std::string backup = directory.file("backup.db");

  /// A database with 3 steps, a backup of its first 2.
  Scene() {
    const auto store = open_store(path);
    EXPECT_TRUE(store->commit({.frames = {{1, "a"}, {2, "b"}}}));
    EXPECT_TRUE(store->backup(backup));
    EXPECT_TRUE(store->commit({.frames = {{3, "c"}}}));
  }
  std::string kept_database() const {
    for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("busbar.db.before-restore-") && !name.ends_with("-wal")) return entry.path().string();
    }
    return {};
  }
};

TEST(Restore, PutsTheBackupInPlaceAndKeepsTheOldDatabase) {
  const Scene scene;
  const auto done = restore_sqlite_store(scene.backup, scene.path);
  ASSERT_TRUE(done) << done.error().to_string();
  EXPECT_EQ(open_store(scene.path)->last_sequence().value(), 2u);
  ASSERT_FALSE(scene.kept_database().empty());
  EXPECT_EQ(open_store(scene.kept_database())->last_sequence().value(), 3u);
}

TEST(Restore, BringsADamagedDatabaseBack) {
  const Scene scene;
  write_file(scene.path, "rubbish that is no database, long enough to have a header " + std::string(200, '.'));
  ASSERT_FALSE(open_sqlite_store({.path = scene.path}));
  ASSERT_TRUE(restore_sqlite_store(scene.backup, scene.path));
  EXPECT_EQ(open_store(scene.path)->last_sequence().value(), 2u);
}

TEST(Restore, WorksWhereThereIsNoDatabaseYet) {
  const Scene scene;
  const std::string other = scene.directory.file("other.db");
  ASSERT_TRUE(restore_sqlite_store(scene.backup, other));
  EXPECT_EQ(open_store(other)->last_sequence().value(), 2u);
}

TEST(Restore, KeepsWhatACrashedServerHadInItsLog) {
  const Scene scene;
  // A server that was killed leaves its log behind; copying both files while it is open gives the same picture.
  const std::string crashed = scene.directory.file("crashed.db");
  {
    const auto store = open_store(scene.path);
    ASSERT_TRUE(store->commit({.frames = {{4, "d"}}}));
    std::filesystem::copy_file(scene.path, crashed);
    std::filesystem::copy_file(scene.path + "-wal", crashed + "-wal");
  }
  ASSERT_TRUE(restore_sqlite_store(scene.backup, crashed));
  EXPECT_EQ(open_store(crashed)->last_sequence().value(), 2u);
  for (const auto& entry : std::filesystem::directory_iterator(scene.directory.path())) {
    const std::string name = entry.path().string();
    if (name.find("crashed.db.before-restore-") == std::string::npos || name.ends_with("-wal")) continue;
    // And the one set aside may itself be restored, with its log.
    const std::string third = scene.directory.file("third.db");
    const auto done = restore_sqlite_store(name, third);
    ASSERT_TRUE(done) << done.error().to_string();
    EXPECT_EQ(open_store(third)->last_sequence().value(), 4u);
    return;
  }
  FAIL() << "the crashed database was not kept";
}

TEST(Restore, RefusesWhileAServerHasTheDatabaseOpen) {
  const Scene scene;
  const auto server = open_store(scene.path);
  const auto refused = restore_sqlite_store(scene.backup, scene.path);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(server->last_sequence().value(), 3u);
}

TEST(Restore, RefusesABackupThatDoesNotVerify) {
  const Scene scene;
  std::string bytes = read_file(scene.backup);
  bytes.replace(bytes.size() / 2, 4'096, std::string(4'096, '\xee'));
  write_file(scene.backup, bytes);
  const auto refused = restore_sqlite_store(scene.backup, scene.path);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kDataCorrupt) << refused.error().to_string();
  EXPECT_EQ(open_store(scene.path)->last_sequence().value(), 3u);
}

TEST(Restore, RefusesFilesThatAreNoBackups) {
  const Scene scene;
  EXPECT_EQ(restore_sqlite_store(scene.directory.file("none"), scene.path).error().code, ErrorCode::kNotFound);
  write_file(scene.directory.file("empty"), "");
  EXPECT_EQ(restore_sqlite_store(scene.directory.file("empty"), scene.path).error().code, ErrorCode::kDataCorrupt);
  EXPECT_EQ(open_store(scene.path)->last_sequence().value(), 3u);
}

TEST(Restore, AnInterruptedSwapIsRefusedUntilItIsDoneAgain) {
  const Scene scene;
  std::filesystem::copy_file(scene.backup, scene.path + ".restoring");
  const auto refused = open_sqlite_store({.path = scene.path});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_NE(refused.error().message.find("busbar restore"), std::string::npos);
  ASSERT_TRUE(restore_sqlite_store(scene.backup, scene.path));
  EXPECT_EQ(open_store(scene.path)->last_sequence().value(), 2u);
}

}  // namespace

}  // namespace busbar::store
