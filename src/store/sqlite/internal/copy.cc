#include "store/sqlite/internal/copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace busbar::store {

namespace {

class File {
 public:
  File(const std::string& path, int flags) : number_(open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (number_ >= 0) close(number_);
  }
  int number() const { return number_; }

 private:
  int number_;
};

Result<void> sync_path(const std::string& path, int flags) {
  const File file(path, flags);
  if (file.number() < 0) return tl::unexpected<Error>(file_error("cannot open", path, errno));
  if (fsync(file.number()) != 0) return tl::unexpected<Error>(file_error("cannot sync", path, errno));
  return {};
}

std::string sql_quote(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += '\'';
    quoted += c;
  }
  return quoted + "'";
}

}  // namespace

Error file_error(std::string_view what, const std::string& path, int system_errno) {
  ErrorCode code = ErrorCode::kInternal;
  if (system_errno == ENOENT) code = ErrorCode::kNotFound;
  if (system_errno == EEXIST) code = ErrorCode::kAlreadyExists;
  if (system_errno == EACCES || system_errno == EPERM || system_errno == EROFS) code = ErrorCode::kPermissionDenied;
  if (system_errno == ENOSPC || system_errno == EDQUOT) code = ErrorCode::kResourceExhausted;
  return Error{.code = code, .message = std::string(what) + " \"" + path + "\"", .cause = std::strerror(system_errno)};
}

Result<void> sync_file(const std::string& path) {
  return sync_path(path, O_RDONLY);
}

Result<void> sync_directory_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return sync_path(parent.empty() ? "." : parent, O_RDONLY | O_DIRECTORY);
}

Result<void> copy_database(Database& source, const std::string& target) {
  if (access(target.c_str(), F_OK) == 0) {
    return make_error(ErrorCode::kAlreadyExists, "\"" + target + "\" exists already; name a new file");
  }
  const std::string partial = target + ".partial";
  unlink(partial.c_str());
  {
    // Made by us first, so that nobody else may read what will be in it; SQLite accepts an empty file.
    const File file(partial, O_WRONLY | O_CREAT | O_EXCL);
    if (file.number() < 0) return tl::unexpected<Error>(file_error("cannot make", partial, errno));
  }
  auto copied = source.execute("VACUUM INTO " + sql_quote(partial));
  if (copied) copied = sync_file(partial);
  // link, not rename: it fails where another backup took the name meanwhile.
  if (copied && link(partial.c_str(), target.c_str()) != 0) {
    copied = tl::unexpected<Error>(file_error("cannot make", target, errno));
  }
  unlink(partial.c_str());
  if (!copied) return with_context("cannot copy the database to \"" + target + "\"", copied.error());
  return sync_directory_of(target);
}

}  // namespace busbar::store
