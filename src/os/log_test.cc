#include "os/log.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "base/text.h"
#include "os/test_dir.h"

namespace busbar::os {
namespace {

/// Logs into a file for one test, then to standard error again.
class LogTest : public testing::Test {
 protected:
  void start(LogFormat format, LogLevel level = LogLevel::kInfo) {
    const auto configured = configure_log({.level = level, .format = format, .file = dir_.file("log")});
    ASSERT_TRUE(configured.has_value()) << configured.error().to_string();
  }
  ~LogTest() override { EXPECT_TRUE(configure_log({}).has_value()); }

  std::vector<std::string> lines() const {
    std::vector<std::string> result;
    const std::string text = read_file(dir_.file("log"), 1 << 24).value();
    for (const std::string_view line : split(text, '\n')) {
      result.emplace_back(line);
    }
    EXPECT_EQ(result.back(), "");
    result.pop_back();
    return result;
  }

  TestDir dir_;
};

TEST_F(LogTest, JsonLinesHaveEventAndFields) {
  start(LogFormat::kAuto);
  LOG(kInfo, "job_placed", {{"job", "17"}, {"nodes", 2}});
  LOG(kWarning, "disk_full");
  ASSERT_EQ(lines().size(), 2u);
  const auto first = parse_json(lines()[0]);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ((*first)["level"].as_string(), "info");
  EXPECT_EQ((*first)["event"].as_string(), "job_placed");
  EXPECT_EQ((*first)["job"].as_string(), "17");
  EXPECT_EQ((*first)["nodes"].as_int(), 2);
  EXPECT_EQ((*first)["time"].as_string().size(), 24u);
  EXPECT_EQ((*parse_json(lines()[1]))["level"].as_string(), "warning");
}

TEST_F(LogTest, TextLinesQuoteWhatIsNotPlain) {
  start(LogFormat::kText);
  LOG(kInfo, "started", {{"name", "a"}, {"text", "two\nlines"}, {"empty", ""}, {"n", 3}});
  ASSERT_EQ(lines().size(), 1u);
  EXPECT_EQ(lines()[0].substr(13), "info started name=a text=\"two\\nlines\" empty=\"\" n=3");
}

TEST_F(LogTest, FieldsOfLevelsThatAreOffAreNotEvaluated) {
  start(LogFormat::kJson, LogLevel::kWarning);
  int evaluated = 0;
  LOG(kInfo, "quiet", {{"n", ++evaluated}});
  LOG(kError, "loud", {{"n", ++evaluated}});
  EXPECT_EQ(evaluated, 1);
  set_log_level(LogLevel::kOff);
  LOG(kError, "silent");
  EXPECT_EQ(lines().size(), 1u);
}

TEST_F(LogTest, SecretsAreHidden) {
  start(LogFormat::kJson);
  LOG(kInfo, "login", {{"api_token", "abc"}, {"Password", "abc"}, {"tokens_per_second", 5}, {"token_file", "/x"}});
  const auto line = parse_json(lines().at(0));
  EXPECT_EQ((*line)["api_token"].as_string(), "***");
  EXPECT_EQ((*line)["Password"].as_string(), "***");
  EXPECT_EQ((*line)["tokens_per_second"].as_int(), 5);
  EXPECT_EQ((*line)["token_file"].as_string(), "/x");
}

TEST_F(LogTest, LinesOfManyThreadsStayWhole) {
  start(LogFormat::kJson);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 250; ++i) {
        LOG(kInfo, "tick", {{"thread", t}, {"text", std::string(200, 'x')}});
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const auto all = lines();
  EXPECT_EQ(all.size(), 1000u);
  for (const std::string& line : all) {
    EXPECT_TRUE(parse_json(line).has_value()) << line;
  }
}

TEST_F(LogTest, ReopensAfterRotation) {
  start(LogFormat::kJson);
  LOG(kInfo, "before");
  ASSERT_EQ(::rename(dir_.file("log").c_str(), dir_.file("log.1").c_str()), 0);
  ASSERT_TRUE(reopen_log().has_value());
  LOG(kInfo, "after");
  ASSERT_EQ(lines().size(), 1u);
  EXPECT_NE(lines()[0].find("after"), std::string::npos);
}

TEST_F(LogTest, AFullDiskLosesLinesNotTheProcess) {
  ASSERT_TRUE(configure_log({.format = LogFormat::kJson, .file = "/dev/full"}).has_value());
  const auto lost = lost_log_lines();
  LOG(kInfo, "into_the_void");
  EXPECT_EQ(lost_log_lines(), lost + 1);
}

TEST(Log, RefusesAFileThatCannotBeOpened) {
  EXPECT_EQ(configure_log({.file = "/proc/no/such"}).error().code, ErrorCode::kInvalidArgument);
}

TEST(Log, LevelNamesAreReadBack) {
  EXPECT_EQ(parse_log_level("warning").value(), LogLevel::kWarning);
  EXPECT_FALSE(parse_log_level("loud").has_value());
}

}  // namespace
}  // namespace busbar::os
