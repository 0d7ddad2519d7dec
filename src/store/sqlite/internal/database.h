#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace busbar::store {

/// One use of a prepared statement: bind, step, read columns. Borrows the statement of its Database and resets it at
/// the end, so that no read transaction stays open behind it. Text and blobs are bound without a copy: they must
/// outlive the query. A failed bind is kept and comes out of the next `step`.
class Query {
 public:
  explicit Query(sqlite3_stmt* statement) : statement_(statement) {}
  Query(Query&& other) noexcept;
  Query& operator=(Query&&) = delete;
  ~Query();

  Query& integer(std::int64_t value);
  Query& integer(std::uint64_t value) { return integer(static_cast<std::int64_t>(value)); }
  Query& text(std::string_view value);
  Query& blob(std::string_view value);

  /// True: a row can be read. False: done.
  Result<bool> step();
  /// For statements that give no rows.
  Result<void> run();

  std::int64_t integer_at(int column) const;
  std::uint64_t unsigned_at(int column) const { return static_cast<std::uint64_t>(integer_at(column)); }
  std::string bytes_at(int column) const;
  bool is_null_at(int column) const;

 private:
  sqlite3_stmt* statement_;
  int bound_ = 0;
  int bind_result_ = SQLITE_OK;
};

/// One connection with its cache of prepared statements. Not thread-safe: its owner guards it.
class Database {
 public:
  enum class Mode { kReadOnly, kReadWrite, kCreate };

  struct Options {
    std::string path = {};
    Mode mode = Mode::kReadWrite;
    std::int64_t busy_timeout_ms = 5'000;
  };
  static Result<Database> open(const Options& options);

  /// Runs statements that give no rows; for schema and transactions.
  Result<void> execute(const std::string& sql);
  /// A prepared statement, from the cache if the same text was used before. One Query of a text at a time.
  Result<Query> query(const std::string& sql);
  Result<std::int64_t> read_integer(const std::string& sql);
  /// The first column of all rows.
  Result<std::vector<std::string>> read_texts(const std::string& sql);
  bool is_in_transaction() const { return sqlite3_get_autocommit(handle_.get()) == 0; }

 private:
  struct CloseHandle {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };
  struct FinalizeStatement {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  explicit Database(std::unique_ptr<sqlite3, CloseHandle> handle) : handle_(std::move(handle)) {}

  std::unique_ptr<sqlite3, CloseHandle> handle_;
  std::map<std::string, std::unique_ptr<sqlite3_stmt, FinalizeStatement>, std::less<>> statements_ = {};
};

/// BEGIN IMMEDIATE; rolled back at the end of the scope unless `commit` succeeded. Borrows the database.
class DatabaseTransaction {
 public:
  static Result<DatabaseTransaction> begin(Database& database);
  DatabaseTransaction(DatabaseTransaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  DatabaseTransaction& operator=(DatabaseTransaction&&) = delete;
  ~DatabaseTransaction();

  Result<void> commit();

 private:
  explicit DatabaseTransaction(Database& database) : database_(&database) {}
  Database* database_;
};

/// The last failure of a connection, with SQLite's text and our code.
Error database_error(sqlite3* handle, int result_code);

}  // namespace busbar::store
