#include "store/sqlite/internal/database.h"

#include <cerrno>
#include <cstring>
#include <functional>

namespace busbar::store {

namespace {

constexpr std::string_view kRestoreHint = "put a backup in its place with `busbar restore`";

ErrorCode code_of(int primary, int system_errno) {
  switch (primary) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_INTERRUPT:
      return ErrorCode::kUnavailable;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return ErrorCode::kResourceExhausted;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      // The index of the write-ahead log and new files report a full disk this way.
      if (system_errno == ENOSPC || system_errno == EDQUOT) return ErrorCode::kResourceExhausted;
      if (system_errno == EACCES || system_errno == EPERM || system_errno == EROFS) return ErrorCode::kPermissionDenied;
      if (system_errno == ENOENT) return ErrorCode::kNotFound;
      return ErrorCode::kInternal;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ErrorCode::kDataCorrupt;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return ErrorCode::kPermissionDenied;
    case SQLITE_CONSTRAINT:
      return ErrorCode::kAlreadyExists;
    case SQLITE_TOOBIG:
      return ErrorCode::kInvalidArgument;
    default:
      return ErrorCode::kInternal;
  }
}

}  // namespace

Error database_error(sqlite3* handle, int result_code) {
  const int system_errno = handle != nullptr ? sqlite3_system_errno(handle) : 0;
  const ErrorCode code = code_of(result_code & 0xff, system_errno);
  const char* file = handle != nullptr ? sqlite3_db_filename(handle, "main") : nullptr;
  std::string message = "database \"" + std::string(file != nullptr ? file : "") + "\": ";
  message += handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(result_code);
  if (code == ErrorCode::kResourceExhausted) message += "; nothing was changed, free some space on its file system";
  if (code == ErrorCode::kDataCorrupt) message.append("; ").append(kRestoreHint);
  Error error{.code = code, .message = std::move(message)};
  if (system_errno != 0 && code != ErrorCode::kAlreadyExists) error.cause = std::strerror(system_errno);
  error.is_retryable = code == ErrorCode::kUnavailable || code == ErrorCode::kResourceExhausted;
  return error;
}

Query::Query(Query&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)), bound_(other.bound_), bind_result_(other.bind_result_) {}

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Query& Query::integer(std::int64_t value) {
  const int result = sqlite3_bind_int64(statement_, ++bound_, value);
  if (bind_result_ == SQLITE_OK) bind_result_ = result;
  return *this;
}

Query& Query::text(std::string_view value) {
  // A null pointer would bind NULL; an empty text is meant.
  const char* data = value.data() != nullptr ? value.data() : "";
  const int result = sqlite3_bind_text64(statement_, ++bound_, data, value.size(), SQLITE_STATIC, SQLITE_UTF8);
  if (bind_result_ == SQLITE_OK) bind_result_ = result;
  return *this;
}

Query& Query::blob(std::string_view value) {
  const char* data = value.data() != nullptr ? value.data() : "";
  const int result = sqlite3_bind_blob64(statement_, ++bound_, data, value.size(), SQLITE_STATIC);
  if (bind_result_ == SQLITE_OK) bind_result_ = result;
  return *this;
}

Result<bool> Query::step() {
  sqlite3* handle = sqlite3_db_handle(statement_);
  if (bind_result_ != SQLITE_OK) return tl::unexpected<Error>(database_error(handle, bind_result_));
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return tl::unexpected<Error>(database_error(handle, result));
}

Result<void> Query::run() {
  TRY(step());
  return {};
}

std::int64_t Query::integer_at(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string Query::bytes_at(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data != nullptr ? std::string(static_cast<const char*>(data), static_cast<std::size_t>(size)) : std::string();
}

bool Query::is_null_at(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Result<Database> Database::open(const Options& options) {
  // NOMUTEX: each connection has one user at a time, its owner's mutex sees to that.
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (options.mode == Mode::kReadOnly) flags |= SQLITE_OPEN_READONLY;
  if (options.mode == Mode::kReadWrite) flags |= SQLITE_OPEN_READWRITE;
  if (options.mode == Mode::kCreate) flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  sqlite3* raw = nullptr;
  const int result = sqlite3_open_v2(options.path.c_str(), &raw, flags, nullptr);
  std::unique_ptr<sqlite3, CloseHandle> handle(raw);
  if (result != SQLITE_OK) {
    Error error = database_error(handle.get(), result);
    return with_context("cannot open database \"" + options.path + "\"", error);
  }
  sqlite3_busy_timeout(handle.get(), static_cast<int>(options.busy_timeout_ms));
  return Database(std::move(handle));
}

Result<void> Database::execute(const std::string& sql) {
  const int result = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (result != SQLITE_OK) return tl::unexpected<Error>(database_error(handle_.get(), result));
  return {};
}

Result<Query> Database::query(const std::string& sql) {
  const auto known = statements_.find(sql);
  if (known != statements_.end()) return Query(known->second.get());
  sqlite3_stmt* raw = nullptr;
  const int result = sqlite3_prepare_v3(handle_.get(), sql.c_str(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  std::unique_ptr<sqlite3_stmt, FinalizeStatement> statement(raw);
  if (result != SQLITE_OK) return tl::unexpected<Error>(database_error(handle_.get(), result));
  return Query(statements_.emplace(sql, std::move(statement)).first->second.get());
}

Result<std::int64_t> Database::read_integer(const std::string& sql) {
  TRY_ASSIGN(Query row, query(sql));
  TRY_ASSIGN(const bool has_row, row.step());
  return has_row ? row.integer_at(0) : 0;
}

Result<std::vector<std::string>> Database::read_texts(const std::string& sql) {
  TRY_ASSIGN(Query row, query(sql));
  std::vector<std::string> texts;
  while (true) {
    TRY_ASSIGN(const bool has_row, row.step());
    if (!has_row) return texts;
    texts.push_back(row.bytes_at(0));
  }
}

Result<DatabaseTransaction> DatabaseTransaction::begin(Database& database) {
  TRY_ASSIGN(Query begin, database.query("BEGIN IMMEDIATE"));
  TRY(begin.run());
  return DatabaseTransaction(database);
}

DatabaseTransaction::~DatabaseTransaction() {
  // SQLite rolls back by itself on some errors (disk full among them); a second ROLLBACK would be one more error.
  if (database_ == nullptr || !database_->is_in_transaction()) return;
  auto rollback = database_->query("ROLLBACK");
  // Nothing can be done about a failure here: the next BEGIN reports it.
  if (rollback) static_cast<void>(rollback->run());
}

Result<void> DatabaseTransaction::commit() {
  TRY_ASSIGN(Query commit, database_->query("COMMIT"));
  return commit.run();
}

}  // namespace busbar::store
