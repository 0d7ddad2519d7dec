// The control plane of a large cluster, end to end but for the containers: the real server (HTTP on loopback, the core,
// SQLite with full synchronisation) over 1,250 nodes of 8 cards that exist in memory only, 5,000 gangs waiting, and an
// open-loop stream of small jobs. Measured per job, from the moment at which it was due to be sent: until the engine
// was told to start it (by then it is decided and on disk), and until the client had its answer.
//
//   control_scale [--nodes 1250] [--pending 5000] [--rate 500] [--seconds 20] [--clients 64]
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/types.h"
#include "base/json.h"
#include "control/config.h"
#include "control/server.h"
#include "engine/fake_engine.h"
#include "net/client.h"
#include "os/files.h"
#include "os/log.h"
#include "os/system_clock.h"
#include "store/sqlite/sqlite_store.h"

namespace {

using namespace busbar;
using Steady = std::chrono::steady_clock;

struct Options {
  std::uint64_t nodes = 1'250;
  std::uint64_t pending = 5'000;
  std::uint64_t rate = 500;
  std::uint64_t seconds = 20;
  std::uint64_t clients = 64;
};

[[noreturn]] void fail(const std::string& text) {
  fmt::print(stderr, "control_scale: {}\n", text);
  std::exit(1);
}

template <typename T>
T must(Result<T> result, std::string_view what) {
  if (!result) fail(fmt::format("{}: {}", what, result.error().to_string()));
  return *std::move(result);
}

/// Remembers when each job was first handed over; small jobs end as soon as they run.
class TimingEngine final : public engine::Engine {
 public:
  TimingEngine(const std::shared_ptr<engine::FakeMachine>& machine, const Clock& clock)
      : machine_(machine), inner_(machine, clock) {}

  std::map<std::uint64_t, Steady::time_point> starts() {
    const std::lock_guard lock(mutex_);
    return starts_;
  }
  Result<void> start(engine::AttemptLaunch launch) override {
    {
      const std::lock_guard lock(mutex_);
      starts_.emplace(launch.id.job.value, Steady::now());
      if (launch.job_name == "small") small_.insert(launch.id);
    }
    return inner_.start(std::move(launch));
  }

  std::vector<engine::Capability> capabilities() const override { return inner_.capabilities(); }
  Result<std::vector<model::Node>> observe_nodes() override { return inner_.observe_nodes(); }
  Result<chip::OciEdits> edits_for(model::NodeId node, const std::vector<model::Card>& granted,
                                   MilliCards per_card) override {
    return inner_.edits_for(node, granted, per_card);
  }
  Result<std::vector<model::AttemptId>> adopt(const std::vector<engine::AttemptLaunch>& active,
                                              engine::FactSink sink) override {
    return inner_.adopt(active, std::move(sink));
  }
  Result<void> release(model::AttemptId attempt) override {
    TRY(inner_.release(attempt));
    bool is_small = false;
    {
      const std::lock_guard lock(mutex_);
      is_small = small_.erase(attempt) > 0;
    }
    if (is_small) machine_->end_task({attempt, 0}, model::ExitClass::kSuccess, 0);
    return {};
  }
  Result<void> stop(model::AttemptId attempt, std::int64_t grace_ms, int signal_first) override {
    return inner_.stop(attempt, grace_ms, signal_first);
  }
  Result<void> extend(engine::Extension extension) override { return inner_.extend(std::move(extension)); }
  Result<void> shrink(const engine::Reduction& reduction) override { return inner_.shrink(reduction); }
  Result<void> signal(model::TaskId task, int number) override { return inner_.signal(task, number); }
  Result<void> pause(model::AttemptId attempt) override { return inner_.pause(attempt); }
  Result<void> resume(model::AttemptId attempt) override { return inner_.resume(attempt); }
  Result<engine::LogFiles> logs(model::TaskId task) const override { return inner_.logs(task); }
  Result<std::unique_ptr<engine::TerminalSession>> exec(const engine::ExecRequest& request,
                                                        engine::TerminalSession::Callbacks callbacks) override {
    return inner_.exec(request, std::move(callbacks));
  }
  Result<std::unique_ptr<engine::TerminalSession>> attach(model::TaskId task,
                                                          engine::TerminalSession::Callbacks callbacks) override {
    return inner_.attach(task, std::move(callbacks));
  }
  Result<engine::TaskStats> stats(model::TaskId task) override { return inner_.stats(task); }
  Result<std::vector<std::uint16_t>> lease_ports(model::AttemptId attempt, std::size_t count) override {
    return inner_.lease_ports(attempt, count);
  }
  std::vector<std::uint16_t> leased_ports(model::AttemptId attempt) const override {
    return inner_.leased_ports(attempt);
  }
  Result<std::vector<Json>> preview(const engine::AttemptLaunch& launch) override { return inner_.preview(launch); }
  Result<std::vector<model::AttemptId>> kept() const override { return inner_.kept(); }
  Bytes kept_bytes(model::AttemptId attempt) const override { return inner_.kept_bytes(attempt); }
  Result<void> forget(model::AttemptId attempt) override { return inner_.forget(attempt); }
  void shutdown() override { inner_.shutdown(); }

 private:
  std::shared_ptr<engine::FakeMachine> machine_;
  engine::FakeEngine inner_;
  std::mutex mutex_;
  std::set<model::AttemptId> small_;
  std::map<std::uint64_t, Steady::time_point> starts_;
};

model::Node make_node(std::uint64_t id) {
  model::Node node{.id = {id}, .name = fmt::format("n{}", id), .cpus = {128'000}, .memory = {std::int64_t{1} << 40}};
  node.fabric = {fmt::format("leaf-{}", id / 16), fmt::format("spine-{}", id / 256)};
  for (std::uint16_t i = 0; i < 8; ++i) {
    node.cards.push_back({.index = i, .chip = "cpu", .device = fmt::format("cpu:{}", i), .link_group = 0});
  }
  return node;
}

class Client {
 public:
  Client(const std::string& url, std::string default_workdir)
      : client_(must(net::HttpClient::create({.base_url = url}), "client")), workdir_(std::move(default_workdir)) {}

  std::uint64_t submit(const std::string& file) {
    const api::SubmitRequest request{.file = file, .file_name = "bench.yaml", .default_workdir = workdir_};
    const net::HttpResponse response = must(client_->request({.method = "POST",
                                                              .target = "/v1/jobs",
                                                              .headers = {{"Content-Type", "application/json"}},
                                                              .body = api::to_json(request).dump()}),
                                            "submit");
    if (response.status >= 300) fail(fmt::format("submit: HTTP {}: {}", response.status, response.body));
    const Json body = must(parse_json(response.body), "answer");
    const Json* jobs = body.find("jobs");
    if (jobs == nullptr) fail("no jobs in the answer: " + response.body);
    return static_cast<std::uint64_t>(jobs->items().at(0).find("id")->as_int());
  }

 private:
  std::unique_ptr<net::HttpClient> client_;
  std::string workdir_;
};

struct Sample {
  std::uint64_t job = 0;
  Steady::time_point due = {};
  Steady::time_point answered = {};
};

/// Open loop: job k is due at begin + k / rate, whether or not the ones before it were answered.
std::vector<Sample> send(const Options& options, const std::string& url) {
  const std::string file = "name: small\nrun: \"true\"\ntime_limit: 1m\nresources: {accelerators: 'cpu:1'}\n";
  const std::uint64_t count = options.rate * options.seconds;
  std::vector<Sample> samples(count);
  std::atomic<std::uint64_t> next = 0;
  const Steady::time_point begin = Steady::now() + std::chrono::milliseconds(100);
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < options.clients; ++i) {
    threads.emplace_back([&] {
      Client client(url, "/");
      for (std::uint64_t k = next++; k < count; k = next++) {
        Sample& sample = samples[k];
        sample.due = begin + std::chrono::nanoseconds(k * 1'000'000'000 / options.rate);
        std::this_thread::sleep_until(sample.due);
        sample.job = client.submit(file);
        sample.answered = Steady::now();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return samples;
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

void print_row(std::string_view what, const std::vector<double>& values) {
  fmt::print("{:<28} {:>8} p50 {:>8.2f} ms  p99 {:>8.2f} ms  max {:>8.2f} ms\n", what, values.size(),
             percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1));
}

/// All cards of all but 50 nodes are in use for good, and the gangs that wait need more than there is.
void fill(const Options& options, const std::string& url) {
  Client client(url, "/");
  const std::uint64_t busy = options.nodes - std::min<std::uint64_t>(50, options.nodes / 2);
  const std::uint64_t gang = 100;
  for (std::uint64_t used = 0; used < busy; used += gang) {
    client.submit(
        fmt::format("name: busy\nlauncher: none\nnodes: {}\nrun: sleep 100000\nresources: {{accelerators: 'cpu:8'}}\n",
                    std::min(gang, busy - used)));
  }
  for (std::uint64_t i = 0; i < options.pending; ++i) {
    client.submit(
        fmt::format("name: waits\nlauncher: none\nnodes: {}\nrun: sleep 100000\nresources: {{accelerators: 'cpu:8'}}\n",
                    options.nodes - 100 + i % 40));
  }
}

void run(const Options& options) {
  std::string dir = os::join_path(std::filesystem::temp_directory_path().string(), "busbar-scale-XXXXXX");
  if (::mkdtemp(dir.data()) == nullptr) fail("cannot make " + dir);
  os::SystemClock clock;
  os::SystemRandom random;
  engine::FakeMachineOptions machine_options;
  for (std::uint64_t id = 1; id <= options.nodes; ++id) machine_options.nodes.push_back(make_node(id));
  auto machine = std::make_shared<engine::FakeMachine>(std::move(machine_options));
  auto timing = std::make_unique<TimingEngine>(machine, clock);
  TimingEngine& engine = *timing;
  control::ServerConfig config =
      must(control::load_config(
               {.overrides = {"port=0", "auth=none", "state_dir=" + dir, "log_level=warning"}, .is_root = true}),
           "configuration");
  auto store = must(store::open_sqlite_store({.path = os::join_path(dir, "busbar.db")}), "store");
  auto server = must(control::Server::start(config, {.store = std::move(store),
                                                     .engine = std::move(timing),
                                                     .clock = clock,
                                                     .random = random,
                                                     .version = "bench",
                                                     .build_id = "bench"}),
                     "server");
  const auto filling = Steady::now();
  fill(options, server->url());
  fmt::print(
      "{} nodes of 8 cards, {} gangs waiting (submitted one by one in {:.1f} s), {} jobs/s for {} s, {} clients\n",
      options.nodes, options.pending, std::chrono::duration<double>(Steady::now() - filling).count(), options.rate,
      options.seconds, options.clients);
  const std::vector<Sample> samples = send(options, server->url());
  const auto starts = engine.starts();
  std::vector<double> handed, answered;
  std::uint64_t not_started = 0;
  for (const Sample& sample : samples) {
    answered.push_back(std::chrono::duration<double, std::milli>(sample.answered - sample.due).count());
    const auto found = starts.find(sample.job);
    if (found == starts.end()) {
      ++not_started;
      continue;
    }
    handed.push_back(std::chrono::duration<double, std::milli>(found->second - sample.due).count());
  }
  print_row("due -> handed to the engine", handed);
  print_row("due -> answered", answered);
  if (not_started > 0) fmt::print("{} jobs had not been handed over when the last answer came\n", not_started);
  server->stop();
  server.reset();
  must(os::remove_tree(dir).map([] { return true; }), "clean up");
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  const std::map<std::string_view, std::uint64_t*> known = {{"--nodes", &options.nodes},
                                                            {"--pending", &options.pending},
                                                            {"--rate", &options.rate},
                                                            {"--seconds", &options.seconds},
                                                            {"--clients", &options.clients}};
  for (int i = 1; i < argc; i += 2) {
    const auto found = known.find(argv[i]);
    if (found == known.end() || i + 1 == argc || std::atoll(argv[i + 1]) <= 0) {
      fail("takes --nodes, --pending, --rate, --seconds, --clients, each with a positive number");
    }
    *found->second = static_cast<std::uint64_t>(std::atoll(argv[i + 1]));
  }
  run(options);
  return 0;
}
