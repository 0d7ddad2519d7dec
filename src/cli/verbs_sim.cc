#include <fcntl.h>
#include <fmt/format.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/text.h"
#include "cli/context.h"
#include "cli/table.h"
#include "cli/verb_tools.h"
#include "os/files.h"
#include "os/xz.h"
#include "sim/cluster_shape.h"
#include "sim/core_run.h"
#include "sim/mix.h"
#include "sim/page.h"
#include "sim/policy_run.h"
#include "sim/report.h"

namespace busbar::cli {
namespace {

constexpr std::size_t kMaxTraceBytes = std::size_t{1} << 30U;

struct SimReplayOptions {
  std::string trace = {};
  std::string file = {};
  std::string mix = {};
  std::string policies = "busbar";
  std::string journal = {};
  std::string html = {};
  std::optional<std::int64_t> seed = 1;
  std::optional<std::int64_t> las_threshold_ms = 3'600'000;
  std::optional<std::int64_t> cards = {};
  std::optional<std::int64_t> cards_per_node = {};
  std::optional<std::int64_t> nodes_per_leaf = {};
  std::optional<std::int64_t> leaves_per_spine = {};
  std::optional<std::int64_t> until_ms = {};
  bool is_spread = false;
  bool has_fabric = false;
};

/// What is run: on which cluster, and by whom.
struct SimSetup {
  sim::Trace trace = {};
  sim::ClusterShape shape = {};
  std::optional<TimeMs> until_ms = {};
};

Result<std::string> read_text(const std::string& path) {
  TRY_ASSIGN(std::string text, os::read_file(path, kMaxTraceBytes));
  if (!os::is_xz(text)) {
    return text;
  }
  auto unpacked = os::unpack_xz(text, kMaxTraceBytes);
  if (!unpacked) {
    return make_error(ErrorCode::kInvalidArgument, path, unpacked.error().to_string());
  }
  return *std::move(unpacked);
}

/// `--trace philly --file F` names the format; `--trace F` is told by its head line.
Result<sim::Trace> load_trace(const SimReplayOptions& options, std::uint32_t cards_per_node) {
  const auto named = sim::trace_format_from_name(options.trace);
  const std::string path = options.file.empty() && !named ? options.trace : options.file;
  if (path.empty()) {
    return make_error(
        ErrorCode::kInvalidArgument,
        options.trace.empty()
            ? std::string("which load? --trace FILE, --trace FORMAT --file FILE, or --mix FILE")
            : fmt::format("--trace {} names a format; give the recorded load too: --file FILE", options.trace));
  }
  if (!options.file.empty() && !options.trace.empty() && !named) {
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("\"{}\" is no format; with --file, --trace is busbar, philly or openb", options.trace));
  }
  TRY_ASSIGN(const std::string text, read_text(path));
  const auto format = named ? named : sim::guess_trace_format(text);
  if (!format) {
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("{}:1: the head line is of no known format (busbar, philly, openb); docs/simulator.md "
                    "has their columns",
                    path));
  }
  return sim::read_trace(*format, path, text, {.cards_per_node = cards_per_node});
}

Result<std::uint32_t> count_of(std::optional<std::int64_t> value, std::uint32_t fallback, const char* flag) {
  constexpr std::int64_t kMost = 1'000'000;
  const std::int64_t count = value.value_or(fallback);
  if (count < 1 || count > kMost) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("{} takes a number from 1 to {}", flag, kMost));
  }
  return static_cast<std::uint32_t>(count);
}

/// The cluster that a mix describes, or the usual one, with what the flags change.
Result<SimSetup> set_up(const SimReplayOptions& options) {
  SimSetup setup{.shape = {.cards = 512}, .until_ms = options.until_ms};
  std::optional<sim::Mix> mix;
  if (!options.mix.empty()) {
    if (!options.trace.empty() || !options.file.empty()) {
      return make_error(ErrorCode::kInvalidArgument, "--mix makes a load and --trace reads one; give one of them");
    }
    TRY_ASSIGN(const std::string text, read_text(options.mix));
    TRY_ASSIGN(mix, sim::read_mix(options.mix, text));
    setup.shape = {.cards = mix->cards,
                   .cards_per_node = mix->cards_per_node,
                   .nodes_per_leaf = mix->nodes_per_leaf,
                   .leaves_per_spine = mix->leaves_per_spine};
    setup.until_ms = options.until_ms ? options.until_ms : mix->length_ms;
  }
  sim::ClusterShape& shape = setup.shape;
  TRY_ASSIGN(shape.cards, count_of(options.cards, shape.cards, "--cards"));
  TRY_ASSIGN(shape.cards_per_node, count_of(options.cards_per_node, shape.cards_per_node, "--cards-per-node"));
  TRY_ASSIGN(shape.nodes_per_leaf, count_of(options.nodes_per_leaf, shape.nodes_per_leaf, "--nodes-per-leaf"));
  TRY_ASSIGN(shape.leaves_per_spine, count_of(options.leaves_per_spine, shape.leaves_per_spine, "--leaves-per-spine"));
  TRY(sim::validate(shape));
  if (mix) {
    setup.trace = sim::make_trace(*mix, static_cast<std::uint64_t>(options.seed.value_or(1)));
  } else {
    TRY_ASSIGN(setup.trace, load_trace(options, shape.cards_per_node));
  }
  if (options.is_spread) {
    setup.trace = sim::spread_over_cards(std::move(setup.trace));
  }
  return setup;
}

/// One line on a terminal's standard error, drawn again in place.
class SimProgress {
 public:
  explicit SimProgress(Context& context) : context_(context), begun_ms_(context.now_ms()) {}
  ~SimProgress() {
    if (is_drawn_) {
      context_.err().write("\r\x1b[K");
    }
  }
  SimProgress(const SimProgress&) = delete;
  SimProgress& operator=(const SimProgress&) = delete;

  void show(const sim::Progress& progress) {
    constexpr std::int64_t kRedrawMs = 200;
    constexpr std::size_t kBarColumns = 30;
    const TimeMs now_ms = context_.now_ms();
    if (!context_.err().is_terminal() || context_.global.is_quiet || progress.jobs == 0 ||
        now_ms - drawn_ms_ < kRedrawMs) {
      return;
    }
    drawn_ms_ = now_ms;
    is_drawn_ = true;
    const double part = static_cast<double>(progress.finished) / static_cast<double>(progress.jobs);
    const auto full = static_cast<std::size_t>(part * kBarColumns);
    const std::string eta = part > 0 ? ", ETA " + format_duration_ms(static_cast<std::int64_t>(
                                                      static_cast<double>(now_ms - begun_ms_) * (1 - part) / part))
                                     : "";
    context_.err().write(fmt::format("\r\x1b[K[{}{}] {} of {} jobs, day {:.1f}{}", std::string(full, '#'),
                                     std::string(kBarColumns - full, '.'), human_count(progress.finished),
                                     human_count(progress.jobs), static_cast<double>(progress.now_ms) / 86'400'000,
                                     eta));
  }

 private:
  Context& context_;
  TimeMs begun_ms_;
  TimeMs drawn_ms_ = 0;
  bool is_drawn_ = false;
};

std::string seconds_text(double seconds) {
  return format_duration_ms(static_cast<std::int64_t>(seconds * 1000));
}

std::vector<std::string> policy_names() {
  std::vector<std::string> names = {"busbar", "busbar-yield", "busbar-learned"};
  for (int kind = 0; kind <= static_cast<int>(sim::PolicyKind::kLas); ++kind) {
    names.emplace_back(sim::policy_kind_name(static_cast<sim::PolicyKind>(kind)));
  }
  return names;
}

void print_summary(Context& context, const sim::RunSummary& summary) {
  Output& out = context.out();
  out.line(fmt::format("policy {}: {} jobs on {:g} cards, {} finished, {} refused, {} given up, simulated {}",
                       summary.policy, human_count(static_cast<std::int64_t>(summary.jobs)), summary.cards,
                       human_count(static_cast<std::int64_t>(summary.finished)), summary.refused, summary.abandoned,
                       seconds_text(summary.makespan_s)));
  out.line(
      fmt::format("cards in use {:.2f} %, useful {:.2f} %, lost work {:.2f} %, restarts {:.2f} %; {:.3f} "
                  "preemptions a job",
                  summary.utilisation_percent, summary.useful_percent, summary.lost_percent, summary.restart_percent,
                  summary.preemptions_per_job));
  if (summary.saturated_time_percent > 0) {
    out.line(fmt::format(
        "while jobs asked for all cards at least ({:.1f} % of the time): in use {:.2f} %, useful {:.2f} %",
        summary.saturated_time_percent, summary.saturated_utilisation_percent, summary.saturated_useful_percent));
  }
  Table table({{.title = ""},
               {.title = "JOBS", .align = kRight},
               {.title = "JCT MEAN", .align = kRight},
               {.title = "P50", .align = kRight},
               {.title = "P99", .align = kRight},
               {.title = "WAIT MEAN", .align = kRight},
               {.title = "P50", .align = kRight},
               {.title = "P99", .align = kRight},
               {.title = "SHARE", .align = kRight}});
  const auto add = [&](std::string name, std::size_t jobs, const sim::TimesSummary& completion,
                       const sim::TimesSummary& wait, double share) {
    table.add({{std::move(name)},
               {human_count(static_cast<std::int64_t>(jobs))},
               {seconds_text(completion.mean_s)},
               {seconds_text(completion.p50_s)},
               {seconds_text(completion.p99_s)},
               {seconds_text(wait.mean_s)},
               {seconds_text(wait.p50_s)},
               {seconds_text(wait.p99_s)},
               {fmt::format("{:.1f} %", share)}});
  };
  add("all", summary.jobs, summary.completion, summary.wait, 100);
  for (const sim::GroupSummary& group : summary.sizes) {
    add(fmt::format("{} card{}", group.cards, group.cards == 1 ? "" : "s"), group.jobs, group.completion, group.wait,
        group.held_percent);
  }
  for (const sim::GroupSummary& group : summary.queues) {
    add("queue " + group.name, group.jobs, group.completion, group.wait, group.held_percent);
  }
  out.write(table.render({.width = out.width(), .has_colour = out.has_colour()}));
}

/// One line a policy, for runs of several.
void print_comparison(Context& context, std::span<const sim::PageRun> runs) {
  Table table({{.title = "POLICY"},
               {.title = "FINISHED", .align = kRight},
               {.title = "JCT MEAN", .align = kRight},
               {.title = "P50", .align = kRight},
               {.title = "P99", .align = kRight},
               {.title = "WAIT MEAN", .align = kRight},
               {.title = "P99", .align = kRight},
               {.title = "IN USE", .align = kRight},
               {.title = "USEFUL", .align = kRight},
               {.title = "IF SATURATED", .align = kRight},
               {.title = "MAKESPAN", .align = kRight},
               {.title = "PREEMPTIONS/JOB", .align = kRight}});
  for (const sim::PageRun& run : runs) {
    const sim::RunSummary& summary = run.summary;
    table.add({{summary.policy},
               {human_count(static_cast<std::int64_t>(summary.finished))},
               {seconds_text(summary.completion.mean_s)},
               {seconds_text(summary.completion.p50_s)},
               {seconds_text(summary.completion.p99_s)},
               {seconds_text(summary.wait.mean_s)},
               {seconds_text(summary.wait.p99_s)},
               {fmt::format("{:.2f} %", summary.utilisation_percent)},
               {fmt::format("{:.2f} %", summary.useful_percent)},
               {fmt::format("{:.2f} %", summary.saturated_useful_percent)},
               {seconds_text(summary.makespan_s)},
               {fmt::format("{:.3f}", summary.preemptions_per_job)}});
  }
  context.out().write(table.render({.width = context.out().width(), .has_colour = context.out().has_colour()}));
}

/// The core, with its journal where one is asked for.
Result<sim::RunResult> run_busbar(const SimSetup& setup, const SimReplayOptions& options, const sched::Policy& policy,
                                  sim::RunControl control) {
  os::UniqueFd journal;
  Result<void> written;
  if (!options.journal.empty()) {
    TRY_ASSIGN(journal, os::open_file(options.journal, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    control.on_journal = [&](std::string_view bytes) {
      if (written) {
        written = os::write_all(journal.get(), bytes, options.journal);
      }
    };
  }
  TRY_ASSIGN(sim::RunResult result, sim::run_core(setup.trace, sim::make_nodes(setup.shape), policy, {}, control));
  TRY(written);
  return result;
}

Result<sim::RunResult> run_named(Context& context, const SimSetup& setup, const SimReplayOptions& options,
                                 std::string_view policy) {
  SimProgress progress(context);
  const sim::RunControl control{.until_ms = setup.until_ms,
                                .on_progress = [&](const sim::Progress& now) { progress.show(now); }};
  if (policy.starts_with("busbar")) {
    TRY_ASSIGN(sim::RunResult result,
               run_busbar(setup, options,
                          {.order = policy == "busbar-learned" ? sched::Order::kLearned : sched::Order::kAge,
                           .may_backfill_yield = policy == "busbar-yield"},
                          control));
    result.policy = policy;
    return result;
  }
  const auto kind = sim::policy_kind_from_name(policy);
  if (!kind) {
    const auto near = nearest_name(policy, policy_names());
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("there is no policy \"{}\"{}", policy, near ? "; did you mean " + *near + "?" : ""));
  }
  return sim::run_policy(setup.trace, sim::make_nodes(setup.shape),
                         options.has_fabric ? sim::RoomKind::kFabric : sim::RoomKind::kCount,
                         {.kind = *kind, .las_threshold_card_ms = options.las_threshold_ms.value_or(0)}, {}, control);
}

Result<int> sim_replay(Context& context, const SimReplayOptions& options) {
  TRY_ASSIGN(const SimSetup setup, set_up(options));
  std::vector<sim::PageRun> runs;
  Json answers = Json::array();
  for (const std::string_view policy : split(options.policies, ',')) {
    TRY_ASSIGN(sim::RunResult result, run_named(context, setup, options, trim(policy)));
    sim::RunSummary summary = sim::summarise(setup.trace, result);
    answers.push(sim::to_json(summary));
    runs.push_back({.summary = std::move(summary), .result = std::move(result)});
  }
  if (!options.html.empty()) {
    TRY(os::write_file_atomic(options.html, sim::make_page(setup.trace, runs), 0644, os::Durability::kCached));
    context.note("wrote " + options.html);
  }
  if (context.wants_json()) {
    context.print_json(runs.size() == 1 ? answers.items()[0] : answers);
    return 0;
  }
  if (runs.size() > 1) {
    print_comparison(context, runs);
    return 0;
  }
  print_summary(context, runs[0].summary);
  return 0;
}

std::vector<Flag> sim_replay_flags(SimReplayOptions& options) {
  return {
      with_completion(
          text_flag("--trace", "FILE", "the load; or its format (busbar, philly, openb) with --file", options.trace),
          Complete::kFiles),
      with_completion(text_flag("--file", "FILE", "the load, of the format that --trace names", options.file),
                      Complete::kFiles),
      with_completion(text_flag("--mix", "FILE", "make a load from this description instead", options.mix),
                      Complete::kFiles),
      number_flag("--seed", "N", "of a made load (1)", options.seed),
      with_completion(text_flag("--policy", "POLICY,...", "busbar (default), or others beside it", options.policies),
                      Complete::kWords, policy_names()),
      switch_flag("--fabric", "the other policies see nodes and fabric, not only a count of cards", options.has_fabric),
      duration_flag("--las-threshold", "TIME", "card time up to which las puts a job first (1h)",
                    options.las_threshold_ms),
      number_flag("--cards", "N", "cards of the cluster (512, or as the mix says)", options.cards),
      number_flag("--cards-per-node", "N", "cards of one node (8)", options.cards_per_node),
      number_flag("--nodes-per-leaf", "N", "nodes below one leaf switch (8)", options.nodes_per_leaf),
      number_flag("--leaves-per-spine", "N", "leaves below one spine switch (8)", options.leaves_per_spine),
      duration_flag("--until", "TIME", "stop after so much simulated time", options.until_ms),
      switch_flag("--spread", "gangs are tasks of one card each that may stand anywhere", options.is_spread),
      with_completion(text_flag("--html", "FILE", "write a page with plots", options.html), Complete::kFiles),
      with_completion(text_flag("--journal", "FILE", "save the core's journal, for busbar replay", options.journal),
                      Complete::kFiles)};
}

}  // namespace

Command sim_replay_command() {
  auto options = std::make_shared<SimReplayOptions>();
  return {.name = "sim replay",
          .summary = "run a recorded or made load through a policy",
          .usage = "busbar sim replay --trace FILE [flags]",
          .details =
              "Simulates a cluster, event by event, and says how long jobs took and waited and how well the cards "
              "were used. Policy busbar is the scheduling core that the server runs, nothing else. Loads may be "
              "packed (.xz); docs/simulator.md has their formats.",
          .flags = sim_replay_flags(*options),
          .examples = {{"busbar sim replay --trace load.csv --cards 64", "a load of our own format on 64 cards"},
                       {"busbar sim replay --trace philly --file philly.csv.xz --cards 448 --json",
                        "Microsoft's recorded load, figures for machines"},
                       {"busbar sim replay --mix bench/mixes/saturated.yaml --seed 2 --policy busbar,easy --fabric",
                        "a made load under two policies"}},
          .run = [options](Context& context) { return sim_replay(context, *options); }};
}

}  // namespace busbar::cli
