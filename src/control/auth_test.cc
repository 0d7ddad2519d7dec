#include "control/auth.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "os/crypto/crypto.h"
#include "os/system_clock.h"
#include "os/test_dir.h"

namespace busbar::control {
namespace {

class TokenAuthTest : public ::testing::Test {
 protected:
  TokenAuth open_or_die() {
    auto auth = TokenAuth::open(dir_.path(), random_);
    EXPECT_TRUE(auth.has_value()) << auth.error().to_string();
    return *std::move(auth);
  }
  Error open_error() {
    const auto auth = TokenAuth::open(dir_.path(), random_);
    EXPECT_FALSE(auth.has_value());
    return auth ? Error{} : auth.error();
  }
  std::string token() { return std::string(trim(*os::read_file(dir_.file("token"), 1000))); }
  void write(const std::string& name, std::string_view text, mode_t mode) {
    ASSERT_TRUE(os::write_file_atomic(dir_.file(name), text, mode).has_value());
  }

  os::TestDir dir_;
  os::SystemRandom random_;
};

net::HttpRequest request_with(const std::string& authorization) {
  net::HttpRequest request;
  request.headers = {{"Authorization", authorization}};
  return request;
}

TEST_F(TokenAuthTest, MakesATokenThatOnlyTheOwnerReads) {
  const TokenAuth auth = open_or_die();
  struct stat status{};
  ASSERT_EQ(::stat(auth.token_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_TRUE(token().starts_with("bb_"));
  EXPECT_EQ(token().size(), 3 + 43u);
}

TEST_F(TokenAuthTest, KeepsTheTokenAcrossStarts) {
  open_or_die();
  const std::string first = token();
  const TokenAuth again = open_or_die();
  EXPECT_EQ(token(), first);
  EXPECT_EQ(again.authenticate(request_with("Bearer " + first)), process_user_name());
}

TEST_F(TokenAuthTest, RefusesWhatIsNotTheToken) {
  const TokenAuth auth = open_or_die();
  for (const std::string& header : {std::string(), "Bearer " + token() + "x", "Bearer " + token().substr(1),
                                    std::string("Bearer "), "Basic " + token(), token()}) {
    SCOPED_TRACE(header);
    const auto user = auth.authenticate(request_with(header));
    ASSERT_FALSE(user.has_value());
    EXPECT_EQ(user.error().code, ErrorCode::kUnauthenticated);
    EXPECT_EQ(user.error().to_string().find(token()), std::string::npos);
  }
}

TEST_F(TokenAuthTest, DoesNotTakeTheTokenFromTheQuery) {
  const TokenAuth auth = open_or_die();
  net::HttpRequest request;
  request.query = {{"access_token", token()}, {"token", token()}};
  EXPECT_FALSE(auth.authenticate(request).has_value());
}

TEST_F(TokenAuthTest, DoesNotBelieveHeadersThatNameAUser) {
  const TokenAuth auth = open_or_die();
  net::HttpRequest request = request_with("Bearer " + token());
  request.headers.emplace_back("X-Busbar-User", "somebody");
  EXPECT_EQ(auth.authenticate(request), auth.own_user());
}

TEST_F(TokenAuthTest, RefusesATokenFileThatOthersCanRead) {
  open_or_die();
  ASSERT_EQ(::chmod(dir_.file("token").c_str(), 0640), 0);
  const Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::kPermissionDenied);
  EXPECT_NE(error.message.find("run: chmod 600 " + dir_.file("token")), std::string::npos) << error.message;
}

TEST_F(TokenAuthTest, RefusesATokenFileThatIsALink) {
  write("elsewhere", "bb_0123456789abcdefghij\n", 0600);
  ASSERT_EQ(::symlink("elsewhere", dir_.file("token").c_str()), 0);
  open_error();
}

TEST_F(TokenAuthTest, RefusesAnEmptyTokenFile) {
  write("token", "\n", 0600);
  EXPECT_EQ(open_error().code, ErrorCode::kInvalidArgument);
}

TEST_F(TokenAuthTest, KnowsFurtherUsersByTheHashOfTheirTokens) {
  write("users", "# team\n\nada:" + os::sha256("ada-token") + "\n bob : " + os::sha256("bob-token") + " \n", 0644);
  const TokenAuth auth = open_or_die();
  EXPECT_EQ(auth.authenticate(request_with("Bearer ada-token")), "ada");
  EXPECT_EQ(auth.authenticate(request_with("Bearer bob-token")), "bob");
  EXPECT_EQ(auth.authenticate(request_with("Bearer " + token())), process_user_name());
  EXPECT_FALSE(auth.authenticate(request_with("Bearer " + os::sha256("ada-token"))).has_value());
}

TEST_F(TokenAuthTest, SaysWhichLineOfUsersIsWrong) {
  const std::string good = "ada:" + os::sha256("a") + "\n";
  for (const std::string& bad : {std::string("bob"), std::string("bob:1234"), "B OB:" + os::sha256("b"),
                                 "ada:" + os::sha256("b"), process_user_name() + ":" + os::sha256("b")}) {
    SCOPED_TRACE(bad);
    write("users", good + bad + "\n", 0644);
    const Error error = open_error();
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(error.message.starts_with(dir_.file("users") + ":2: ")) << error.message;
  }
}

TEST_F(TokenAuthTest, RefusesAUsersFileThatOthersCanChange) {
  write("users", "", 0666);
  const Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::kPermissionDenied);
  EXPECT_NE(error.message.find("chmod go-w"), std::string::npos) << error.message;
}

}  // namespace
}  // namespace busbar::control
