#include "control/server_file.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "os/process.h"
#include "os/test_dir.h"

namespace busbar::control {
namespace {

const ServerInfo kInfo{
    .url = "http://127.0.0.1:7717", .pid = 42, .token_file = "/s/token", .started_ms = 1'700'000'000'000};

TEST(ServerFile, ClientsFindWhatTheServerPublished) {
  const os::TestDir dir;
  auto file = ServerFile::claim(dir.file("state"));
  ASSERT_TRUE(file.has_value()) << file.error().to_string();
  EXPECT_EQ(find_server(dir.file("state")).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(file->publish(kInfo).has_value());
  EXPECT_EQ(find_server(dir.file("state")), kInfo);
}

TEST(ServerFile, IsRemovedAtAGracefulStop) {
  const os::TestDir dir;
  {
    auto file = ServerFile::claim(dir.path());
    ASSERT_TRUE(file.has_value() && file->publish(kInfo).has_value());
  }
  EXPECT_FALSE(os::file_exists(dir.file("server.json")));
  EXPECT_EQ(find_server(dir.path()).error().code, ErrorCode::kNotFound);
}

TEST(ServerFile, TurnsASecondServerAwayAndSaysWhoIsThere) {
  const os::TestDir dir;
  auto first = ServerFile::claim(dir.path());
  ASSERT_TRUE(first.has_value());
  const auto starting = ServerFile::claim(dir.path());
  ASSERT_FALSE(starting.has_value());
  EXPECT_EQ(starting.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_NE(starting.error().message.find("(pid " + std::to_string(getpid()) + ")"), std::string::npos);

  ASSERT_TRUE(first->publish(kInfo).has_value());
  const auto second = ServerFile::claim(dir.path());
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().message, "another busbar server (pid 42, http://127.0.0.1:7717) runs on " + dir.path() +
                                        "; stop it, or give this one another state_dir");
  EXPECT_EQ(find_server(dir.path()), kInfo) << "the refused one must not have touched the file";
}

TEST(ServerFile, AskingDoesNotTakeTheLock) {
  const os::TestDir dir;
  {
    ASSERT_TRUE(ServerFile::claim(dir.path()).has_value());
  }
  EXPECT_FALSE(find_server(dir.path()).has_value());
  EXPECT_TRUE(ServerFile::claim(dir.path()).has_value());
}

TEST(ServerFile, AKilledServerLeavesNoClaim) {
  const os::TestDir dir;
  const pid_t child = fork();
  if (child == 0) {
    auto file = ServerFile::claim(dir.path());
    _exit(file && file->publish(kInfo) && ::kill(getpid(), SIGKILL) == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(os::file_exists(dir.file("server.json")));
  EXPECT_EQ(find_server(dir.path()).error().code, ErrorCode::kNotFound);
  const auto next = ServerFile::claim(dir.path());
  EXPECT_TRUE(next.has_value());
  EXPECT_FALSE(os::file_exists(dir.file("server.json")));
}

TEST(ServerFile, ChildrenOfTheServerDoNotKeepTheClaim) {
  const os::TestDir dir;
  auto file = std::make_unique<ServerFile>(*ServerFile::claim(dir.path()));
  auto child = os::Process::spawn({.argv = {"/bin/sleep", "1000"}});
  ASSERT_TRUE(child.has_value());
  file.reset();
  EXPECT_TRUE(ServerFile::claim(dir.path()).has_value());
}

TEST(ServerFile, DoesNotTrustAFileOfSomebodyElse) {
  const os::TestDir dir;
  const auto file = ServerFile::claim(dir.path());
  for (const char* text : {"", "{}", "[1]", "{\"url\": 1, \"pid\": 2}", "not json"}) {
    SCOPED_TRACE(text);
    ASSERT_TRUE(os::write_file_atomic(dir.file("server.json"), text).has_value());
    EXPECT_EQ(find_server(dir.path()).error().code, ErrorCode::kDataCorrupt);
  }
}

}  // namespace
}  // namespace busbar::control
