#include "os/crypto/crypto.h"

#include <gtest/gtest.h>

#include <set>

#include "os/system_clock.h"
#include "os/test_dir.h"

namespace busbar::os {
namespace {

TEST(Crypto, Sha256MatchesFips180) {
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 stream;
  stream.update("a");
  stream.update("bc");
  EXPECT_EQ(stream.finish_hex(), sha256("abc"));
}

TEST(Crypto, FilesHashLikeTheirBytes) {
  const TestDir dir;
  const std::string bytes(700'001, 'x');
  ASSERT_TRUE(write_file_atomic(dir.file("f"), bytes).has_value());
  EXPECT_EQ(sha256_file(dir.file("f")).value(), sha256(bytes));
  EXPECT_EQ(sha256_file(dir.file("none")).error().code, ErrorCode::kNotFound);
}

TEST(Crypto, HmacMatchesRfc4231) {
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex(hmac_sha256("", "")), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(Crypto, Base64urlMatchesRfc4648) {
  EXPECT_EQ(base64url(""), "");
  EXPECT_EQ(base64url("f"), "Zg");
  EXPECT_EQ(base64url("fo"), "Zm8");
  EXPECT_EQ(base64url("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64url("\xfb\xff"), "-_8");
}

TEST(Crypto, TokensDifferAndFitIntoUrls) {
  SystemRandom random;
  std::set<std::string> tokens;
  for (int i = 0; i < 100; ++i) {
    const std::string token = random_token(random, 32);
    EXPECT_EQ(token.size(), 43u);
    EXPECT_EQ(token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
              std::string::npos);
    tokens.insert(token);
  }
  EXPECT_EQ(tokens.size(), 100u);
}

TEST(Crypto, EqualityIsOfAllBytes) {
  EXPECT_TRUE(constant_time_equal("token", "token"));
  EXPECT_FALSE(constant_time_equal("token", "tokem"));
  EXPECT_FALSE(constant_time_equal("token", "toke"));
  EXPECT_TRUE(constant_time_equal("", ""));
}

}  // namespace
}  // namespace busbar::os
