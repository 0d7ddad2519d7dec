#include "store/sqlite/internal/schema.h"
#include "base/test_paths.h"

#include <gtest/gtest.h>

#include <array>

#include "store/sqlite/internal/database.h"
#include "store/sqlite/test_support.h"

namespace busbar::store {

namespace {

Database open_database(const std::string& path) {
  auto database = Database::open({.path = path, .mode = Database::Mode::kCreate});
  EXPECT_TRUE(database) << database.error().to_string();
  return *std::move(database);
}

/// Builds the database of an older release from the text dump that is kept of it.
std::string load_fixture(const TemporaryDirectory& directory, const std::string& name) {
  const std::string path = directory.file("busbar.db");
  Database database = open_database(path);
  const std::string sql = read_file(std::string(BUSBAR_SOURCE_DIR) + "/src/store/sqlite/testdata/" + name);
  EXPECT_FALSE(sql.empty());
  const auto loaded = database.execute(sql);
  EXPECT_TRUE(loaded) << loaded.error().to_string();
  return path;
}

/// Every version before the newest, each with its dump.
std::vector<std::string> older_dumps() {
  std::vector<std::string> names;
  for (std::size_t version = 1; version < schema_steps().size(); ++version) {
    names.push_back("schema_" + std::to_string(version) + ".sql");
  }
  return names;
}

TEST(Schema, TakesADatabaseOfAnyOlderSchemaWithAllItsRows) {
  for (const std::string& dump : older_dumps()) {
    SCOPED_TRACE(dump);
    const TemporaryDirectory directory;
    const std::string path = load_fixture(directory, dump);
    const auto store = open_store(path);
    ASSERT_NE(store, nullptr);
    const auto job = store->job({2}).value();
    ASSERT_TRUE(job);
    EXPECT_EQ(job->name, "digits");
    EXPECT_EQ(job->state, model::JobState::kRunning);
    EXPECT_EQ(job->client_key, "k-2");
    EXPECT_EQ(store->jobs({.name = "digits"}).value().size(), 2u);
    EXPECT_EQ(store->events({2}, 0, 10).value().size(), 2u);
    EXPECT_EQ(store->open_attempts().value().size(), 1u);
    EXPECT_EQ(store->last_sequence().value(), 3u);
    EXPECT_EQ(store->latest_snapshot().value()->bytes, "snapshot-of-2");
    EXPECT_EQ(store->secrets().value().at(0).sealed, std::string("\x00\x01\xff", 3));
    EXPECT_TRUE(store->services().value().empty());
    EXPECT_TRUE(store->callers().value().empty());
    EXPECT_TRUE(store->verify());
  }
}

TEST(Schema, KeepsACopyOfTheDatabaseItMigrates) {
  for (std::size_t version = 1; version < schema_steps().size(); ++version) {
    const TemporaryDirectory directory;
    const std::string path = load_fixture(directory, older_dumps()[version - 1]);
    open_store(path);
    Database copy = open_database(path + ".before-schema-" + std::to_string(schema_steps().size()));
    EXPECT_EQ(copy.read_integer("PRAGMA user_version").value(), static_cast<std::int64_t>(version));
    EXPECT_EQ(copy.read_integer("SELECT count(*) FROM jobs").value(), 2);
  }
}

TEST(Schema, MigratedAndNewDatabasesHaveTheSameSchema) {
  for (const std::string& dump : older_dumps()) {
    SCOPED_TRACE(dump);
    const TemporaryDirectory directory;
    const std::string migrated = load_fixture(directory, dump);
    const std::string fresh = directory.file("fresh.db");
    open_store(migrated);
    open_store(fresh);
    const std::string sql = "SELECT name || ': ' || sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    Database first = open_database(migrated);
    Database second = open_database(fresh);
    EXPECT_EQ(first.read_texts(sql).value(), second.read_texts(sql).value());
  }
}

TEST(Schema, RefusesADatabaseOfANewerBuild) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("busbar.db");
  open_store(path);
  ASSERT_TRUE(open_database(path).execute("PRAGMA user_version = 999"));
  const auto refused = open_sqlite_store({.path = path});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(refused.error().message.find("schema 999"), std::string::npos) << refused.error().message;
}

TEST(Schema, RefusesADatabaseOfAnotherProgram) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("busbar.db");
  ASSERT_TRUE(open_database(path).execute("CREATE TABLE bookmarks (url TEXT)"));
  const auto refused = open_sqlite_store({.path = path});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  Database untouched = open_database(path);
  EXPECT_EQ(untouched.read_integer("SELECT count(*) FROM sqlite_schema").value(), 1);
}

TEST(Schema, AFailedStepLeavesTheVersionBeforeIt) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("steps.db");
  constexpr std::array kSteps = {
      SchemaStep{.name = "one", .sql = "CREATE TABLE a (x);"},
      SchemaStep{.name = "two", .sql = "CREATE TABLE b (x); INSERT INTO missing VALUES (1);"},
  };
  Database database = open_database(path);
  const auto failed = migrate_schema(database, path, kSteps);
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("schema 2 (two)"), std::string::npos) << failed.error().message;
  EXPECT_EQ(database.read_integer("PRAGMA user_version").value(), 1);
  EXPECT_EQ(database.read_integer("SELECT count(*) FROM sqlite_schema WHERE name = 'b'").value(), 0);
}

}  // namespace

}  // namespace busbar::store
