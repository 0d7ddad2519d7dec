#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "cli/context.h"
#include "cli/table.h"
#include "os/files.h"
#include "os/xz.h"
#include "sim/fgd.h"
#include "sim/fgd_policies.h"

namespace busbar::cli {
namespace {

constexpr std::size_t kMaxListBytes = std::size_t{256} << 20U;

struct SimFgdOptions {
  std::string nodes = {};
  std::string pods = {};
  std::vector<std::string> policies = {};
  std::optional<std::int64_t> seeds = 10;
  std::optional<std::int64_t> first_seed = 1;
};

Result<std::string> read_list(const std::string& path, const char* flag) {
  if (path.empty()) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("which list? {} FILE", flag));
  }
  TRY_ASSIGN(std::string bytes, os::read_file(path, kMaxListBytes));
  if (!os::is_xz(bytes)) {
    return bytes;
  }
  auto text = os::unpack_xz(bytes, kMaxListBytes);
  if (!text.has_value()) {
    return make_error(ErrorCode::kInvalidArgument, path, text.error().to_string());
  }
  return *std::move(text);
}

Result<std::vector<std::string>> policies_of(const SimFgdOptions& options) {
  const auto known = sim::pack_policy_names();
  if (options.policies.empty()) {
    return std::vector<std::string>{"busbar"};
  }
  if (options.policies == std::vector<std::string>{"all"}) {
    return std::vector<std::string>(known.begin(), known.end());
  }
  for (const std::string& policy : options.policies) {
    if (std::ranges::find(known, policy) == known.end()) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("no policy \"{}\"; there are {}, and all", policy, fmt::join(known, ", ")));
    }
  }
  return options.policies;
}

std::int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// "policy fgd, seed 3: 12 of 40, ETA 8s", drawn again in place on a terminal.
class RunProgress {
 public:
  RunProgress(Context& context, std::size_t runs) : context_(context), runs_(runs), begun_ms_(context.now_ms()) {}
  ~RunProgress() {
    if (is_shown()) {
      context_.err().write("\r\x1b[K");
    }
  }
  RunProgress(const RunProgress&) = delete;
  RunProgress& operator=(const RunProgress&) = delete;

  void next(std::string_view policy, std::int64_t seed) {
    if (is_shown()) {
      const std::int64_t spent_ms = context_.now_ms() - begun_ms_;
      const auto done = static_cast<std::int64_t>(done_);
      const auto left = static_cast<std::int64_t>(runs_) - done;
      context_.err().write(fmt::format("\r\x1b[Kpolicy {}, seed {}: {} of {}{}", policy, seed, done, runs_,
                                       done > 0 ? ", ETA " + format_duration_ms(spent_ms * left / done) : ""));
    }
    ++done_;
  }

 private:
  bool is_shown() const { return context_.err().is_terminal() && !context_.global.is_quiet; }

  Context& context_;
  std::size_t runs_;
  std::size_t done_ = 0;
  TimeMs begun_ms_;
};

// Differences are to fgd if it ran, else to the first policy.
const sim::FgdSummary& reference_of(const std::vector<sim::FgdSummary>& summaries) {
  const auto fgd = std::ranges::find(summaries, "fgd", &sim::FgdSummary::policy);
  return fgd == summaries.end() ? summaries.front() : *fgd;
}

void print_table(Context& context, const std::vector<sim::FgdSummary>& summaries) {
  const sim::FgdSummary& reference = reference_of(summaries);
  Table table({{.title = "POLICY"},
               {.title = "ALLOCATED %", .align = kRight},
               {.title = "STDEV", .align = kRight},
               {.title = "MINUS " + reference.policy, .align = kRight},
               {.title = "STD ERR", .align = kRight},
               {.title = "PODS/S", .align = kRight},
               {.title = "P50 US", .align = kRight},
               {.title = "P99 US", .align = kRight},
               {.title = "MOVES/100", .align = kRight}});
  for (const sim::FgdSummary& summary : summaries) {
    const sim::FgdDifference difference = sim::paired_difference(summary, reference);
    table.add({{summary.policy},
               {fmt::format("{:.3f}", summary.mean)},
               {fmt::format("{:.3f}", summary.stdev)},
               {fmt::format("{:+.3f}", difference.mean)},
               {fmt::format("{:.3f}", difference.standard_error)},
               {human_count(static_cast<std::int64_t>(summary.pods_per_s))},
               {fmt::format("{:.2f}", summary.p50_us)},
               {fmt::format("{:.1f}", summary.p99_us)},
               {summary.moves_per_hundred > 0 ? fmt::format("{:.2f}", summary.moves_per_hundred) : "-"}});
  }
  context.out().write(table.render({.width = context.out().width(), .has_colour = context.out().has_colour()}));
}

Json several_json(const std::vector<sim::FgdSummary>& summaries) {
  const sim::FgdSummary& reference = reference_of(summaries);
  Json rows = Json::array();
  for (const sim::FgdSummary& summary : summaries) {
    const sim::FgdDifference difference = sim::paired_difference(summary, reference);
    Json row = sim::fgd_json(summary);
    row.set("difference_percent",
            Json::object({{"mean", difference.mean}, {"standard_error", difference.standard_error}}));
    rows.push(std::move(row));
  }
  return Json::object({{"compared_with", reference.policy}, {"policies", std::move(rows)}});
}

Result<int> sim_fgd(Context& context, const SimFgdOptions& options) {
  constexpr std::int64_t kMostSeeds = 1000;
  TRY_ASSIGN(const std::vector<std::string> policies, policies_of(options));
  const std::int64_t seeds = options.seeds.value_or(0);
  const std::int64_t first = options.first_seed.value_or(-1);
  if (seeds < 1 || seeds > kMostSeeds || first < 0) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("--seeds takes a number from 1 to {}, --first-seed one from 0", kMostSeeds));
  }
  TRY_ASSIGN(const std::string node_text, read_list(options.nodes, "--nodes"));
  TRY_ASSIGN(const sim::FgdCluster cluster, sim::read_fgd_nodes(options.nodes, node_text));
  TRY_ASSIGN(const std::string pod_text, read_list(options.pods, "--pods"));
  TRY_ASSIGN(const sim::FgdPods pods, sim::read_fgd_pods(options.pods, pod_text, cluster));
  std::vector<sim::FgdSummary> summaries;
  {
    RunProgress progress(context, policies.size() * static_cast<std::size_t>(seeds));
    for (const std::string& policy : policies) {
      std::vector<sim::FgdRun> runs;
      for (std::int64_t seed = first; seed < first + seeds; ++seed) {
        progress.next(policy, seed);
        runs.push_back(sim::run_fgd(cluster, pods, {}, policy, static_cast<std::uint64_t>(seed), steady_ns));
      }
      summaries.push_back(sim::summarise_fgd(policy, runs));
    }
  }
  if (!context.wants_json()) {
    print_table(context, summaries);
  } else if (summaries.size() == 1) {
    context.print_json(sim::fgd_json(summaries.front()));
  } else {
    context.print_json(several_json(summaries));
  }
  return 0;
}

}  // namespace

Command sim_fgd_command() {
  auto options = std::make_shared<SimFgdOptions>();
  std::vector<std::string> words(sim::pack_policy_names().begin(), sim::pack_policy_names().end());
  words.emplace_back("all");
  return {
      .name = "sim fgd",
      .summary = "fill a recorded cluster with pods under a packing policy",
      .usage = "busbar sim fgd --nodes FILE --pods FILE [flags]",
      .details =
          "The experiment of \"Beware of Fragmentation\" (USENIX ATC 2023): pods of a list arrive in random order "
          "until they "
          "ask for 130 % of the cards, none leaves, what does not fit is dropped; the answer is how much is allocated "
          "then. "
          "Policies see the same pods for the same seed. Lists are CSV as published for openb, plain or packed (.xz).",
      .flags =
          {with_completion(text_flag("--nodes", "FILE", "the nodes: sn,cpu_milli,memory_mib,gpu,model", options->nodes),
                           Complete::kFiles),
           with_completion(text_flag("--pods", "FILE",
                                     "the pods: name,cpu_milli,memory_mib,num_gpu,gpu_milli[,gpu_spec]", options->pods),
                           Complete::kFiles),
           with_completion(
               list_flag("--policy", "POLICY",
                         "busbar (default), busbar-online, busbar-moves (one pod may go elsewhere to make room), core, "
                         "core-online, fgd, bestfit, random, or all; may be repeated",
                         options->policies),
               Complete::kWords, words),
           number_flag("--seeds", "N", "how many random orders (10)", options->seeds),
           number_flag("--first-seed", "N", "the first of them (1)", options->first_seed)},
      .examples = {{"busbar sim fgd --nodes nodes.csv.xz --pods pods.csv.xz --policy busbar --json",
                    "one policy, for machines"},
                   {"busbar sim fgd --nodes nodes.csv --pods pods.csv --policy fgd --policy busbar --seeds 3",
                    "two policies on the same pods"}},
      .run = [options](Context& context) { return sim_fgd(context, *options); }};
}

}  // namespace busbar::cli
