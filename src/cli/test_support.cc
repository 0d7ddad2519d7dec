#include "cli/test_support.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/test_paths.h"
#include "net/sse.h"

namespace busbar::cli::testing {

void expect_golden(const std::string& name, const std::string& text) {
  const std::filesystem::path path = std::filesystem::path(BUSBAR_SOURCE_DIR) / "tests/golden/cli" / name;
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return;
  }
  std::ifstream file(path, std::ios::binary);
  ASSERT_TRUE(file) << path << " is missing; UPDATE_GOLDEN=1 writes it";
  std::ostringstream wanted;
  wanted << file.rdbuf();
  EXPECT_EQ(text, wanted.str()) << path << "; UPDATE_GOLDEN=1 writes it again";
}

api::JobStatus sample_job() {
  api::JobStatus job{.id = {17},
                     .name = "digits",
                     .user = "ada",
                     .queue = "vision",
                     .state = model::JobState::kRunning,
                     .priority = 5,
                     .nodes = 2,
                     .cards = "2x1 cpu",
                     .milli_cards = 2000,
                     .submitted_ms = kNow - 190'000,
                     .started_ms = kNow - 65'000,
                     .attempt = 2,
                     .restarts = 1,
                     .node_names = {"node-1", "node-2"}};
  job.progress = {.step = 120,
                  .total_steps = 600,
                  .loss = 0.4119,
                  .steps_per_second = 24.5,
                  .samples_per_second = 1234.5,
                  .eta_ms = 19'600,
                  .metrics = {{"val_accuracy", 0.9512}},
                  .last_checkpoint = "/ckpt/step-100"};
  job.attempts = {{.number = 1,
                   .placed_ms = kNow - 189'500,
                   .image_ready_ms = kNow - 189'200,
                   .started_ms = kNow - 188'000,
                   .ended_ms = kNow - 70'000,
                   .exit_class = "infrastructure",
                   .reason = "node-3 is unreachable",
                   .chip = "cpu"},
                  {.number = 2,
                   .placed_ms = kNow - 66'000,
                   .image_ready_ms = kNow - 65'800,
                   .started_ms = kNow - 65'000,
                   .chip = "cpu",
                   .tasks = {{.rank = 0, .node = "node-1", .cards = {0, 1}, .state = "running"},
                             {.rank = 1,
                              .node = "node-2",
                              .cards = {0},
                              .state = "ended",
                              .exit_code = 137,
                              .exit_class = "oom",
                              .detail = "over its memory limit of 2GiB"}}}};
  job.efficiency = {.milli_card_ms = {{"queue", 1'000'000},
                                      {"image", 0},
                                      {"start", 2'600'000},
                                      {"compute", 350'000'000},
                                      {"lost", 26'400'000}},
                    .total_milli_card_ms = 380'000'000,
                    .mfu = 0.0123,
                    .mfu_denominator = "nominal-dense fp32"};
  job.spec = Json::object({{"name", "digits"}, {"nodes", 2}, {"run", "python3 train.py\necho done\n"}});
  job.log_paths = {"/var/lib/busbar/attempts/17.2/0.log", "/var/lib/busbar/attempts/17.2/1.log"};
  return job;
}

api::JobStatus finished_job(model::ExitClass exit_class, int exit_code) {
  api::JobStatus job = sample_job();
  job.state = exit_class == model::ExitClass::kSuccess     ? model::JobState::kSucceeded
              : exit_class == model::ExitClass::kCancelled ? model::JobState::kCancelled
                                                           : model::JobState::kFailed;
  job.ended_ms = kNow - 5'000;
  job.exit_class = model::exit_class_name(exit_class);
  job.exit_code = exit_code;
  job.attempts.back().ended_ms = job.ended_ms;
  job.attempts.back().exit_class = job.exit_class;
  job.progress.step = job.progress.total_steps;
  return job;
}

FakeServer::FakeServer() {
  auto server = net::HttpServer::start({}, *this);
  EXPECT_TRUE(server) << server.error().to_string();
  server_ = *std::move(server);
}

void FakeServer::on(const std::string& method_and_path, Answer answer) {
  const std::lock_guard lock(mutex_);
  answers_[method_and_path] = std::move(answer);
}

void FakeServer::on_json(const std::string& method_and_path, const Json& body, int status) {
  on(method_and_path, [body, status](const net::HttpRequest&, std::shared_ptr<net::HttpExchange> exchange) {
    exchange->respond(net::json_response(status, body));
  });
}

void FakeServer::on_events(const std::string& method_and_path, std::vector<std::pair<std::string, Json>> events) {
  on(method_and_path,
     [events = std::move(events)](const net::HttpRequest&, std::shared_ptr<net::HttpExchange> exchange) {
       net::SseWriter writer = net::SseWriter::start(*exchange);
       for (const auto& [name, data] : events) {
         writer.send({.event = name, .data = data.dump()});
       }
       writer.end();
     });
}

std::string FakeServer::url() const {
  return fmt::format("http://127.0.0.1:{}", server_->port());
}

std::vector<std::string> FakeServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::string FakeServer::body_of(const std::string& method_and_path) const {
  const std::lock_guard lock(mutex_);
  const auto found = bodies_.find(method_and_path);
  return found == bodies_.end() ? "" : found->second;
}

std::string FakeServer::last_authorization() const {
  const std::lock_guard lock(mutex_);
  return authorization_;
}

void FakeServer::handle(net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange) {
  const std::string key = request.method + " " + request.path;
  Answer answer;
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request.method + " " + request.target);
    bodies_[key] = request.body;
    authorization_ = request.header("Authorization");
    const auto found = answers_.find(key);
    if (found != answers_.end()) {
      answer = found->second;
    }
  }
  if (answer) {
    answer(request, std::move(exchange));
  } else {
    exchange->respond(net::error_response({.code = ErrorCode::kNotFound, .message = "nothing at " + key}));
  }
}

RunResult CommandLineRunner::run(const std::vector<std::string>& arguments) {
  RunResult result;
  const FakeClock clock(kNow);
  const Output::Traits traits{.is_terminal = width > 0, .has_colour = false, .width = width};
  Platform platform{.out = Output([&result](std::string_view text) { result.out += text; }, traits),
                    .err = Output([&result](std::string_view text) { result.err += text; }, traits),
                    .environment =
                        [this](const char* name) {
                          const auto found = environment.find(name);
                          return found == environment.end() ? std::nullopt : std::optional(found->second);
                        },
                    .clock = clock,
                    .input = input,
                    .output = output,
                    .error = output,
                    .terminal = -1};
  result.exit_code = run_command_line(arguments, hooks, platform);
  return result;
}

}  // namespace busbar::cli::testing
