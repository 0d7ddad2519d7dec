#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "chip/injection.h"
#include "chip/match.h"
#include "cli/context.h"
#include "cli/table.h"
#include "cli/verb_tools.h"

namespace busbar::cli {
namespace {

using chip::Catalogue;
using chip::ChipModel;
using chip::Family;

struct ChipsOptions {
  std::vector<std::string> names = {};
  std::string chips_dir = {};
  std::string vendor = {};
  std::string precision = {};
  std::string min_memory = {};
};

Flag chips_dir_flag(std::string& target) {
  return with_completion(
      text_flag("--chips-dir", "DIR", "the site's catalogue files (default: /etc/busbar/chips.d)", target),
      Complete::kFiles);
}

Result<Catalogue> open_catalogue(Context& context, const std::string& chips_dir) {
  if (!context.hooks.catalogue) {
    return make_error(ErrorCode::kUnsupported, "this program was built without the chip catalogue");
  }
  return context.hooks.catalogue(chips_dir);
}

std::string figure(std::optional<std::int64_t> milli) {
  return milli ? format_milli(*milli) : "-";
}

/// The peak of the package in TFLOPS at a precision.
std::optional<std::int64_t> peak_of(const ChipModel& model, std::string_view precision) {
  const auto at = std::ranges::find(model.peaks, precision, &std::pair<std::string, std::int64_t>::first);
  return at == model.peaks.end() ? std::nullopt : std::optional(at->second);
}

Json peaks_json(const chip::Peaks& peaks) {
  Json json = Json::object();
  for (const auto& [precision, gflops] : peaks) {
    json.set(precision, static_cast<double>(gflops) / 1000);
  }
  return json;
}

Json sources_json(const Catalogue& catalogue, const std::vector<std::string>& keys) {
  Json json = Json::object();
  for (const std::string& key : keys) {
    const auto at = catalogue.sources().find(key);
    json.set(key, at == catalogue.sources().end() ? Json() : Json(at->second));
  }
  return json;
}

std::vector<std::string> pci_ids(const ChipModel& model) {
  std::vector<std::string> ids;
  for (const chip::PciId& id : model.pci) {
    ids.push_back(fmt::format("{:04x}:{:04x}{}{}", id.vendor, id.device,
                              id.subsystem ? fmt::format(" subsystem {:04x}", *id.subsystem) : "",
                              id.is_virtual_function ? " (VF)" : ""));
  }
  return ids;
}

Json model_json(const Catalogue& catalogue, const ChipModel& model) {
  const Family& family = catalogue.family_of(model);
  Json json = Json::object({{"id", model.id},
                            {"name", model.name},
                            {"vendor", family.vendor},
                            {"family", family.id},
                            {"class", family.chip_class},
                            {"aliases", texts_json(model.aliases)},
                            {"pci", texts_json(pci_ids(model))},
                            {"dies", model.dies},
                            {"cards", model.cards},
                            {"peak_tflops", peaks_json(model.peaks)},
                            {"confidence", chip::confidence_name(model.confidence)},
                            {"has_injection_rule", family.inject.has_rule()},
                            {"sources", sources_json(catalogue, model.sources)}});
  const auto set = [&json](const char* key, const std::optional<std::int64_t>& milli) {
    if (milli) {
      json.set(key, static_cast<double>(*milli) / 1000);
    }
  };
  set("memory_gb", model.memory_milli_gb);
  set("memory_gbps", model.memory_mbps);
  set("link_gbps", model.link_mbps);
  if (!model.measured.empty()) {
    json.set("measured_tflops", peaks_json(model.measured));
  }
  if (!model.link.empty()) {
    json.set("link", model.link);
  }
  Json partitions = Json::array();
  for (const chip::Partition& partition : model.partitions) {
    partitions.push(Json::object({{"name", partition.name},
                                  {"slots", partition.slots},
                                  {"most_per_card", partition.most_per_card},
                                  {"memory", partition.memory.value}}));
  }
  if (!partitions.items().empty()) {
    json.set("partition_slots", model.partition_slots);
    json.set("partitions", std::move(partitions));
  }
  if (!model.note.empty()) {
    json.set("note", model.note);
  }
  json.set("defined_in", model.defined_in);
  return json;
}

/// The models that a list shows: of a vendor or family, with a precision, with at least so much memory a card.
Result<std::vector<const ChipModel*>> chosen_models(const Catalogue& catalogue, const ChipsOptions& options) {
  const auto precisions = chip::precision_names();
  const std::string precision = to_lower(options.precision);
  if (!precision.empty() && std::ranges::find(precisions, precision) == precisions.end()) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("--precision \"{}\" is none of {}", options.precision, fmt::join(precisions, ", ")));
  }
  Bytes least;
  if (!options.min_memory.empty()) {
    TRY_ASSIGN(least, parse_bytes(options.min_memory));
  }
  std::vector<const ChipModel*> chosen;
  const std::string vendor = to_lower(options.vendor);
  for (const ChipModel& model : catalogue.models()) {
    const Family& family = catalogue.family_of(model);
    const bool is_vendors = vendor.empty() || to_lower(family.vendor).find(vendor) != std::string::npos ||
                            family.id.find(vendor) != std::string::npos;
    const bool has_precision = precision.empty() || peak_of(model, precision);
    if (is_vendors && has_precision && model.card_memory() >= least) {
      chosen.push_back(&model);
    }
  }
  return chosen;
}

std::string chips_table(const Catalogue& catalogue, const std::vector<const ChipModel*>& models,
                        const std::string& precision, const Look& look) {
  const bool has_precision = !precision.empty();
  Table table({{.title = "ID"},
               {.title = "NAME", .rank = 3},
               {.title = "VENDOR", .rank = 4},
               {.title = "MEMORY GB", .align = kRight},
               {.title = has_precision ? precision + " TFLOPS" : "bf16/fp16 TFLOPS", .align = kRight},
               {.title = "LINK GB/s", .rank = 2, .align = kRight},
               {.title = "CARDS", .rank = 1, .align = kRight},
               {.title = "CONFIDENCE", .rank = 2}});
  for (const ChipModel* model : models) {
    auto peak = peak_of(*model, has_precision ? precision : "bf16");
    peak = peak || has_precision ? peak : peak_of(*model, "fp16");
    table.add({model->id, model->name, catalogue.family_of(*model).vendor, figure(model->memory_milli_gb), figure(peak),
               figure(model->link_mbps), std::to_string(model->cards),
               std::string(chip::confidence_name(model->confidence))});
  }
  return table.render({.width = look.width, .has_colour = look.has_colour});
}

Result<int> list_chips(Context& context, const ChipsOptions& options) {
  TRY_ASSIGN(const Catalogue catalogue, open_catalogue(context, options.chips_dir));
  TRY_ASSIGN(const std::vector<const ChipModel*> models, chosen_models(catalogue, options));
  if (context.wants_json()) {
    Json list = Json::array();
    for (const ChipModel* model : models) {
      list.push(model_json(catalogue, *model));
    }
    context.print_json(Json::object({{"chips", std::move(list)}}));
    return 0;
  }
  context.out().write(chips_table(catalogue, models, to_lower(options.precision), look_of(context)));
  return 0;
}

/// Lines "  title   text", left out where there is no text.
class Facts {
 public:
  void add(std::string_view title, const std::string& text) {
    if (!text.empty()) {
      out_ += fmt::format("  {:<14}{}\n", title, printable(text));
    }
  }
  void add(std::string_view title, const std::vector<std::string>& texts) { add(title, join(texts, ", ")); }
  void heading(std::string_view title) { out_ += fmt::format("{}\n", title); }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

std::string peaks_text(const chip::Peaks& peaks) {
  std::vector<std::string> texts;
  for (const auto& [precision, gflops] : peaks) {
    texts.push_back(fmt::format("{} {}", precision, format_milli(gflops)));
  }
  return join(texts, ", ");
}

void add_injection(Facts& facts, const Family& family, const ChipModel& model) {
  facts.heading("In a container");
  if (family.chip_class == "cpu") {
    facts.add("rule", std::string("its CPUs as the container's CPU set"));
    return;
  }
  if (!family.inject.has_rule()) {
    facts.add("rule", std::string(chip::kNoRuleRemark));
    return;
  }
  facts.add("own nodes", model.node.empty() ? family.inject.device : std::vector<std::string>{model.node});
  facts.add("partition", family.inject.partition);
  facts.add("control", family.inject.control);
  facts.add("if present", family.inject.optional);
  facts.add("mounts", family.inject.mounts);
  std::vector<std::string> variables;
  for (const chip::EnvRule& rule : family.inject.env) {
    switch (rule.value) {
      case chip::EnvValue::kLiteral:
        variables.push_back(rule.name + "=" + rule.literal);
        break;
      case chip::EnvValue::kOrdinal:
        variables.push_back(rule.name + "=0,1,...");
        break;
      case chip::EnvValue::kUuid:
        variables.push_back(rule.name + "=unique ids, else 0,1,...");
        break;
      case chip::EnvValue::kValue:
        variables.push_back(rule.name + "={" + rule.literal + "} of each card");
        break;
    }
  }
  facts.add("variables", variables);
  facts.add("CDI kind", family.cdi_kind);
}

std::string describe_chip(const Catalogue& catalogue, const ChipModel& model) {
  const Family& family = catalogue.family_of(model);
  Facts facts;
  facts.heading(fmt::format("{}  {} ({}, {})", model.id, model.name, family.vendor, family.chip_class));
  facts.add("aliases", model.aliases);
  facts.add("family", family.id);
  facts.add("PCI", pci_ids(model));
  facts.add("driver", family.drivers);
  facts.add("cards", fmt::format("{} of {} die{} a package; figures are per package", model.cards, model.dies,
                                 model.dies == 1 ? "" : "s"));
  facts.add("memory", model.memory_milli_gb ? figure(model.memory_milli_gb) + " GB" : "");
  facts.add("bandwidth", model.memory_mbps ? figure(model.memory_mbps) + " GB/s" : "");
  facts.add("dense TFLOPS", peaks_text(model.peaks));
  facts.add("measured", peaks_text(model.measured));
  facts.add("link", model.link + (model.link_mbps ? fmt::format(" {} GB/s", figure(model.link_mbps)) : ""));
  for (const chip::Partition& partition : model.partitions) {
    facts.add("partition", fmt::format("{}: {} of {} slots, at most {} a card{}", partition.name, partition.slots,
                                       model.partition_slots, partition.most_per_card,
                                       partition.memory.value > 0 ? ", " + format_bytes(partition.memory) : ""));
  }
  facts.add("slicing", model.slicing.value_or(family.slicing));
  facts.add("framework", family.torch_device.empty()
                             ? ""
                             : fmt::format("torch device {}, collectives {}", family.torch_device,
                                           family.comm_library.empty() ? family.torch_backend : family.comm_library));
  facts.add("note", model.note);
  facts.add("confidence", std::string(chip::confidence_name(model.confidence)) +
                              (chip::may_rank(model.confidence) ? "" : ": may filter, never ranks"));
  add_injection(facts, family, model);
  facts.heading("Sources");
  std::vector<std::string> keys = model.sources;
  for (const auto* more : {&family.sources, &family.inject.sources}) {
    for (const std::string& key : *more) {
      if (std::ranges::find(keys, key) == keys.end()) {
        keys.push_back(key);
      }
    }
  }
  for (const std::string& key : keys) {
    const auto at = catalogue.sources().find(key);
    facts.add(key, at == catalogue.sources().end() ? "" : at->second);
  }
  facts.add("unverified", family.unverified);
  facts.add("defined in", model.defined_in);
  return facts.take();
}

Result<int> show_chips(Context& context, const ChipsOptions& options) {
  TRY_ASSIGN(const Catalogue catalogue, open_catalogue(context, options.chips_dir));
  TRY_ASSIGN(const std::vector<chip::Match> matches, chip::match(catalogue, options.names[0], {}));
  Json list = Json::array();
  std::vector<std::string> texts;
  for (const chip::Match& match : matches) {
    if (const ChipModel* model = catalogue.find(match.chip)) {
      list.push(model_json(catalogue, *model));
      texts.push_back(describe_chip(catalogue, *model));
    }
  }
  if (texts.empty()) {
    return make_error(ErrorCode::kNotFound, fmt::format("the catalogue has no model \"{}\"", options.names[0]));
  }
  if (context.wants_json()) {
    context.print_json(Json::object({{"chips", std::move(list)}}));
  } else {
    context.out().write(join(texts, "\n"));
  }
  return 0;
}

Result<int> print_cdi(Context& context, const ChipsOptions& options) {
  TRY_ASSIGN(const Catalogue catalogue, open_catalogue(context, options.chips_dir));
  const auto models = catalogue.named(options.names[0]);
  const Family* family = catalogue.find_family(options.names[0]);
  family = family == nullptr && !models.empty() ? &catalogue.family_of(*models.front()) : family;
  if (family == nullptr) {
    return make_error(ErrorCode::kNotFound, fmt::format("no family or chip is called \"{}\"", options.names[0]));
  }
  if (!context.hooks.host_cards) {
    return make_error(ErrorCode::kUnsupported, "this program was built without a probe of this machine's cards");
  }
  TRY_ASSIGN(const chip::HostCards host, context.hooks.host_cards(catalogue));
  TRY_ASSIGN(const chip::CdiSpec spec, chip::make_cdi_spec(catalogue, host, *family));
  context.out().write(chip::to_cdi_json(spec).dump_pretty() + "\n");
  return 0;
}

}  // namespace

Command chips_command() {
  auto options = std::make_shared<ChipsOptions>();
  std::vector<std::string> precisions(chip::precision_names().begin(), chip::precision_names().end());
  return {
      .name = "chips",
      .summary = "list the kinds of accelerators that busbar knows",
      .usage = "busbar chips [flags]",
      .details =
          "Figures are nominal, dense and per package; - means that no public source was found. Needs no server.",
      .flags = {text_flag("--vendor", "NAME", "of this vendor or family", options->vendor),
                with_completion(text_flag("--precision", "PRECISION", "with a known peak at it", options->precision),
                                Complete::kWords, precisions),
                text_flag("--min-memory", "SIZE", "with at least this much memory on each card: 40G",
                          options->min_memory),
                chips_dir_flag(options->chips_dir)},
      .examples = {{"busbar chips --precision fp8 --min-memory 80G", "what could serve a large model in fp8"},
                   {"busbar chips --vendor huawei", "all of one vendor"},
                   {"busbar chips --json", "every figure, for programs"}},
      .run = [options](Context& context) { return list_chips(context, *options); }};
}

Command chips_show_command() {
  auto options = std::make_shared<ChipsOptions>();
  return {.name = "chips show",
          .summary = "all facts about a chip, with their sources",
          .usage = "busbar chips show [flags] CHIP",
          .details =
              "CHIP is an id, a name that people use (H100, 910B) or a Kubernetes resource; each model that it "
              "means is shown, the fastest first.",
          .flags = {chips_dir_flag(options->chips_dir)},
          .positional = {.name = "CHIP", .least = 1, .most = 1, .target = &options->names},
          .examples = {{"busbar chips show nvidia-h100-sxm5", "peaks, memory, link, device nodes, sources"},
                       {"busbar chips show 910B", "all models of that name"}},
          .run = [options](Context& context) { return show_chips(context, *options); }};
}

Command chips_cdi_command() {
  auto options = std::make_shared<ChipsOptions>();
  return {.name = "chips cdi",
          .summary = "print a CDI spec for this machine's cards of a family",
          .usage = "busbar chips cdi [flags] FAMILY",
          .details =
              "Version 0.5.0, for container engines that read /etc/cdi. Made from the catalogue's rule for the "
              "family and the cards that are found here.",
          .flags = {chips_dir_flag(options->chips_dir)},
          .positional = {.name = "FAMILY", .least = 1, .most = 1, .target = &options->names},
          .examples = {{"busbar chips cdi mthreads > /etc/cdi/mthreads.json", "for a vendor that ships none"}},
          .run = [options](Context& context) { return print_cdi(context, *options); }};
}

}  // namespace busbar::cli
