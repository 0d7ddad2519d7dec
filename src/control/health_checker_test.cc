#include "control/health_checker.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>

#include "net/server.h"
#include "os/unique_fd.h"

namespace busbar::control {
namespace {

/// Answers the path /healthz as it is told.
class Backend final : public net::HttpHandler {
 public:
  Backend() {
    auto started = net::HttpServer::start({}, *this);
    EXPECT_TRUE(started);
    server_ = *std::move(started);
  }
  ~Backend() override { stop(); }
  void stop() {
    if (server_) server_->stop(0);
    server_.reset();
  }
  void handle(net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange) override {
    ++asked;
    if (is_silent) return held_.push_back(std::move(exchange));
    exchange->respond({.status = request.path == "/healthz" ? status.load() : 404});
  }
  std::uint16_t port() const { return server_->port(); }

  std::atomic<int> status = 200;
  std::atomic<int> asked = 0;
  std::atomic<bool> is_silent = false;

 private:
  std::vector<std::shared_ptr<net::HttpExchange>> held_;
  std::unique_ptr<net::HttpServer> server_;
};

/// What the checker said last of each target.
class Heard {
 public:
  HealthChecker::Sink sink() {
    return [this](const std::string& id, bool is_ready, const std::string& detail) {
      const std::lock_guard lock(mutex_);
      last_[id] = {is_ready, detail};
      changed_.notify_all();
    };
  }
  std::string wait(const std::string& id, bool is_ready) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [&] {
      return last_.contains(id) && last_.at(id).first == is_ready;
    })) << id;
    return last_.contains(id) ? last_.at(id).second : "";
  }
  bool has(const std::string& id) {
    const std::lock_guard lock(mutex_);
    return last_.contains(id);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::pair<bool, std::string>> last_;
};

HealthTarget target(const std::string& id, std::uint16_t port, const std::string& path = "/healthz") {
  return {
      .id = id, .address = "127.0.0.1", .port = port, .path = path, .every_ms = 20, .timeout_ms = 5'000, .failures = 2};
}

class HealthCheckerTest : public testing::Test {
 protected:
  Heard heard_;
  Backend backend_;
  std::unique_ptr<HealthChecker> checker_ = *HealthChecker::start(heard_.sink());
};

TEST_F(HealthCheckerTest, FindsAReplicaReadyAndSickAndReadyAgain) {
  checker_->watch({target("a-1", backend_.port())});
  heard_.wait("a-1", true);
  backend_.status = 503;
  EXPECT_NE(heard_.wait("a-1", false).find("answers 503"), std::string::npos);
  backend_.status = 204;
  heard_.wait("a-1", true);
}

TEST_F(HealthCheckerTest, WithoutAPathAConnectionIsEnough) {
  backend_.is_silent = true;
  checker_->watch({target("a-1", backend_.port(), "")});
  heard_.wait("a-1", true);
  EXPECT_EQ(backend_.asked, 0);
}

TEST_F(HealthCheckerTest, SaysThatNobodyListens) {
  const std::uint16_t port = backend_.port();
  backend_.stop();
  checker_->watch({target("a-1", port)});
  EXPECT_NE(heard_.wait("a-1", false).find("refused"), std::string::npos);
}

TEST_F(HealthCheckerTest, GivesUpOnAnAnswerThatDoesNotCome) {
  backend_.is_silent = true;
  HealthTarget silent = target("a-1", backend_.port());
  silent.timeout_ms = 10;
  silent.is_ready = true;  // so that its failures are told
  checker_->watch({silent});
  EXPECT_NE(heard_.wait("a-1", false).find("no answer within 10 ms"), std::string::npos);
}

TEST_F(HealthCheckerTest, ChecksOnlyWhatIsWanted) {
  const Backend other;
  checker_->watch({target("a-1", backend_.port())});
  heard_.wait("a-1", true);
  checker_->watch({target("a-2", other.port())});
  heard_.wait("a-2", true);
  const int asked = backend_.asked;
  backend_.status = 503;
  checker_->watch({target("a-3", other.port())});
  heard_.wait("a-3", true);
  EXPECT_LE(backend_.asked, asked + 1);  // one check may have been under way
}

TEST_F(HealthCheckerTest, AnAddressThatIsNoneIsSick) {
  HealthTarget strange = target("a-1", 1);
  strange.address = "nowhere";
  strange.is_ready = true;
  checker_->watch({strange});
  EXPECT_NE(heard_.wait("a-1", false).find("no address"), std::string::npos);
}

}  // namespace
}  // namespace busbar::control
