#include "control/internal/log_tail.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "control/internal/log_files_testing.h"
#include "os/test_dir.h"

namespace busbar::control {
namespace {

class LogTailTest : public ::testing::Test {
 protected:
  LogTail make() { return LogTail({.rank = 0, .attempt = 1, .files = files_.provider()}); }
  static std::vector<std::string> read_all(LogTail& tail) {
    std::vector<std::string> texts;
    while (const auto line = tail.next()) {
      texts.push_back(line->text);
    }
    return texts;
  }

  os::TestDir dir_;
  LogFilesOnDisk files_{dir_.path(), 3};
};

using Texts = std::vector<std::string>;

TEST_F(LogTailTest, ReadsLinesAsTheyComeWithTimeAndStream) {
  files_.append(1'500, "stdout F one");
  LogTail tail = make();
  tail.refresh();
  const auto line = tail.next();
  ASSERT_TRUE(line.has_value());
  EXPECT_EQ(line->time_ms, 1'500);
  EXPECT_EQ(line->stream, 1);
  EXPECT_EQ(line->text, "one");
  EXPECT_FALSE(tail.next().has_value());

  files_.append(1'600, "stderr F two");
  EXPECT_EQ(tail.next()->stream, 2);
  EXPECT_FALSE(tail.next().has_value());
}

TEST_F(LogTailTest, WaitsForTheEndOfALineThatIsBeingWritten) {
  LogTail tail = make();
  files_.append_raw("1970-01-01T00:00:01.000000000+00:00 stdo");
  tail.refresh();
  EXPECT_FALSE(tail.next().has_value());
  files_.append_raw("ut F whole\n");
  EXPECT_EQ(tail.next()->text, "whole");
}

TEST_F(LogTailTest, JoinsPartsOfEachStream) {
  files_.append(1'000, "stdout P a");
  files_.append(1'001, "stderr P x");
  files_.append(1'002, "stdout P b");
  files_.append(1'003, "stdout F c");
  files_.append(1'004, "stderr F y");
  LogTail tail = make();
  tail.refresh();
  const auto first = tail.next();
  EXPECT_EQ(first->text, "abc");
  EXPECT_EQ(first->time_ms, 1'000) << "the time at which the line began";
  EXPECT_EQ(tail.next()->text, "xy");
}

TEST_F(LogTailTest, GivesTheUnfinishedRestOnlyWhenAllIsOver) {
  files_.append(1'000, "stdout P prompt> ");
  LogTail tail = make();
  tail.refresh();
  EXPECT_FALSE(tail.next().has_value());
  tail.finish();
  EXPECT_EQ(tail.next()->text, "prompt> ");
  EXPECT_FALSE(tail.next().has_value());
}

TEST_F(LogTailTest, ShowsEachStateOfAProgressBar) {
  files_.append(1'000, "stdout P \r10%");
  files_.append(1'001, "stdout P \r20%");
  files_.append(1'002, "stdout F ");
  LogTail tail = make();
  tail.refresh();
  EXPECT_EQ(read_all(tail), (Texts{"\r10%", "\r20%"}));
}

TEST_F(LogTailTest, CutsLinesThatAreTooLongWithoutLosingBytes) {
  const std::string part(8'000, 'x');
  for (int i = 0; i < 20; ++i) {
    files_.append(1'000, "stdout P " + part);
  }
  files_.append(1'000, "stdout F end");
  LogTail tail = make();
  tail.refresh();
  std::string all;
  while (const auto line = tail.next()) {
    EXPECT_LE(line->text.size(), 64u << 10);
    all += line->text;
  }
  EXPECT_EQ(all.size(), 20 * part.size() + 3);
}

TEST_F(LogTailTest, FollowsRotationWithoutLosingOrRepeating) {
  LogTail tail = make();
  Texts got;
  Texts expected;
  for (int i = 0; i < 200; ++i) {
    files_.append(1'000 + i, "stdout F line " + std::to_string(i));
    expected.push_back("line " + std::to_string(i));
    if (i % 7 == 0) {
      files_.rotate();
      tail.refresh();
    }
    if (i % 3 == 0) {
      tail.refresh();
      for (std::string& text : read_all(tail)) {
        got.push_back(std::move(text));
      }
    }
  }
  tail.refresh();
  for (std::string& text : read_all(tail)) {
    got.push_back(std::move(text));
  }
  EXPECT_EQ(got, expected);
  EXPECT_FALSE(tail.take_gap());
}

TEST_F(LogTailTest, ReadsWhatIsAddedToTheOldFileUntilTheNewOneIsThere) {
  files_.append(1'000, "stdout F one");
  LogTail tail = make();
  tail.refresh();
  EXPECT_EQ(read_all(tail), Texts{"one"});
  files_.rename_live();
  tail.refresh();
  files_.append_to(files_.rotated(1), 1'001, "stdout F late");
  EXPECT_EQ(read_all(tail), Texts{"late"});
  files_.append(1'002, "stdout F new");
  tail.refresh();
  EXPECT_EQ(read_all(tail), Texts{"new"});
}

TEST_F(LogTailTest, ReadsAFileToItsEndThoughRotationHasRemovedIt) {
  files_.append(1'000, "stdout F kept");
  LogTail tail = make();
  tail.refresh();
  for (int i = 0; i < 4; ++i) {
    files_.rotate();
    files_.append(1'001 + i, "stdout F next " + std::to_string(i));
    tail.refresh();
  }
  EXPECT_EQ(read_all(tail), (Texts{"kept", "next 0", "next 1", "next 2", "next 3"}));
  EXPECT_FALSE(tail.take_gap());
}

TEST_F(LogTailTest, SaysWhenRotationWasFasterThanTheReader) {
  files_.append(1'000, "stdout F first");
  LogTail tail = make();
  tail.refresh();
  for (int i = 0; i < 8; ++i) {
    files_.rotate();
    files_.append(1'001 + i, "stdout F next " + std::to_string(i));
  }
  tail.refresh();
  EXPECT_EQ(read_all(tail), (Texts{"first", "next 5", "next 6", "next 7"}));
  EXPECT_TRUE(tail.take_gap());
  EXPECT_FALSE(tail.take_gap());
}

TEST_F(LogTailTest, BeginsSoManyLinesBeforeTheEnd) {
  for (int i = 0; i < 30; ++i) {
    files_.append(1'000 + i, "stdout F line " + std::to_string(i));
    if (i == 9 || i == 19) {
      files_.rotate();
    }
  }
  for (const std::size_t lines : {0u, 1u, 5u, 10u, 11u, 25u, 30u, 100u}) {
    SCOPED_TRACE(lines);
    LogTail tail = make();
    tail.refresh();
    tail.seek_tail(lines);
    const Texts got = read_all(tail);
    ASSERT_EQ(got.size(), std::min<std::size_t>(lines, 30));
    if (lines > 0) {
      EXPECT_EQ(got.back(), "line 29");
    }
  }
}

TEST_F(LogTailTest, CountsALineOfManyPartsOnceWhenItLooksBack) {
  files_.append(1'000, "stdout F before");
  const std::string part(8'000, 'x');
  for (int i = 0; i < 7; ++i) {
    files_.append(1'001, "stdout P " + part);
  }
  files_.append(1'002, "stdout F end of long");
  files_.append(1'003, "stdout F last");
  LogTail tail = make();
  tail.refresh();
  tail.seek_tail(2);
  const Texts got = read_all(tail);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].size(), 7 * part.size() + std::string("end of long").size());
}

TEST_F(LogTailTest, LooksBackOverMoreThanOneBlock) {
  const std::string filler(100, 'x');
  for (int i = 0; i < 5'000; ++i) {
    files_.append(1'000 + i, "stdout F " + filler + std::to_string(i));
  }
  LogTail tail = make();
  tail.refresh();
  tail.seek_tail(3'000);
  const Texts got = read_all(tail);
  ASSERT_EQ(got.size(), 3'000u);
  EXPECT_EQ(got.front(), filler + "2000");
}

TEST_F(LogTailTest, FrozenItDoesNotSeeWhatIsWrittenLater) {
  files_.append(1'000, "stdout F now");
  LogTail tail = make();
  tail.refresh();
  tail.freeze();
  files_.append(1'001, "stdout F later");
  EXPECT_EQ(read_all(tail), Texts{"now"});
}

TEST_F(LogTailTest, ShowsLinesThatAreNotInTheFormatAsTheyAre) {
  files_.append_raw("torn garbage\n");
  files_.append(1'000, "stdout F fine");
  LogTail tail = make();
  tail.refresh();
  EXPECT_EQ(read_all(tail), (Texts{"torn garbage", "fine"}));
}

TEST_F(LogTailTest, StartsAgainWhenAFileIsEmptied) {
  files_.append(1'000, "stdout F a long line before");
  LogTail tail = make();
  tail.refresh();
  EXPECT_EQ(read_all(tail).size(), 1u);
  ASSERT_EQ(::truncate(files_.live().c_str(), 0), 0);
  EXPECT_FALSE(tail.next().has_value());
  files_.append(1'001, "stdout F new");
  EXPECT_EQ(read_all(tail), Texts{"new"});
}

TEST_F(LogTailTest, KnowsItsFilesByNameAlsoInTheMiddleOfARotation) {
  files_.append(1'000, "stdout F one");
  LogTail tail = make();
  tail.refresh();
  files_.rename_live();
  tail.refresh();
  EXPECT_TRUE(tail.is_own_file("log"));
  EXPECT_TRUE(tail.is_own_file("log.1"));
  EXPECT_FALSE(tail.is_own_file("report.jsonl"));
}

TEST_F(LogTailTest, ToleratesATaskWithoutFiles) {
  LogTail tail({.rank = 0, .attempt = 1, .files = [] { return engine::LogFiles{}; }});
  tail.refresh();
  tail.seek_tail(3);
  EXPECT_FALSE(tail.next().has_value());
  EXPECT_EQ(tail.directory(), "");
}

}  // namespace
}  // namespace busbar::control
