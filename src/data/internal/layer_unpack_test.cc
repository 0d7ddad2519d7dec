#include "data/internal/layer_unpack.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "data/internal/test_archive.h"
#include "os/files.h"
#include "os/test_dir.h"

namespace busbar::data {
namespace {

class LayerUnpack : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(os::make_dirs(target_)); }

  Result<void> unpack() { return unpack_layer(archive_, target_); }
  std::string text(const std::string& name) { return os::read_file(target_ + "/" + name, 4096).value_or("(none)"); }
  struct stat info(const std::string& name) {
    struct stat result{};
    EXPECT_EQ(::lstat((target_ + "/" + name).c_str(), &result), 0) << name;
    return result;
  }

  os::TestDir dir_;
  std::string archive_ = dir_.file("layer.tar");
  std::string target_ = dir_.file("target");
};

TEST_F(LayerUnpack, KeepsFilesDirectoriesLinksModesAndTimes) {
  TestArchive(archive_, Compression::kGzip)
      .dir("bin", 0711)
      .file("bin/tool", "#!", 04755)
      .link("bin/alias", "tool")
      .hard_link("bin/other", "bin/tool")
      .file("./no/parent/entry", "x");
  ASSERT_TRUE(unpack().has_value());
  EXPECT_EQ(info("bin").st_mode & 07777, 0711U);
  EXPECT_EQ(info("bin/tool").st_mode & 07777, 04755U);
  EXPECT_EQ(info("bin/tool").st_mtime, 1'700'000'000);
  EXPECT_EQ(info("bin/tool").st_nlink, 2U);
  EXPECT_EQ(os::read_link(target_ + "/bin/alias").value(), "tool");
  EXPECT_EQ(text("no/parent/entry"), "x");
}

TEST_F(LayerUnpack, ReadsEveryCompressionOfTheSpecification) {
  for (const Compression compression : {Compression::kNone, Compression::kGzip, Compression::kZstd}) {
    SCOPED_TRACE(static_cast<int>(compression));
    const std::string name = "f" + std::to_string(static_cast<int>(compression));
    TestArchive(archive_, compression).file(name, "content");
    const auto done = unpack();
    ASSERT_TRUE(done.has_value()) << done.error().to_string();
    EXPECT_EQ(text(name), "content");
  }
}

TEST_F(LayerUnpack, TurnsWhiteoutsIntoOverlaysOwn) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "trusted attributes need root";
  }
  TestArchive(archive_, Compression::kNone).file("etc/.wh.passwd", "").dir("var").file("var/.wh..wh..opq", "");
  const auto done = unpack();
  ASSERT_TRUE(done.has_value()) << done.error().to_string();
  EXPECT_TRUE(S_ISCHR(info("etc/passwd").st_mode));
  EXPECT_EQ(info("etc/passwd").st_rdev, 0U);
  char value[2] = {};
  EXPECT_EQ(::getxattr((target_ + "/var").c_str(), "trusted.overlay.opaque", value, sizeof value), 1);
  EXPECT_EQ(value[0], 'y');
  EXPECT_FALSE(os::file_exists(target_ + "/etc/.wh.passwd"));
}

TEST_F(LayerUnpack, RefusesNamesThatLeadOut) {
  TestArchive(archive_, Compression::kNone).file("../escaped", "x");
  EXPECT_EQ(unpack().error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(os::file_exists(dir_.file("escaped")));
}

TEST_F(LayerUnpack, RefusesToWriteThroughALink) {
  ASSERT_TRUE(os::make_dirs(dir_.file("outside")));
  TestArchive(archive_, Compression::kNone).link("out", dir_.file("outside")).file("out/file", "x");
  EXPECT_EQ(unpack().error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(os::file_exists(dir_.file("outside/file")));
}

TEST_F(LayerUnpack, ReplacesALinkInsteadOfFollowingIt) {
  ASSERT_TRUE(os::write_file_atomic(dir_.file("victim"), "safe"));
  TestArchive(archive_, Compression::kNone).link("name", dir_.file("victim")).file("name", "mine");
  ASSERT_TRUE(unpack().has_value());
  EXPECT_EQ(text("name"), "mine");
  EXPECT_EQ(os::read_file(dir_.file("victim"), 100).value(), "safe");
}

TEST_F(LayerUnpack, RefusesHardLinksThatLeadOut) {
  TestArchive(archive_, Compression::kNone).hard_link("stolen", "../../../../etc/hostname");
  EXPECT_EQ(unpack().error().code, ErrorCode::kInvalidArgument);
}

TEST_F(LayerUnpack, ATruncatedArchiveIsCorrupt) {
  TestArchive(archive_, Compression::kGzip).file("big", std::string(1 << 20, 'x') + std::to_string(::getpid()));
  ASSERT_EQ(::truncate(archive_.c_str(), 200), 0);
  EXPECT_EQ(unpack().error().code, ErrorCode::kDataCorrupt);
}

}  // namespace
}  // namespace busbar::data
