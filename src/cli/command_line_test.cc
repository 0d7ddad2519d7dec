#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>

#include "base/text.h"
#include "cli/test_support.h"
#include "net/sse.h"
#include "os/process.h"

namespace busbar::cli {
namespace {

using testing::CommandLineRunner;
using testing::FakeServer;
using testing::finished_job;
using testing::kNow;
using testing::RunResult;
using testing::sample_job;

/// A command line that talks to a fake server.
struct CommandLine : ::testing::Test {
  FakeServer server;
  CommandLineRunner runner;

  CommandLine() {
    runner.environment["BUSBAR_SERVER"] = server.url();
    runner.environment["BUSBAR_TOKEN"] = "t0ken";
  }
  RunResult run(const std::vector<std::string>& arguments) { return runner.run(arguments); }

  /// A job 17 that prints two lines and ends as given.
  void serve_job(const api::JobStatus& end) {
    api::JobStatus queued = sample_job();
    queued.state = model::JobState::kQueued;
    server.on_json("POST /v1/jobs", api::to_json(api::SubmitAnswer{.jobs = {queued}}), 201);
    server.on_json("GET /v1/jobs/17", api::to_json(end));
    server.on_events("GET /v1/jobs/17/watch",
                     {{"job", api::to_json(queued)}, {"job", api::to_json(sample_job())}, {"job", api::to_json(end)}});
    server.on_events(
        "GET /v1/jobs/17/logs",
        {{"line", api::to_json(api::LogLine{.task = 0, .attempt = 1, .time_ms = 5, .text = "hello"})},
         {"line", api::to_json(api::LogLine{.task = 1, .attempt = 1, .time_ms = 6, .stream = 2, .text = "oh no"})},
         {"end", Json::object({{"state", "failed"}})}});
  }
};

TEST_F(CommandLine, PsPrintsATableAndSendsTheToken) {
  server.on_json("GET /v1/jobs", api::to_json(api::JobList{.jobs = {sample_job()}}));
  const RunResult result = run({"ps", "-a", "--queue", "vision"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("17  digits  ada   vision  running"), std::string::npos) << result.out;
  EXPECT_EQ(server.requests().back(), "GET /v1/jobs?all=true&queue=vision&limit=200");
  EXPECT_EQ(server.last_authorization(), "Bearer t0ken");
}

TEST_F(CommandLine, PsReadsPagesUntilThereIsNoMore) {
  server.on("GET /v1/jobs", [](const net::HttpRequest& request, std::shared_ptr<net::HttpExchange> exchange) {
    const bool is_second = request.query_value("before") == "17";
    api::JobStatus job = sample_job();
    job.id = {is_second ? 16U : 17U};
    exchange->respond(
        net::json_response(200, api::to_json(api::JobList{.jobs = {job}, .next_before = {is_second ? 0U : 17U}})));
  });
  EXPECT_EQ(run({"ps", "-q", "-n", "0"}).out, "17\n16\n");
}

TEST_F(CommandLine, JsonIsOneDocumentWithTheServersFields) {
  server.on_json("GET /v1/nodes", Json::object({{"nodes", Json::array()}, {"new_field", 1}}));
  const RunResult result = run({"nodes", "--json"});
  EXPECT_EQ(result.out, "{\"nodes\":[],\"new_field\":1}\n");
}

TEST_F(CommandLine, RunShowsOutputAndMirrorsTheExitCode) {
  serve_job(finished_job(model::ExitClass::kUser, 3));
  const RunResult result = run({"run", "-N", "2", "--env", "A=1", "--", "python3", "train.py", "--lr", "0.1"});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_EQ(result.out, "0: hello\n");
  EXPECT_NE(result.err.find("1: oh no\n"), std::string::npos);
  EXPECT_NE(result.err.find("busbar: 17 digits failed (attempt 2): exit code 3 (user)"), std::string::npos)
      << result.err;
  const auto body = parse_json(server.body_of("POST /v1/jobs"));
  ASSERT_TRUE(body);
  const auto request = api::from_json<api::SubmitRequest>(*body);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->file, R"({"name":"train","run":"python3 train.py --lr 0.1"})");
  EXPECT_EQ(request->overrides, (std::vector<std::string>{"nodes=2", "env.A=1"}));
  EXPECT_EQ(request->default_workdir, std::filesystem::current_path().string());
}

TEST_F(CommandLine, RunTakesFlagsOfTheCommandAsTheCommands) {
  serve_job(finished_job());
  const RunResult result = run({"run", "-q", "echo", "--json", "-N", "3"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(server.body_of("POST /v1/jobs").find("echo --json -N 3"), std::string::npos);
}

TEST_F(CommandLine, RunDetachedPrintsTheJob) {
  serve_job(finished_job());
  EXPECT_EQ(run({"run", "-d", "-q", "--", "true"}).out, "17\n");
  EXPECT_EQ(run({"run", "-d", "--", "true"}).out, "job 17 digits queued\n");
}

TEST_F(CommandLine, RunWithJsonGivesAnObjectALine) {
  serve_job(finished_job());
  const RunResult result = run({"run", "--json", "--", "true"});
  int jobs = 0;
  int lines = 0;
  for (const std::string_view text : split(trim(result.out), '\n')) {
    const auto json = parse_json(text);
    ASSERT_TRUE(json) << text;
    jobs += (*json)["job"].is_object() ? 1 : 0;
    lines += (*json)["line"].is_object() ? 1 : 0;
  }
  EXPECT_EQ(jobs, 3);
  EXPECT_EQ(lines, 2);
}

TEST_F(CommandLine, StreamsThatBreakAreOpenedAgainWithoutRepeatingLines) {
  serve_job(finished_job());
  auto opened = std::make_shared<std::atomic<int>>(0);
  server.on(
      "GET /v1/jobs/17/logs", [opened](const net::HttpRequest& request, std::shared_ptr<net::HttpExchange> exchange) {
        net::SseWriter writer = net::SseWriter::start(*exchange);
        const auto send = [&writer](TimeMs time_ms, const char* text) {
          writer.send({.event = "line",
                       .data = api::to_json(api::LogLine{.attempt = 1, .time_ms = time_ms, .text = text}).dump()});
        };
        send(5, "one");
        send(7, "two");
        if (++*opened > 1) {
          EXPECT_EQ(request.query_value("since_ms"), "7");
          send(7, "three");
          writer.send({.event = "end", .data = "{}"});
        }
        writer.end();  // Without `end` the first time: the server went away.
      });
  const RunResult result = run({"run", "-q", "--", "true"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "0: one\n0: two\n0: three\n");
  *opened = 0;
  EXPECT_EQ(run({"logs", "-f", "--tail", "2", "17"}).out, result.out);
}

TEST_F(CommandLine, ErrorsOfRunGive125) {
  server.on_json("POST /v1/jobs",
                 api::to_json(api::ErrorBody{
                     .error = {.code = ErrorCode::kInfeasible, .message = "no node has 64 cards of chip H100"}}),
                 422);
  const RunResult result = run({"run", "--", "true"});
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_EQ(result.err, "busbar: error: no node has 64 cards of chip H100\n");
}

TEST_F(CommandLine, CtrlCStopsTheJobOnce) {
  serve_job(finished_job(model::ExitClass::kCancelled, 143));
  // The watch goes on until the job was asked to stop.
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<net::SseWriter> writer;
  };
  auto shared = std::make_shared<Shared>();
  server.on("GET /v1/jobs/17/watch", [shared](const net::HttpRequest&, std::shared_ptr<net::HttpExchange> exchange) {
    const std::lock_guard lock(shared->mutex);
    shared->writer = net::SseWriter::start(*exchange);
    shared->writer->send({.event = "job", .data = api::to_json(sample_job()).dump()});
    shared->changed.notify_all();
  });
  server.on("POST /v1/jobs/17/stop", [shared](const net::HttpRequest&, std::shared_ptr<net::HttpExchange> exchange) {
    exchange->respond(net::json_response(202, api::to_json(sample_job())));
    const std::lock_guard lock(shared->mutex);
    shared->writer->send(
        {.event = "job", .data = api::to_json(finished_job(model::ExitClass::kCancelled, 143)).dump()});
    shared->writer->end();
  });
  RunResult result;
  std::thread thread([&] { result = run({"run", "--", "sleep", "100"}); });
  {
    std::unique_lock lock(shared->mutex);
    ASSERT_TRUE(shared->changed.wait_for(lock, std::chrono::seconds(20), [&] { return shared->writer.has_value(); }));
  }
  // The loop blocks SIGINT before it opens its streams, so the signal waits for its signalfd.
  ASSERT_EQ(pthread_kill(thread.native_handle(), SIGINT), 0);
  thread.join();
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_NE(result.err.find("stopping job 17"), std::string::npos) << result.err;
  EXPECT_EQ(std::ranges::count(server.requests(), "POST /v1/jobs/17/stop"), 1);
}

TEST_F(CommandLine, WaitMirrorsTheFirstJobThatFailed) {
  serve_job(finished_job(model::ExitClass::kTimeLimit, 143));
  EXPECT_EQ(run({"wait", "17"}).exit_code, 124);
  server.on_json("GET /v1/jobs/18", api::to_json(finished_job()));
  EXPECT_EQ(run({"wait", "18", "17"}).exit_code, 124);
  EXPECT_EQ(run({"wait", "18"}).exit_code, 0);
  EXPECT_EQ(run({"wait", "nobody"}).exit_code, 125);
}

TEST_F(CommandLine, ApplyShowsEveryDiagnosticWithItsLine) {
  const auto path = std::filesystem::temp_directory_path() / ("busbar-cli-" + std::to_string(::getpid()) + ".yaml");
  std::ofstream(path) << "name: digits\nnodse: 2\nrun: true\n";
  server.on_json(
      "POST /v1/jobs",
      api::to_json(api::ErrorBody{.error = {.code = ErrorCode::kInvalidArgument, .message = "the job file has 1 error"},
                                  .diagnostics = {{.line = 2,
                                                   .column = 1,
                                                   .field = "nodse",
                                                   .message = "unknown key \"nodse\"",
                                                   .hint = "did you mean nodes?"}}}),
      400);
  const RunResult result = run({"apply", "-f", path.string()});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find(path.string() + ":2:1: error: "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("nodse: 2\n"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("did you mean nodes?"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("busbar: error: the job file has 1 error\n"), std::string::npos) << result.err;

  const RunResult json = run({"apply", "--json", "-f", path.string()});
  const auto body = parse_json(json.err);
  ASSERT_TRUE(body) << json.err;
  EXPECT_EQ((*body)["error"]["diagnostics"].items().size(), 1U);
  std::filesystem::remove(path);
}

TEST_F(CommandLine, ApplyWatchEndsWithASummaryAndTheExitCode) {
  const auto path = std::filesystem::temp_directory_path() / ("busbar-cli-w" + std::to_string(::getpid()) + ".yaml");
  std::ofstream(path) << "name: digits\nrun: true\n";
  serve_job(finished_job(model::ExitClass::kUser, 4));
  const RunResult result = run({"apply", "--watch", "--set", "nodes=2", "-f", path.string()});
  EXPECT_EQ(result.exit_code, 4) << result.err;
  EXPECT_NE(result.out.find("job 17 digits queued\n"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("Where the card time went"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("val_accuracy 0.9512"), std::string::npos) << result.out;
  std::filesystem::remove(path);
}

TEST_F(CommandLine, LogsGoToTheStreamsTheyCameFrom) {
  serve_job(finished_job());
  const RunResult result = run({"logs", "--tail", "5", "--since", "1m", "--timestamps", "17"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "1970-01-01T00:00:00.005Z 0: hello\n");
  EXPECT_EQ(result.err, "1970-01-01T00:00:00.006Z 1: oh no\n");
  EXPECT_EQ(server.requests().back(), "GET /v1/jobs/17/logs?tail=5&since_ms=" + std::to_string(kNow - 60'000));
  EXPECT_EQ(split(trim(run({"logs", "--json", "17"}).out), '\n').size(), 2U);
}

TEST_F(CommandLine, StopGoesOnAfterAFailureAndGivesItsCode) {
  server.on_json("POST /v1/jobs/17/stop", api::to_json(sample_job()), 202);
  const RunResult result = run({"stop", "--grace", "2s", "missing", "17"});
  EXPECT_EQ(result.exit_code, exit_code(ErrorCode::kNotFound));
  EXPECT_EQ(server.requests().back(), "POST /v1/jobs/17/stop?grace_ms=2000");
  EXPECT_NE(result.err.find("stopping job 17 digits"), std::string::npos) << result.err;
}

TEST_F(CommandLine, AServerThatIsAwayIsSaidWithWhatToDo) {
  runner.environment["BUSBAR_SERVER"] = "http://127.0.0.1:1";
  const RunResult result = run({"ps"});
  EXPECT_EQ(result.exit_code, exit_code(ErrorCode::kUnavailable));
  EXPECT_NE(result.err.find("busbar: error: no busbar server answers at http://127.0.0.1:1"), std::string::npos)
      << result.err;
  EXPECT_NE(result.err.find("busbar: hint: the address came from BUSBAR_SERVER"), std::string::npos) << result.err;
}

TEST_F(CommandLine, ARefusedTokenIsSaidWithWhereItCameFrom) {
  server.on_json("GET /v1/jobs",
                 api::to_json(api::ErrorBody{.error = {.code = ErrorCode::kUnauthenticated, .message = "bad token"}}),
                 401);
  const RunResult result = run({"ps"});
  EXPECT_EQ(result.exit_code, exit_code(ErrorCode::kUnauthenticated));
  EXPECT_NE(result.err.find("hint: the token came from BUSBAR_TOKEN"), std::string::npos) << result.err;
}

TEST_F(CommandLine, AnotherServerOnThePortIsRecognised) {
  server.on("GET /v1/jobs", [](const net::HttpRequest&, std::shared_ptr<net::HttpExchange> exchange) {
    exchange->respond(net::text_response(200, "text/html", "<html>"));
  });
  EXPECT_NE(run({"ps"}).err.find("is not a busbar server"), std::string::npos);
}

TEST_F(CommandLine, SecretsAreReadFromInputAndNeverShown) {
  auto pipe = os::make_pipe();
  ASSERT_TRUE(pipe);
  ASSERT_EQ(::write(pipe->write_end.get(), "hunter2\n", 8), 8);
  pipe->write_end.reset();
  runner.input = pipe->read_end.get();
  server.on("PUT /v1/secrets/hub", [](const net::HttpRequest&, std::shared_ptr<net::HttpExchange> exchange) {
    exchange->respond({.status = 204});
  });
  const RunResult result = run({"secret", "set", "hub"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(server.body_of("PUT /v1/secrets/hub"), "hunter2");
  EXPECT_EQ((result.out + result.err).find("hunter2"), std::string::npos);
}

TEST_F(CommandLine, BackupAppearsWholeOrNotAtAll) {
  const auto path = std::filesystem::temp_directory_path() / ("busbar-cli-b" + std::to_string(::getpid()) + ".db");
  server.on("GET /v1/backup", [](const net::HttpRequest&, std::shared_ptr<net::HttpExchange> exchange) {
    exchange->respond(net::text_response(200, "application/octet-stream", "bytes"));
  });
  EXPECT_EQ(run({"backup", path.string()}).exit_code, 0);
  EXPECT_EQ(std::filesystem::file_size(path), 5U);
  EXPECT_EQ(run({"journal", "export", path.string() + ".bbj"}).exit_code, exit_code(ErrorCode::kNotFound));
  EXPECT_FALSE(std::filesystem::exists(path.string() + ".bbj"));
  EXPECT_FALSE(std::filesystem::exists(path.string() + ".bbj.part"));
  std::filesystem::remove(path);
}

TEST_F(CommandLine, UpGivesFlagsToTheServerInTheConfigurationsWords) {
  ServerCommandOptions seen;
  runner.hooks.serve = [&seen](const ServerCommandOptions& options) {
    seen = options;
    return 7;
  };
  EXPECT_EQ(run({"up", "--listen", "127.0.0.1:0", "--cpu-cards", "4", "--state-dir", "/s", "--set", "a.b=c"}).exit_code,
            7);
  const std::vector<std::pair<std::string, std::string>> wanted{
      {"a.b", "c"}, {"listen", "127.0.0.1:0"}, {"state_dir", "/s"}, {"cpu_cards", "4"}};
  EXPECT_EQ(seen.overrides, wanted);
  EXPECT_EQ(seen.role, ServerCommandOptions::Role::kUp);
  EXPECT_EQ(run({"server"}).exit_code, 7);
  EXPECT_EQ(seen.role, ServerCommandOptions::Role::kServer);
}

TEST(Usage, MistakesAreSaidWithWhatWasMeant) {
  CommandLineRunner runner;
  struct Row {
    std::vector<std::string> arguments;
    int exit_code;
    const char* text;
  };
  const Row rows[] = {
      {{"squeue"}, 2, "there is no verb \"squeue\"; try: busbar ps"},
      {{"secret"}, 2, "busbar secret needs a second word: secret set, secret list, secret rm"},
      {{"ps", "--stat", "x"}, 2, "busbar ps has no flag --stat; did you mean --state?"},
      {{"ps", "extra"}, 2, "busbar ps takes no \"extra\""},
      {{"describe"}, 2, "busbar describe needs 1 JOB, not 0"},
      {{"stop"}, 2, "busbar stop needs at least 1 JOB"},
      {{"logs", "--tail", "x", "17"}, 2, "--tail: \"x\" is no number from 0 on"},
      {{"--sever", "x", "ps"}, 2, "busbar has no flag --sever; did you mean --server?"},
      {{}, 2, "which verb?"},
      {{"run"}, 125, "which command?"},
      {{"exec", "17"}, 125, "which command?"},
      {{"apply"}, 2, "which job file?"},
      {{"up"}, exit_code(ErrorCode::kUnsupported), "this build of busbar has no server in it"},
      {{"completion", "tcsh"}, 2, "no completion for \"tcsh\""},
      {{"--server", "pool:1", "ps"}, 2, "is no address"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(join(row.arguments, " "));
    const RunResult result = runner.run(row.arguments);
    EXPECT_EQ(result.exit_code, row.exit_code);
    EXPECT_NE(result.err.find(row.text), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "");
  }
}

TEST(Usage, GlobalFlagsWorkBeforeAndAfterTheVerb) {
  CommandLineRunner runner;
  EXPECT_EQ(runner.run({"--version"}).out, "busbar 1.2.3\n");
  EXPECT_NE(runner.run({"--help"}).out.find("Usage: busbar"), std::string::npos);
  EXPECT_NE(runner.run({"ps", "--help"}).out.find("Usage: busbar ps"), std::string::npos);
  EXPECT_NE(runner.run({"--help", "ps"}).out.find("Usage: busbar ps"), std::string::npos);
  EXPECT_NE(runner.run({"run", "--help"}).out.find("Usage: busbar run"), std::string::npos);
}

TEST(Usage, SchemaNeedsNoServer) {
  CommandLineRunner runner;
  const RunResult result = runner.run({"schema"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(parse_json(result.out));
}

}  // namespace
}  // namespace busbar::cli
