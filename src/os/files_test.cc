#include "os/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "os/test_dir.h"

namespace busbar::os {
namespace {

mode_t mode_of(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

void write(const std::string& path, std::string_view bytes) {
  const auto written = write_file_atomic(path, bytes, 0644, Durability::kCached);
  ASSERT_TRUE(written.has_value()) << written.error().to_string();
}

TEST(Files, WhatWasWrittenIsReadBackWithItsMode) {
  const TestDir dir;
  const std::string bytes("a\0b", 3);
  const mode_t before = umask(077);
  const auto written = write_file_atomic(dir.file("f"), bytes, 0664);
  umask(before);
  ASSERT_TRUE(written.has_value()) << written.error().to_string();
  EXPECT_EQ(read_file(dir.file("f"), 3).value(), bytes);
  EXPECT_EQ(mode_of(dir.file("f")), 0664u);
}

TEST(Files, ReplacingLeavesOnlyTheNewFile) {
  const TestDir dir;
  write(dir.file("f"), "old");
  write(dir.file("f"), "new");
  EXPECT_EQ(read_file(dir.file("f"), 100).value(), "new");
  EXPECT_EQ(list_dir(dir.path())->size(), 1u);
}

TEST(Files, AFailedReplacementKeepsTheOldFileAndNoTemporary) {
  const TestDir dir;
  ASSERT_TRUE(make_dirs(dir.file("taken/by/tree")).has_value());
  EXPECT_FALSE(write_file_atomic(dir.file("taken"), "x").has_value());
  EXPECT_EQ(list_dir(dir.path())->size(), 1u);
  EXPECT_EQ(write_file_atomic(dir.file("no/such/f"), "x").error().code, ErrorCode::kNotFound);
}

TEST(Files, ReadingIsBounded) {
  const TestDir dir;
  write(dir.file("f"), std::string(10'000, 'x'));
  EXPECT_EQ(read_file(dir.file("f"), 9'999).error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(read_file(dir.file("f"), 10'000)->size(), 10'000u);
  EXPECT_EQ(read_file(dir.file("none"), 1).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(read_file(dir.path(), 1).has_value());
}

TEST(Files, ProcFilesWithoutASizeAreReadWhole) {
  EXPECT_NE(read_file("/proc/self/status", 1 << 20)->find("VmRSS"), std::string::npos);
  EXPECT_EQ(read_file("/proc/self/status", 10).error().code, ErrorCode::kResourceExhausted);
}

TEST(Files, MakeDirsMakesWhatIsMissing) {
  const TestDir dir;
  EXPECT_TRUE(make_dirs(dir.file("a/b/c"), 0700).has_value());
  EXPECT_TRUE(make_dirs(dir.file("a/b/c/"), 0700).has_value());
  EXPECT_EQ(mode_of(dir.file("a/b")), 0700u);
  write(dir.file("f"), "");
  EXPECT_EQ(make_dirs(dir.file("f")).error().code, ErrorCode::kFailedPrecondition);
  EXPECT_FALSE(make_dirs(dir.file("f/x")).has_value());
  EXPECT_FALSE(make_dirs("").has_value());
}

TEST(Files, ListsNamesInOrderWithTheirKinds) {
  const TestDir dir;
  write(dir.file("b"), "");
  ASSERT_TRUE(make_dirs(dir.file("a")).has_value());
  ASSERT_EQ(::symlink("b", dir.file("c").c_str()), 0);
  const auto entries = list_dir(dir.path());
  ASSERT_TRUE(entries.has_value());
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].name, "a");
  EXPECT_EQ((*entries)[0].kind, FileKind::kDirectory);
  EXPECT_EQ((*entries)[1].kind, FileKind::kFile);
  EXPECT_EQ((*entries)[2].kind, FileKind::kLink);
  EXPECT_EQ(read_link(dir.file("c")).value(), "b");
  EXPECT_EQ(list_dir(dir.file("none")).error().code, ErrorCode::kNotFound);
}

TEST(Files, PathsAreJoinedAndCut) {
  EXPECT_EQ(join_path("a", "/b"), "a/b");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(join_path("", "b"), "b");
  EXPECT_EQ(join_path("/", "b"), "/b");
  EXPECT_EQ(parent_path("/a/b/"), "/a");
  EXPECT_EQ(parent_path("/a"), "/");
  EXPECT_EQ(parent_path("/"), "/");
  EXPECT_EQ(parent_path("a"), ".");
}

TEST(RemoveTree, LeavesWhatLinksPointTo) {
  const TestDir dir;
  ASSERT_TRUE(make_dirs(dir.file("tree/sub")).has_value());
  ASSERT_TRUE(make_dirs(dir.file("outside")).has_value());
  write(dir.file("outside/f"), "x");
  ASSERT_EQ(::symlink("../outside", dir.file("tree/link").c_str()), 0);
  ASSERT_TRUE(remove_tree(dir.file("tree")).has_value());
  EXPECT_FALSE(file_exists(dir.file("tree")));
  EXPECT_TRUE(file_exists(dir.file("outside/f")));
  ASSERT_EQ(::symlink("outside", dir.file("link").c_str()), 0);
  ASSERT_TRUE(remove_tree(dir.file("link")).has_value());
  EXPECT_TRUE(file_exists(dir.file("outside/f")));
}

TEST(RemoveTree, TakesFilesAndAbsentPaths) {
  const TestDir dir;
  write(dir.file("f"), "x");
  EXPECT_TRUE(remove_tree(dir.file("f")).has_value());
  EXPECT_TRUE(remove_tree(dir.file("f")).has_value());
  EXPECT_FALSE(file_exists(dir.file("f")));
}

TEST(RemoveTree, TakesReadOnlyDirectories) {
  const TestDir dir;
  ASSERT_TRUE(make_dirs(dir.file("tree/locked")).has_value());
  write(dir.file("tree/locked/f"), "x");
  ASSERT_EQ(::chmod(dir.file("tree/locked").c_str(), 0500), 0);
  EXPECT_TRUE(remove_tree(dir.file("tree")).has_value());
}

TEST(RemoveTree, DepthUsesUpNeitherStackNorDescriptors) {
  const TestDir dir;
  ASSERT_TRUE(make_dirs(dir.file("tree")).has_value());
  UniqueFd at(::open(dir.file("tree").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0755), 0);
    at = UniqueFd(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(at.is_valid());
  }
  const auto removed = remove_tree(dir.file("tree"));
  EXPECT_TRUE(removed.has_value()) << removed.error().to_string();
  EXPECT_FALSE(file_exists(dir.file("tree")));
}

TEST(RemoveTree, StopsAtMounts) {
  const TestDir dir;
  ASSERT_TRUE(make_dirs(dir.file("tree/mnt")).has_value());
  ASSERT_TRUE(make_dirs(dir.file("data")).has_value());
  write(dir.file("data/f"), "precious");
  // In a child with its own mounts, so that nothing is left mounted whatever happens.
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount(dir.file("data").c_str(), dir.file("tree/mnt").c_str(), nullptr, MS_BIND, nullptr) != 0) {
      ::_exit(77);
    }
    const auto removed = remove_tree(dir.file("tree"));
    ::_exit(removed.has_value() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    GTEST_SKIP() << "mounting needs root";
  }
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(read_file(dir.file("data/f"), 100).value(), "precious");
}

}  // namespace
}  // namespace busbar::os
