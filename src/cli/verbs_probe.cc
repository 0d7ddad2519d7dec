#include <fmt/format.h>

#include <memory>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "cli/context.h"
#include "cli/table.h"
#include "cli/verb_tools.h"

namespace busbar::cli {
namespace {

Json problems_json(const std::vector<engine::ProbeProblem>& problems) {
  Json list = Json::array();
  for (const engine::ProbeProblem& problem : problems) {
    list.push(Json::object({{"path", problem.path}, {"message", problem.message}}));
  }
  return list;
}

void note_problems(Context& context, const std::vector<engine::ProbeProblem>& problems) {
  for (const engine::ProbeProblem& problem : problems) {
    context.note(fmt::format("problem: {}: {}", printable(problem.path), printable(problem.message)));
  }
}

Json card_json(const engine::ProbedCard& found) {
  const model::Card& card = found.card;
  Json peaks = Json::object();
  for (const auto& [precision, gflops] : card.peak_gflops) {
    peaks.set(precision, gflops);
  }
  Json measured = Json::object();
  for (const engine::MeasuredPeak& peak : found.measured) {
    measured.set(peak.precision, peak.gflops);
  }
  Json values = Json::object();
  for (const auto& [name, value] : found.facts.values) {
    values.set(name, value);
  }
  Json reading = Json::object();
  const auto set = [&reading](const char* key, const auto& value) {
    if (value) {
      reading.set(key, std::int64_t{*value});
    }
  };
  set("memory_used_bytes", found.reading.memory_used_bytes);
  set("utilisation_percent", found.reading.utilisation_percent);
  set("power_mw", found.reading.power_mw);
  set("temperature_c", found.reading.temperature_c);
  return Json::object({{"index", static_cast<int>(card.index)},
                       {"device", card.device},
                       {"chip", card.chip},
                       {"candidates", texts_json(found.candidates)},
                       {"family", found.facts.family},
                       {"memory_bytes", card.memory.value},
                       {"numa_node", static_cast<int>(card.numa_node)},
                       {"link_group", static_cast<int>(card.link_group)},
                       {"health", model::card_health_name(card.health)},
                       {"health_detail", found.health_detail},
                       {"pci_ids", found.pci_ids},
                       {"pci_link", found.pci_link},
                       {"driver", found.driver},
                       {"uuid", found.facts.uuid},
                       {"partition", found.facts.partition},
                       {"device_nodes", texts_json(found.facts.device_nodes)},
                       {"cdi_devices", texts_json(found.facts.cdi_devices)},
                       {"values", std::move(values)},
                       {"peak_gflops", std::move(peaks)},
                       {"measured_gflops", std::move(measured)},
                       {"reading", std::move(reading)}});
}

std::string discovered_table(const engine::Inventory& inventory, const Look& look) {
  Table table({{.title = "CARD", .align = kRight},
               {.title = "CHIP"},
               {.title = "DEVICE"},
               {.title = "HEALTH", .rank = 1},
               {.title = "MEMORY", .rank = 2, .align = kRight},
               {.title = "NUMA", .rank = 3, .align = kRight},
               {.title = "LINKS", .rank = 3, .align = kRight},
               {.title = "DRIVER", .rank = 4},
               {.title = "PCI LINK", .rank = 6},
               {.title = "MAY BE", .rank = 5}});
  for (const engine::ProbedCard& found : inventory.cards) {
    const model::Card& card = found.card;
    const bool is_healthy = card.health == model::CardHealth::kHealthy;
    table.add(
        {std::to_string(card.index), card.chip, card.device,
         Cell(is_healthy ? "healthy" : "unhealthy: " + found.health_detail, is_healthy ? Style::kPlain : Style::kRed),
         card.memory.value == 0 ? "-" : format_bytes(card.memory),
         card.numa_node < 0 ? "-" : std::to_string(card.numa_node), std::to_string(card.link_group),
         found.driver.empty() ? "-" : found.driver, found.pci_link.empty() ? "-" : found.pci_link,
         found.candidates.empty() ? "-" : join(found.candidates, ", ")});
  }
  return table.render({.width = look.width, .has_colour = look.has_colour});
}

Result<int> discover(Context& context, const DiscoverOptions& options) {
  if (!context.hooks.discover) {
    return make_error(ErrorCode::kUnsupported, "this program was built without a probe of this machine's cards");
  }
  TRY_ASSIGN(const engine::Inventory inventory, context.hooks.discover(options));
  if (context.wants_json()) {
    Json cards = Json::array();
    for (const engine::ProbedCard& card : inventory.cards) {
      cards.push(card_json(card));
    }
    context.print_json(Json::object({{"cards", std::move(cards)}, {"problems", problems_json(inventory.problems)}}));
    return 0;
  }
  context.out().write(discovered_table(inventory, look_of(context)));
  note_problems(context, inventory.problems);
  return 0;
}

/// GFLOP/s as TFLOPS.
std::string tflops(std::int64_t gflops) {
  return format_milli(gflops);
}

Result<int> measure(Context& context, const MeasureOptions& options) {
  if (!context.hooks.measure) {
    return make_error(ErrorCode::kUnsupported, "this program was built without a probe of this machine's cards");
  }
  TRY_ASSIGN(const MeasureReport report, context.hooks.measure(options));
  if (context.wants_json()) {
    Json rows = Json::array();
    for (const MeasuredRow& row : report.rows) {
      rows.push(Json::object({{"device", row.device},
                              {"chip", row.chip},
                              {"cards", row.cards},
                              {"precision", row.precision},
                              {"gflops_per_card", row.gflops_per_card},
                              {"nominal_gflops", row.nominal_gflops},
                              {"size", row.size},
                              {"library", row.library}}));
    }
    context.print_json(Json::object(
        {{"measured", std::move(rows)}, {"problems", problems_json(report.problems)}, {"file", report.file}}));
    return report.rows.empty() ? exit_code(ErrorCode::kUnsupported) : 0;
  }
  Table table({{.title = "DEVICE"},
               {.title = "CHIP"},
               {.title = "CARDS", .align = kRight},
               {.title = "PRECISION"},
               {.title = "TFLOPS A CARD", .align = kRight},
               {.title = "OF NOMINAL", .rank = 1, .align = kRight},
               {.title = "SIZE", .rank = 3, .align = kRight},
               {.title = "LIBRARY", .rank = 2}});
  for (const MeasuredRow& row : report.rows) {
    table.add({row.device, row.chip, std::to_string(row.cards), row.precision, tflops(row.gflops_per_card),
               row.nominal_gflops == 0 ? "-" : fmt::format("{}%", row.gflops_per_card * 100 / row.nominal_gflops),
               std::to_string(row.size), row.library});
  }
  const Look look = look_of(context);
  context.out().write(table.render({.width = look.width, .has_colour = look.has_colour}));
  note_problems(context, report.problems);
  if (report.rows.empty()) {
    return make_error(ErrorCode::kUnsupported, "nothing could be measured");
  }
  context.note("kept in " + report.file);
  return 0;
}

}  // namespace

Command chips_discover_command() {
  auto options = std::make_shared<DiscoverOptions>();
  return {
      .name = "chips discover",
      .summary = "look for this machine's cards, without vendors' tools",
      .usage = "busbar chips discover [flags]",
      .details =
          "What `busbar up` would offer here, and what could not be read. Needs no server. Below --root a plain "
          "file that says \"c 195:0\" stands for that device node, so a tree copied from another machine will do.",
      .flags = {with_completion(
                    text_flag("--root", "DIR", "where sys, proc, dev and etc lie (default: /)", options->root),
                    Complete::kFiles),
                with_completion(text_flag("--topology-file", "FILE", "the operator's word on cards and links",
                                          options->topology_file),
                                Complete::kFiles),
                with_completion(text_flag("--chips-dir", "DIR", "the site's catalogue files", options->chips_dir),
                                Complete::kFiles)},
      .examples = {{"busbar chips discover", "the cards of this machine"},
                   {"busbar chips discover --root /tmp/node-7 --json", "of another one's copied /sys, /proc, /dev"}},
      .run = [options](Context& context) { return discover(context, *options); }};
}

Command chips_measure_command() {
  struct Options {
    MeasureOptions measure = {};
    std::optional<std::int64_t> duration_ms = {};
  };
  auto options = std::make_shared<Options>();
  return {
      .name = "chips measure",
      .summary = "measure how fast this machine's cards multiply matrices",
      .usage = "busbar chips measure [flags]",
      .details =
          "A short GEMM on each card: CPUs together by OpenBLAS, NVIDIA cards by cuBLAS or PyTorch, whichever is here. "
          "The results are kept in the state directory and are the denominator \"measured-GEMM\" of efficiencies. "
          "Cards "
          "are used as by a job: measure an idle machine.",
      .flags = {list_flag("--card", "CARD", "an index or device of busbar chips discover; may be repeated",
                          options->measure.cards),
                list_flag("--precision", "PRECISION", "fp32, fp64, tf32, bf16, fp16; may be repeated",
                          options->measure.precisions),
                duration_flag("--duration", "TIME", "for each precision (default: 1s)", options->duration_ms),
                with_completion(text_flag("--python", "PROGRAM", "a Python with PyTorch, or none (default: python3)",
                                          options->measure.python),
                                Complete::kFiles)},
      .examples = {{"busbar chips measure --precision fp32", "all cards, one precision"},
                   {"busbar chips measure --card 0 --duration 5s", "one card, longer"}},
      .run = [options](Context& context) {
        options->measure.state_dir = context.global.state_dir;
        options->measure.duration_ms = options->duration_ms.value_or(1'000);
        return measure(context, options->measure);
      }};
}

}  // namespace busbar::cli
