#include <fmt/format.h>
#include <malloc.h>

#include <memory>

#include "cli/context.h"
#include "cli/table.h"
#include "cli/verb_tools.h"
#include "sim/speed.h"

namespace busbar::cli {
namespace {

struct SimSpeedOptions {
  std::optional<std::int64_t> cards = 10'000;
  std::optional<std::int64_t> load = 90;
  std::optional<std::int64_t> decisions = 20'000;
  std::optional<std::int64_t> seed = 1;
};

void print_speed(Context& context, const sim::SpeedReport& report) {
  Output& out = context.out();
  out.line(
      fmt::format("{} cards on {} nodes, {} leaves, {} spines; {} gangs "
                  "run, {} % of the cards in use",
                  human_count(report.cards), human_count(report.nodes), report.leaves, report.spines,
                  human_count(static_cast<std::int64_t>(report.running)), report.load_percent));
  Table sizes({{.title = "GANG", .align = kRight},
               {.title = "DECIDED", .align = kRight},
               {.title = "PLACED", .align = kRight},
               {.title = "P50", .align = kRight},
               {.title = "P99", .align = kRight}});
  for (const sim::SpeedRow& row : report.rows) {
    sizes.add({std::to_string(row.cards), std::to_string(row.count), std::to_string(row.placed),
               fmt::format("{:.1f} us", row.p50_us), fmt::format("{:.1f} us", row.p99_us)});
  }
  out.write(sizes.render({.width = out.width(), .has_colour = out.has_colour()}));
  out.line(
      fmt::format("cards given back: {:.1f} us (p50); fork of the state: "
                  "{:.1f} us; memory: {:.0f} bytes a card",
                  report.release_p50_us, report.fork_us, report.bytes_per_card));
  out.line(
      "predicted all-reduce efficiency of the gangs of several nodes, all "
      "at once (a model, not a measurement):");
  Table predicted({{.title = "PLACEMENT"}, {.title = "RING", .align = kRight}, {.title = "TREE", .align = kRight}});
  for (const sim::PredictedRow& row : report.predicted) {
    predicted.add({row.placement, fmt::format("{:.1f} %", row.ring * 100), fmt::format("{:.1f} %", row.tree * 100)});
  }
  out.write(predicted.render({.width = out.width(), .has_colour = out.has_colour()}));
}

Result<std::uint32_t> number_of(std::optional<std::int64_t> value, const char* flag) {
  if (!value || *value < 1 || *value > 100'000'000) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("{} takes a number from 1 to 100000000", flag));
  }
  return static_cast<std::uint32_t>(*value);
}

Result<int> sim_speed(Context& context, const SimSpeedOptions& options) {
  sim::SpeedOptions speed;
  TRY_ASSIGN(speed.cards, number_of(options.cards, "--cards"));
  TRY_ASSIGN(speed.load_percent, number_of(options.load, "--load"));
  TRY_ASSIGN(speed.decisions, number_of(options.decisions, "--decisions"));
  TRY_ASSIGN(speed.seed, number_of(options.seed, "--seed"));
  const sim::SpeedProbes probes = {.now_ns = [&context] { return context.platform.clock.monotonic_ns(); },
                                   .heap_bytes = [] { return static_cast<std::int64_t>(::mallinfo2().uordblks); }};
  TRY_ASSIGN(const sim::SpeedReport report, sim::measure_speed(speed, probes));
  if (context.wants_json()) {
    context.print_json(sim::to_json(report));
  } else {
    print_speed(context, report);
  }
  return 0;
}

}  // namespace

Command sim_speed_command() {
  auto options = std::make_shared<SimSpeedOptions>();
  return {
      .name = "sim speed",
      .summary = "measure how fast gangs are placed on a loaded fabric",
      .usage = "busbar sim speed [flags]",
      .details =
          "Builds a cluster in memory, fills it with gangs of 1 to 1,024 cards and times each further decision of "
          "the scheduling core that the server runs: quota, CPU, memory, chip and topology. Needs no server. Beside "
          "it stands what a model of the fabric predicts for the placements.",
      .flags = {number_flag("--cards", "N", "cards of the cluster, eight on each node (10000)", options->cards),
                number_flag("--load", "PERCENT", "percent of the cards that are kept in use (90)", options->load),
                number_flag("--decisions", "N", "submissions that are timed (20000)", options->decisions),
                number_flag("--seed", "N", "of the gangs drawn (1)", options->seed)},
      .examples = {{"busbar sim speed", "10,000 cards at 90 %"},
                   {"busbar sim speed --cards 100000 --json", "ten times as many, for machines"}},
      .run = [options](Context& context) { return sim_speed(context, *options); }};
}

}  // namespace busbar::cli
