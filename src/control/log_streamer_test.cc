#include "control/log_streamer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "api/types.h"
#include "base/text.h"
#include "control/internal/log_files_testing.h"
#include "net/client.h"
#include "net/server.h"
#include "os/test_dir.h"

namespace busbar::control {
namespace {

constexpr std::chrono::seconds kDeadline{30};
constexpr model::JobId kJob{17};

/// A real server whose every request becomes a stream of the streamer, by the request that the test has prepared.
class LogServer final : public net::HttpHandler {
 public:
  explicit LogServer(LogStreamer& streamer) : streamer_(streamer) {
    auto server = net::HttpServer::start({}, *this);
    EXPECT_TRUE(server.has_value()) << server.error().to_string();
    server_ = *std::move(server);
  }
  void handle(net::HttpRequest, std::shared_ptr<net::HttpExchange> exchange) override {
    streamer_.stream(request, net::SseWriter::start(*exchange, LogStreamer::stream_options()));
  }
  std::unique_ptr<net::HttpClient> client() const {
    auto made = net::HttpClient::create({.base_url = "http://127.0.0.1:" + std::to_string(server_->port())});
    EXPECT_TRUE(made.has_value());
    return *std::move(made);
  }
  void stop() { server_->stop(0); }

  LogStreamRequest request;

 private:
  LogStreamer& streamer_;
  std::unique_ptr<net::HttpServer> server_;
};

/// Reads a stream on its own thread; the test waits for what it has read.
class LogReader {
 public:
  explicit LogReader(const LogServer& server) : client_(server.client()) {
    thread_ = std::thread([this] {
      const auto result = client_->stream_events({}, [this](const net::SseEvent& event) {
        const std::lock_guard lock(mutex_);
        events_.push_back(event);
        changed_.notify_all();
        return true;
      });
      const std::lock_guard lock(mutex_);
      has_ended_ = true;
      result_ = result;
      changed_.notify_all();
    });
  }
  ~LogReader() {
    client_->cancel();
    thread_.join();
  }

  void leave() { client_->cancel(); }
  bool wait_lines(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kDeadline, [&] { return count_locked("line") >= count; });
  }
  /// False also when the stream broke.
  bool wait_end() {
    std::unique_lock lock(mutex_);
    const bool in_time = changed_.wait_for(lock, kDeadline, [&] { return has_ended_; });
    EXPECT_TRUE(result_.has_value()) << result_.error().to_string();
    return in_time && result_;
  }
  std::vector<api::LogLine> lines() const {
    const std::lock_guard lock(mutex_);
    std::vector<api::LogLine> found;
    for (const net::SseEvent& event : events_) {
      if (event.event == "line") {
        found.push_back(*api::from_json<api::LogLine>(*parse_json(event.data)));
      }
    }
    return found;
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> found;
    for (const api::LogLine& line : lines()) {
      found.push_back(line.text);
    }
    return found;
  }
  /// The data of the last event if it is an `end`; "" otherwise.
  std::string end() const {
    const std::lock_guard lock(mutex_);
    return !events_.empty() && events_.back().event == "end" ? events_.back().data : "";
  }

 private:
  std::size_t count_locked(std::string_view name) const {
    std::size_t count = 0;
    for (const net::SseEvent& event : events_) {
      count += event.event == name ? 1 : 0;
    }
    return count;
  }

  std::unique_ptr<net::HttpClient> client_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<net::SseEvent> events_;
  Result<void> result_;
  bool has_ended_ = false;
  std::thread thread_;
};

class LogStreamerTest : public ::testing::Test {
 protected:
  LogFilesOnDisk files(const std::string& name) const { return {dir_.path(), 3, name}; }
  static LogTask task(std::uint32_t rank, const LogFilesOnDisk& files, std::uint32_t attempt = 1) {
    return {.rank = rank, .attempt = attempt, .files = files.provider()};
  }
  bool wait_streams(std::size_t count) const {
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    while (streamer_->stats().streams_open != count && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    return streamer_->stats().streams_open == count;
  }

  os::TestDir dir_;
  std::unique_ptr<LogStreamer> streamer_ = *LogStreamer::start();
  LogServer server_{*streamer_};
};

using Texts = std::vector<std::string>;

TEST_F(LogStreamerTest, SendsWhatIsThereByTimeThenTheEnd) {
  const auto a = files("a");
  const auto b = files("b");
  a.append(1'000, "stdout F a1");
  b.append(1'001, "stderr F b1");
  a.append(1'002, "stdout F a2");
  b.append(1'002, "stdout F b2");
  b.append(1'003, "stdout F b3");
  server_.request = {.job = kJob, .tasks = {task(0, a), task(1, b)}, .end = Json::object({{"state", "succeeded"}})};
  LogReader reader(server_);
  ASSERT_TRUE(reader.wait_end());
  EXPECT_EQ(reader.texts(), (Texts{"a1", "b1", "a2", "b2", "b3"}));
  EXPECT_EQ(reader.lines()[1], (api::LogLine{.task = 1, .attempt = 1, .time_ms = 1'001, .stream = 2, .text = "b1"}));
  EXPECT_EQ(reader.end(), "{\"state\":\"succeeded\"}");
  EXPECT_TRUE(wait_streams(0));
}

TEST_F(LogStreamerTest, FollowsUntilTheJobIsOverAndLosesNothingAtTheEnd) {
  const auto a = files("a");
  a.append(1'000, "stdout F one");
  server_.request = {.job = kJob, .tasks = {task(0, a)}};
  LogReader reader(server_);
  ASSERT_TRUE(reader.wait_lines(1));
  a.append(1'001, "stdout F two");
  ASSERT_TRUE(reader.wait_lines(2));
  a.append(1'002, "stdout F three");
  a.append(1'003, "stdout P no newline");
  streamer_->job_over({99}, "another job");
  streamer_->job_over(kJob, "over");
  ASSERT_TRUE(reader.wait_end());
  EXPECT_EQ(reader.texts(), (Texts{"one", "two", "three", "no newline"}));
  EXPECT_EQ(reader.end(), "\"over\"");
}

TEST_F(LogStreamerTest, FollowsFilesThroughRotation) {
  const auto a = files("a");
  server_.request = {.job = kJob, .tasks = {task(0, a)}};
  a.append(1'000, "stdout F line 0");
  LogReader reader(server_);
  Texts expected = {"line 0"};
  for (int i = 1; i < 60; ++i) {
    if (i % 10 == 0) {
      ASSERT_TRUE(reader.wait_lines(expected.size()));
      a.rotate();
    }
    a.append(1'000 + i, "stdout F line " + std::to_string(i));
    expected.push_back("line " + std::to_string(i));
  }
  streamer_->job_over(kJob, "over");
  ASSERT_TRUE(reader.wait_end());
  EXPECT_EQ(reader.end(), "\"over\"");
  EXPECT_EQ(join(reader.texts(), "\n"), join(expected, "\n"));
  EXPECT_EQ(streamer_->stats().gaps, 0u);
}

TEST_F(LogStreamerTest, FindsFilesThatAppearAfterTheStart) {
  const LogFilesOnDisk late(dir_.file("later"), 3);
  server_.request = {.job = kJob, .tasks = {task(0, late)}};
  LogReader reader(server_);
  ASSERT_TRUE(wait_streams(1));
  ASSERT_EQ(::mkdir(dir_.file("later").c_str(), 0755), 0);
  late.append(1'000, "stdout F hello");
  ASSERT_TRUE(reader.wait_lines(1));
  late.append(1'001, "stdout F again");
  ASSERT_TRUE(reader.wait_lines(2));
}

TEST_F(LogStreamerTest, TakesInTheTasksOfTheNextAttempt) {
  const auto first = files("first");
  const auto second = files("second");
  first.append(1'000, "stdout F try 1");
  second.append(2'000, "stdout F try 2");
  server_.request = {.job = kJob, .tasks = {task(0, first)}};
  LogReader reader(server_);
  ASSERT_TRUE(reader.wait_lines(1));
  streamer_->add_tasks({99}, {task(0, second, 7)});
  streamer_->add_tasks(kJob, {task(0, second, 2)});
  ASSERT_TRUE(reader.wait_lines(2));
  EXPECT_EQ(reader.lines()[1].attempt, 2u);
}

TEST_F(LogStreamerTest, LeavesOutWhatWasNotAskedFor) {
  const auto a = files("a");
  const auto b = files("b");
  a.append(1'000, "stdout F a old");
  for (int i = 0; i < 5; ++i) {
    a.append(2'000 + i, "stdout F a" + std::to_string(i));
    b.append(2'000 + i, "stdout F b" + std::to_string(i));
  }
  const LogStreamRequest all{.job = kJob, .tasks = {task(0, a), task(1, b), task(0, b, 2)}, .end = Json()};

  server_.request = all;
  server_.request.only_rank = 0;
  server_.request.only_attempt = 1;
  server_.request.since_ms = 2'003;
  LogReader since(server_);
  ASSERT_TRUE(since.wait_end());
  EXPECT_EQ(since.texts(), (Texts{"a3", "a4"}));

  server_.request = all;
  server_.request.only_attempt = 1;
  server_.request.tail_lines = 1;
  LogReader tail(server_);
  ASSERT_TRUE(tail.wait_end());
  EXPECT_EQ(tail.texts(), (Texts{"a4", "b4"}));
}

TEST_F(LogStreamerTest, WithoutFollowingItEndsThoughTheTaskGoesOn) {
  const auto a = files("a");
  a.append(1'000, "stdout F one");
  std::atomic<bool> is_stopping = false;
  std::thread writer([&] {
    for (int i = 0; !is_stopping; ++i) {
      a.append(1'001 + i, "stdout F more");
    }
  });
  server_.request = {.job = kJob, .tasks = {task(0, a)}, .end = Json("for now")};
  LogReader reader(server_);
  EXPECT_TRUE(reader.wait_end());
  EXPECT_EQ(reader.end(), "\"for now\"");
  is_stopping = true;
  writer.join();
}

TEST_F(LogStreamerTest, ASlowClientGetsEveryLineAndHoldsNobodyUp) {
  // Far more than sockets and the stream's own buffer hold.
  constexpr int kLines = 60'000;
  const std::string filler(200, 'x');
  const auto big = files("big");
  std::string text;
  for (int i = 0; i < kLines; ++i) {
    text += "1970-01-01T00:00:01.000000000+00:00 stdout F " + filler + std::to_string(i) + "\n";
  }
  big.append_raw(text);
  const auto small = files("small");
  small.append(1'000, "stdout F quick");

  server_.request = {.job = kJob, .tasks = {task(0, big)}, .end = Json("done")};
  const auto slow = server_.client();
  std::mutex mutex;
  std::condition_variable changed;
  bool may_go_on = false;
  bool has_begun = false;
  std::vector<std::string> ends;
  int lines = 0;
  bool is_in_order = true;
  std::thread slow_reader([&] {
    const auto result = slow->stream_events({}, [&](const net::SseEvent& event) {
      std::unique_lock lock(mutex);
      has_begun = true;
      changed.notify_all();
      changed.wait_for(lock, kDeadline, [&] { return may_go_on; });
      if (event.event == "line") {
        is_in_order = is_in_order && event.data.find("x" + std::to_string(lines) + "\"") != std::string::npos;
        ++lines;
      } else {
        ends.push_back(event.event + " " + event.data);
      }
      return true;
    });
    EXPECT_TRUE(result.has_value()) << result.error().to_string();
  });
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, kDeadline, [&] { return has_begun; }));
  }
  server_.request = {.job = kJob, .tasks = {task(0, small)}, .end = Json("done")};
  LogReader quick(server_);
  EXPECT_TRUE(quick.wait_end()) << "while the first client does not read";
  EXPECT_TRUE(wait_streams(1)) << "the slow client must still wait";
  {
    const std::lock_guard lock(mutex);
    may_go_on = true;
    changed.notify_all();
  }
  slow_reader.join();
  EXPECT_EQ(lines, kLines);
  EXPECT_TRUE(is_in_order);
  EXPECT_EQ(ends, Texts{"end \"done\""});
}

TEST_F(LogStreamerTest, ForgetsAClientThatIsGone) {
  const auto a = files("a");
  a.append(1'000, "stdout F one");
  server_.request = {.job = kJob, .tasks = {task(0, a)}};
  LogReader reader(server_);
  ASSERT_TRUE(reader.wait_lines(1));
  EXPECT_TRUE(wait_streams(1));
  reader.leave();
  EXPECT_TRUE(wait_streams(0));
}

TEST_F(LogStreamerTest, StoppingEndsTheStreamsWithoutAnEndEvent) {
  const auto a = files("a");
  a.append(1'000, "stdout F one");
  server_.request = {.job = kJob, .tasks = {task(0, a)}};
  LogReader reader(server_);
  ASSERT_TRUE(reader.wait_lines(1));
  streamer_->stop();
  ASSERT_TRUE(reader.wait_end());
  EXPECT_EQ(reader.end(), "");
  streamer_->job_over(kJob, {});
  streamer_->stop();
}

}  // namespace
}  // namespace busbar::control
