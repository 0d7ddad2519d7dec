#include "control/auth.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "control/internal/private_file.h"
#include "model/cluster.h"
#include "os/crypto/crypto.h"
#include "os/files.h"

namespace busbar::control {
namespace {

constexpr std::size_t kTokenBytes = 32;
constexpr std::size_t kMinTokenLength = 16;
/// Lets scanners of leaked secrets recognise one.
constexpr std::string_view kTokenPrefix = "bb_";

bool is_sha256_hex(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::string process_user_name() {
  const uid_t uid = geteuid();
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16 << 10);
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    return found->pw_name;
  }
  return fmt::format("uid-{}", uid);
}

Result<TokenAuth> TokenAuth::open(const std::string& state_dir, Random& random) {
  TokenAuth auth;
  auth.own_user_ = process_user_name();
  auth.token_path_ = os::join_path(state_dir, "token");
  TRY_ASSIGN(const std::string text, read_or_make_private_file(auth.token_path_, "token file", [&random] {
               return fmt::format("{}{}\n", kTokenPrefix, os::random_token(random, kTokenBytes));
             }));
  const std::string_view token = trim(text);
  if (token.size() < kMinTokenLength) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("token file {} holds {} characters, fewer than {}; remove it and a new one is made",
                                  auth.token_path_, token.size(), kMinTokenLength));
  }
  auth.users_.push_back({.name = auth.own_user_, .token_sha256 = os::sha256(token)});
  TRY(auth.read_users(os::join_path(state_dir, "users")));
  return auth;
}

Result<void> TokenAuth::read_users(const std::string& path) {
  const auto text = read_private_file(path, "users file", Exposure::kNobodyWrites);
  if (!text) {
    return text.error().code == ErrorCode::kNotFound ? Result<void>{} : tl::unexpected(text.error());
  }
  int number = 0;
  for (const std::string_view raw : split(*text, '\n')) {
    ++number;
    const std::string_view line = trim(raw);
    if (line.empty() || line.starts_with('#')) {
      continue;
    }
    const std::size_t colon = line.find(':');
    const std::string name(trim(line.substr(0, colon)));
    const std::string hash = colon == std::string_view::npos ? "" : to_lower(trim(line.substr(colon + 1)));
    if (!model::is_valid_name(name) || !is_sha256_hex(hash)) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("{}:{}: expected NAME:SHA256-OF-TOKEN-IN-HEX; make the hash by: "
                                    "printf %s \"$token\" | sha256sum",
                                    path, number));
    }
    if (std::any_of(users_.begin(), users_.end(), [&name](const User& user) { return user.name == name; })) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("{}:{}: user \"{}\" is there already", path, number, name));
    }
    users_.push_back({.name = name, .token_sha256 = hash});
  }
  return {};
}

Result<std::string> TokenAuth::authenticate(const net::HttpRequest& request) const {
  const std::string token = request.bearer_token();
  if (token.empty()) {
    return make_error(ErrorCode::kUnauthenticated,
                      "no token; send \"Authorization: Bearer TOKEN\", the server's own is in " + token_path_);
  }
  const std::string presented = os::sha256(token);
  // All are compared, so the time does not tell which one it was.
  const User* found = nullptr;
  for (const User& user : users_) {
    if (os::constant_time_equal(user.token_sha256, presented)) {
      found = &user;
    }
  }
  if (found == nullptr) {
    return make_error(ErrorCode::kUnauthenticated, "the token is not one of this server's");
  }
  return found->name;
}

}  // namespace busbar::control
