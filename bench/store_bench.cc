#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "store/sqlite/sqlite_store.h"

// What one step of the server costs in the store, and what a start costs with a long history.
namespace busbar::store {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "busbar-bench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string database() const { return path_ + "/busbar.db"; }

 private:
  std::string path_;
};

std::unique_ptr<Store> open(const Folder& folder, bool is_full) {
  auto store = open_sqlite_store({.path = folder.database(), .is_synchronous_full = is_full});
  if (!store) std::abort();
  return *std::move(store);
}

/// A submission as the server writes it: a record, a job, an event.
Transaction submission(std::uint64_t n) {
  return {.frames = {{n, std::string(200, 'f')}},
          .jobs = {{.id = {n}, .name = "digits", .user = "ada", .spec_json = std::string(1'000, 's')}},
          .events = {{.id = n, .job = {n}, .kind = "submitted", .text = "by ada"}}};
}

void commit_of_one_job(benchmark::State& state) {
  const Folder folder;
  const auto store = open(folder, state.range(0) != 0);
  std::uint64_t n = 0;
  for (auto step : state) {
    if (!store->commit(submission(++n))) std::abort();
  }
}
BENCHMARK(commit_of_one_job)->ArgName("fsync")->Arg(0)->Arg(1)->UseRealTime();

void fill(Store& store, std::uint64_t jobs) {
  constexpr std::uint64_t kPerCommit = 1'000;
  for (std::uint64_t n = 1; n <= jobs;) {
    Transaction all;
    for (std::uint64_t i = 0; i < kPerCommit && n <= jobs; ++i, ++n) {
      Transaction one = submission(n);
      all.frames.push_back(std::move(one.frames[0]));
      all.jobs.push_back(std::move(one.jobs[0]));
      all.events.push_back(std::move(one.events[0]));
    }
    if (!store.commit(all)) std::abort();
  }
}

void newest_hundred_jobs(benchmark::State& state) {
  const Folder folder;
  const auto store = open(folder, false);
  fill(*store, static_cast<std::uint64_t>(state.range(0)));
  for (auto step : state) {
    const auto rows = store->jobs({.states = {model::JobState::kQueued}});
    if (!rows || rows->size() != 100) std::abort();
  }
}
BENCHMARK(newest_hundred_jobs)->ArgName("jobs")->Arg(100'000);

void open_with_history(benchmark::State& state) {
  const Folder folder;
  fill(*open(folder, false), static_cast<std::uint64_t>(state.range(0)));
  for (auto step : state) benchmark::DoNotOptimize(open(folder, true));
}
BENCHMARK(open_with_history)->ArgName("jobs")->Arg(10'000)->Arg(100'000)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace busbar::store
