#include "control/secret_box.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "os/test_dir.h"

namespace busbar::control {
namespace {

SecretBox open_or_die(const std::string& dir) {
  auto box = SecretBox::open(dir);
  EXPECT_TRUE(box.has_value()) << box.error().to_string();
  return *std::move(box);
}

TEST(SecretBox, GivesBackWhatItSealed) {
  const os::TestDir dir;
  const SecretBox box = open_or_die(dir.path());
  for (const std::string& value :
       {std::string(), std::string("hunter2"), std::string("\0\xff\n\"", 4), std::string(1 << 20, 'x')}) {
    SCOPED_TRACE(value.size());
    const auto sealed = box.seal("db", value);
    ASSERT_TRUE(sealed.has_value());
    EXPECT_EQ(box.unseal("db", *sealed), value);
  }
}

TEST(SecretBox, SealedTextIsPrintableAndNeverTheSame) {
  const os::TestDir dir;
  const SecretBox box = open_or_die(dir.path());
  const std::string first = *box.seal("a", "hunter2");
  EXPECT_NE(first, *box.seal("a", "hunter2"));
  EXPECT_EQ(first.find("hunter2"), std::string::npos);
  for (const char c : first) {
    EXPECT_TRUE(c > ' ' && c < 0x7f);
  }
}

TEST(SecretBox, ReopensWithTheSameKey) {
  const os::TestDir dir;
  const std::string sealed = *open_or_die(dir.path()).seal("a", "v");
  EXPECT_EQ(open_or_die(dir.path()).unseal("a", sealed), "v");
  struct stat status{};
  ASSERT_EQ(::stat(dir.file("secret.key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST(SecretBox, NoticesAnyChangeAndAnotherNameOrKey) {
  const os::TestDir dir;
  const os::TestDir other;
  const SecretBox box = open_or_die(dir.path());
  const std::string sealed = *box.seal("a", "value");
  EXPECT_EQ(box.unseal("b", sealed).error().code, ErrorCode::kDataCorrupt);
  EXPECT_EQ(open_or_die(other.path()).unseal("a", sealed).error().code, ErrorCode::kDataCorrupt);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    SCOPED_TRACE(i);
    std::string changed = sealed;
    // Another base64 digit in its high bits, so that it stands for other bytes also at the very end.
    changed[i] = changed[i] == 'A' ? 'g' : 'A';
    EXPECT_FALSE(box.unseal("a", changed).has_value());
    EXPECT_FALSE(box.unseal("a", sealed.substr(0, i)).has_value());
  }
}

TEST(SecretBox, RefusesValuesOverOneMebibyte) {
  const os::TestDir dir;
  const auto sealed = open_or_die(dir.path()).seal("a", std::string((1 << 20) + 1, 'x'));
  ASSERT_FALSE(sealed.has_value());
  EXPECT_EQ(sealed.error().code, ErrorCode::kResourceExhausted);
}

TEST(SecretBox, RefusesAKeyFileThatIsReadableOrNoKey) {
  const os::TestDir dir;
  open_or_die(dir.path());
  ASSERT_EQ(::chmod(dir.file("secret.key").c_str(), 0604), 0);
  EXPECT_EQ(SecretBox::open(dir.path()).error().code, ErrorCode::kPermissionDenied);
  ASSERT_TRUE(os::write_file_atomic(dir.file("secret.key"), "short\n", 0600).has_value());
  EXPECT_EQ(SecretBox::open(dir.path()).error().code, ErrorCode::kDataCorrupt);
}

TEST(SecretBox, WipeOverwritesTheBytes) {
  std::string value = "hunter2";
  const char* bytes = value.data();
  wipe(value);
  EXPECT_TRUE(value.empty());
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(bytes[i], '\0');
  }
}

}  // namespace
}  // namespace busbar::control
