#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "net/http.h"

namespace busbar::control {

/// Tells who sends a request, by its bearer token. Two files in the state directory:
/// - `token`: the token of the server's own user, the administrator. Made at first start, mode 0600.
/// - `users`, optional: one `NAME:SHA256-OF-TOKEN-IN-HEX` a line, `#` comments. Tokens are random, so a plain hash is
///   enough at rest (a slow hash is for passwords that people think up).
/// Headers that claim a user are not believed. Immutable once open, so thread-safe; it is read again at the next start.
class TokenAuth {
 public:
  /// kPermissionDenied when a file could be read (the token) or changed (both) by other users of the machine, with the
  /// chmod to run; kInvalidArgument, with the line, for a malformed `users`.
  static Result<TokenAuth> open(const std::string& state_dir, Random& random);

  /// The user's name. kUnauthenticated without a token or with one that nobody has. Takes as long whoever it is.
  Result<std::string> authenticate(const net::HttpRequest& request) const;

  /// The path for the client to read; goes into server.json.
  const std::string& token_path() const { return token_path_; }
  /// Of the user that this process runs as: "root".
  const std::string& own_user() const { return own_user_; }

 private:
  struct User {
    std::string name = {};
    std::string token_sha256 = {};  ///< 64 lower-case hex digits.
  };

  TokenAuth() = default;
  Result<void> read_users(const std::string& path);

  std::string token_path_;
  std::string own_user_;
  std::vector<User> users_;
};

/// The login name of the effective user; "uid-1234" for one without a name.
std::string process_user_name();

}  // namespace busbar::control
