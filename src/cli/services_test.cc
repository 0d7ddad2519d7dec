#include <gtest/gtest.h>

#include <atomic>
#include <fstream>

#include "cli/serve.h"
#include "cli/test_support.h"
#include "os/test_dir.h"

namespace busbar::cli {
namespace {

using testing::CommandLineRunner;
using testing::FakeServer;
using testing::kNow;

api::ServiceStatus chat(std::uint32_t ready) {
  return {.name = "chat",
          .user = "ada",
          .queue = "serving",
          .state = ready < 2 ? "starting" : "ready",
          .revision = 2,
          .previous_revision = 1,
          .min_replicas = 0,
          .max_replicas = 8,
          .desired = 2,
          .ready = ready,
          .target = 4,
          .waiting = 1,
          .running = 6,
          .requests_per_second = 12.5,
          .start_ms = 230,
          .last_error = "chat-3 ended: exit code 3",
          .created_ms = kNow - 7'200'000,
          .changed_ms = kNow - 60'000,
          .url = "http://127.0.0.1:7780/services/chat/",
          .hosts = {"chat.example"},
          .models = {"tiny"},
          .replicas = {{.name = "chat-4",
                        .job = {17},
                        .revision = 2,
                        .state = "ready",
                        .address = "127.0.0.1:20017",
                        .created_ms = kNow - 60'000,
                        .ready_ms = kNow - 59'000,
                        .running = 6},
                       {.name = "chat-5",
                        .job = {18},
                        .revision = 2,
                        .state = "queued",
                        .created_ms = kNow - 60'000,
                        .detail = "no card is free"}}};
}

class ServicesVerbs : public ::testing::Test {
 protected:
  testing::RunResult run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--server", server_.url()});
    return runner_.run(arguments);
  }
  std::string file() {
    const std::string path = dir_.path() + "/chat.yaml";
    std::ofstream(path) << "type: service\nrun: serve\n";
    return path;
  }
  /// Ready after it has been asked for `looks` times.
  void answer_by(int looks) {
    server_.on_json("POST /v1/services", api::to_json(api::SubmitAnswer{.service = chat(0)}), 201);
    server_.on("GET /v1/services/chat", [this, looks](const net::HttpRequest&, auto exchange) {
      exchange->respond(net::json_response(200, api::to_json(chat(++asked_ < looks ? 1 : 2))));
    });
  }

  FakeServer server_;
  CommandLineRunner runner_;
  os::TestDir dir_;
  std::atomic<int> asked_ = 0;
};

TEST_F(ServicesVerbs, ListsAndShows) {
  api::ServiceStatus warned = chat(1);
  warned.warning = "chat-6 is kept warm without being paused, so it uses CPU while nobody needs it: no freezer";
  server_.on_json("GET /v1/services", api::to_json(api::ServiceList{{warned, {.name = "vad", .state = "idle"}}}));
  server_.on_json("GET /v1/services/chat", api::to_json(warned));
  EXPECT_NE(run({"services", "--json"}).out.find("is kept warm without being paused"), std::string::npos);
  EXPECT_NE(run({"services", "chat", "--json"}).out.find("is kept warm without being paused"), std::string::npos);
  const auto list = run({"services"});
  const auto one = run({"services", "chat"});
  testing::expect_golden("services.txt", list.out + "\n" + one.out);
}

TEST_F(ServicesVerbs, ServeWaitsUntilItIsReadyAndSaysWhere) {
  answer_by(3);
  const auto done = run({"serve", file()});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(asked_, 3);
  EXPECT_NE(done.out.find("service chat is ready\n  http://127.0.0.1:7780/services/chat/\n"), std::string::npos);
  EXPECT_NE(done.err.find("service chat revision 2: 1 of 2 ready"), std::string::npos) << done.err;
}

TEST_F(ServicesVerbs, ServeDetachedReturnsAtOnce) {
  answer_by(1);
  const auto done = run({"serve", "-d", file()});
  EXPECT_EQ(done.exit_code, 0);
  EXPECT_EQ(asked_, 0);
}

TEST_F(ServicesVerbs, ServeGivesUpOnReplicasThatKeepFailing) {
  answer_by(1);
  api::ServiceStatus failing = chat(0);
  failing.state = "failing";
  failing.failures = 3;
  server_.on_json("GET /v1/services/chat", api::to_json(failing));
  const auto done = run({"serve", file()});
  EXPECT_NE(done.exit_code, 0);
  EXPECT_NE(done.err.find("does not get ready: chat-3 ended: exit code 3"), std::string::npos) << done.err;
}

TEST_F(ServicesVerbs, ServeSaysWhenARevisionWasTakenBack) {
  answer_by(1);
  api::ServiceStatus older = chat(2);
  older.revision = 1;
  older.last_error = "revision 2 was taken back";
  server_.on_json("GET /v1/services/chat", api::to_json(older));
  const auto done = run({"serve", file()});
  EXPECT_NE(done.exit_code, 0);
  EXPECT_NE(done.err.find("revision 2 was taken back"), std::string::npos) << done.err;
}

TEST_F(ServicesVerbs, ChangeByOneRequestEach) {
  server_.on_json("POST /v1/services/chat/scale", api::to_json(chat(2)));
  server_.on_json("POST /v1/services/chat/rollback", api::to_json(chat(2)));
  server_.on_json("DELETE /v1/services/chat", api::to_json(chat(2)));
  EXPECT_EQ(run({"services", "scale", "chat", "0..8"}).exit_code, 0);
  EXPECT_EQ(run({"services", "rollback", "chat"}).exit_code, 0);
  EXPECT_EQ(run({"services", "delete", "chat"}).out, "service chat is being deleted\n");
  EXPECT_EQ(server_.requests(),
            (std::vector<std::string>{"POST /v1/services/chat/scale?replicas=0..8", "POST /v1/services/chat/rollback",
                                      "DELETE /v1/services/chat"}));
}

TEST_F(ServicesVerbs, KeysAreListedWithoutTheirTextsAndShownOnce) {
  const api::KeyStatus app{.id = "0123456789ab",
                           .name = "app",
                           .user = "ada",
                           .tenant = "research",
                           .services = {"chat", "vad"},
                           .tokens = "50000/m",
                           .created_ms = kNow - 60'000};
  server_.on_json("GET /v1/keys", api::to_json(api::KeyList{{app, {.id = "ba", .name = "x", .tenant = "sales"}}}));
  server_.on_json("GET /v1/tenants",
                  api::to_json(api::TenantList{{{.name = "research", .weight = 4, .tokens = "1000000/m", .keys = 1}}}));
  api::KeyStatus made = app;
  made.key = "bbk_secret";
  server_.on_json("POST /v1/keys", api::to_json(made), 201);
  testing::expect_golden("keys.txt", run({"keys"}).out + "\n" + run({"tenants"}).out);
  const auto created = run({"keys", "create", "app", "--tenant", "research", "--service", "chat", "--tokens", "9/m"});
  EXPECT_EQ(created.exit_code, 0) << created.err;
  EXPECT_EQ(created.out, "bbk_secret\n");
  EXPECT_EQ(server_.body_of("POST /v1/keys"),
            R"({"name":"app","tenant":"research","services":["chat"],"requests":"","tokens":"9/m"})");
}

TEST_F(ServicesVerbs, ATenantKeepsWhatIsNotGiven) {
  server_.on_json("GET /v1/tenants",
                  api::to_json(api::TenantList{{{.name = "research", .weight = 4, .requests = "5/s"}}}));
  server_.on_json("PUT /v1/tenants/research", api::to_json(api::TenantStatus{.name = "research"}));
  EXPECT_EQ(run({"tenants", "set", "research", "--tokens", "7/h"}).exit_code, 0);
  EXPECT_EQ(server_.body_of("PUT /v1/tenants/research"), R"({"weight":4,"requests":"5/s","tokens":"7/h"})");
}

}  // namespace
}  // namespace busbar::cli
