#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>

#include "store/sqlite/test_support.h"

namespace busbar::store {

namespace {

/// A file system of one megabyte. Mounting needs CAP_SYS_ADMIN.
class SmallDisk {
 public:
  SmallDisk() {
    is_mounted_ = mount("busbar-test", directory_.path().c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=1m") == 0;
    if (!is_mounted_) problem_ = std::strerror(errno);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  ~SmallDisk() {
    if (is_mounted_) umount2(directory_.path().c_str(), MNT_DETACH);
  }
  bool is_mounted() const { return is_mounted_; }
  const std::string& problem() const { return problem_; }
  std::string file(const std::string& name) const { return directory_.file(name); }

 private:
  TemporaryDirectory directory_;
  bool is_mounted_ = false;
  std::string problem_;
};

TEST(DiskFull, ChangesNothingAndGoesOnWhenThereIsSpaceAgain) {
  const SmallDisk disk;
  if (!disk.is_mounted()) GTEST_SKIP() << "cannot mount a small tmpfs: " << disk.problem();
  const auto store = open_store(disk.file("busbar.db"));
  ASSERT_TRUE(store->commit({.frames = {{1, "first"}}, .meta = {{"last", "1"}}}));
  write_file(disk.file("ballast"), std::string(300'000, 'b'));

  std::uint64_t next = 2;
  Error error;
  for (; next < 1'000; ++next) {
    const auto done =
        store->commit({.frames = {{next, std::string(20'000, 'x')}}, .meta = {{"last", std::to_string(next)}}});
    if (done) continue;
    error = done.error();
    break;
  }
  ASSERT_LT(next, 1'000u) << "the disk never filled up";
  EXPECT_EQ(error.code, ErrorCode::kResourceExhausted) << error.to_string();
  EXPECT_TRUE(error.is_retryable);
  EXPECT_NE(error.message.find("nothing was changed"), std::string::npos) << error.message;
  EXPECT_EQ(store->last_sequence().value(), next - 1);
  EXPECT_EQ(store->meta("last").value(), std::to_string(next - 1));
  EXPECT_TRUE(store->verify());

  ASSERT_TRUE(std::filesystem::remove(disk.file("ballast")));
  const auto again =
      store->commit({.frames = {{next, std::string(20'000, 'x')}}, .meta = {{"last", std::to_string(next)}}});
  EXPECT_TRUE(again) << again.error().to_string();
  EXPECT_EQ(store->last_sequence().value(), next);
}

TEST(DiskFull, AFailedBackupLeavesNoFile) {
  const SmallDisk disk;
  if (!disk.is_mounted()) GTEST_SKIP() << "cannot mount a small tmpfs: " << disk.problem();
  const TemporaryDirectory directory;
  const auto store = open_store(directory.file("busbar.db"));
  ASSERT_TRUE(store->commit({.frames = {{1, std::string(2'000'000, 'x')}}}));
  const auto failed = store->backup(disk.file("backup.db"));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kResourceExhausted) << failed.error().to_string();
  EXPECT_FALSE(std::filesystem::exists(disk.file("backup.db")));
  EXPECT_FALSE(std::filesystem::exists(disk.file("backup.db.partial")));
}

}  // namespace

}  // namespace busbar::store
