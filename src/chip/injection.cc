#include "chip/injection.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace busbar::chip {
namespace {

constexpr std::string_view kCpuDevice = "cpu:";
constexpr std::string_view kCpuFamily = "cpu";

const Family* family_of(const Catalogue& catalogue, const CardFacts& card) {
  if (!card.family.empty()) {
    return catalogue.find_family(card.family);
  }
  if (const ChipModel* model = catalogue.find(card.chip)) {
    return &catalogue.family_of(*model);
  }
  const auto ids = parse_undecided_chip(card.chip);
  return ids ? catalogue.family_of_vendor(ids->first) : nullptr;
}

bool is_cpu(const CardFacts& card) {
  return card.device.starts_with(kCpuDevice);
}

/// The pattern with {name} replaced by the card's values; an error names the one that is missing.
Result<std::string> fill_in(std::string_view pattern, const CardFacts& card) {
  std::string text;
  while (!pattern.empty()) {
    const std::size_t open = pattern.find('{');
    const std::size_t close = pattern.find('}', open == std::string_view::npos ? 0 : open);
    if (open == std::string_view::npos || close == std::string_view::npos) {
      return text + std::string(pattern);
    }
    const std::string name(pattern.substr(open + 1, close - open - 1));
    const auto value = card.values.find(name);
    if (value == card.values.end() || value->second.empty() || value->second.find('/') != std::string::npos) {
      return make_error(ErrorCode::kFailedPrecondition,
                        fmt::format("card {} ({}) has no {}, which {} needs; load its driver, or write a CDI spec",
                                    card.device, card.chip, name, pattern));
    }
    text += std::string(pattern.substr(0, open)) + value->second;
    pattern.remove_prefix(close + 1);
  }
  return text;
}

/// One name of a pattern: what the host calls it and what it is in the container.
struct Choice {
  std::string_view host;
  std::string_view container;
};
std::vector<Choice> choices_of(std::string_view pattern) {
  std::vector<Choice> choices;
  for (const std::string_view choice : split(pattern, '|')) {
    const std::size_t arrow = choice.find("->");
    choices.push_back(arrow == std::string_view::npos ? Choice{choice, choice}
                                                      : Choice{choice.substr(0, arrow), choice.substr(arrow + 2)});
  }
  return choices;
}

/// Does the host have it? Assumed hosts have all that is not optional.
enum class Presence { kNeeded, kOptional };

/// The first choice of a pattern that the host has; nullopt for an optional one that it lacks.
Result<std::optional<DeviceNode>> node_for(std::string_view pattern, const CardFacts& card, const HostCards& host,
                                           Presence presence) {
  std::string first;
  for (const Choice& choice : choices_of(pattern)) {
    auto path = fill_in(choice.host, card);
    auto name = fill_in(choice.container, card);
    if (!path || !name) {
      if (presence == Presence::kOptional) {
        continue;
      }
      return tl::unexpected(path ? name.error() : path.error());
    }
    first = first.empty() ? *path : first;
    const bool is_there = host.is_assumed ? presence == Presence::kNeeded : host.present_paths.contains(*path);
    if (is_there) {
      DeviceNode node{.path = *std::move(name)};
      node.host_path = *path == node.path ? std::string() : *path;
      return std::optional(std::move(node));
    }
  }
  if (presence == Presence::kNeeded) {
    return make_error(ErrorCode::kFailedPrecondition, fmt::format("{} is not on this machine, which a {} card needs; "
                                                                  "is its driver loaded?",
                                                                  first, card.chip));
  }
  return std::optional<DeviceNode>();
}

Result<void> add_node(OciEdits& edits, std::string_view pattern, const CardFacts& card, const HostCards& host,
                      Presence presence) {
  TRY_ASSIGN(const std::optional<DeviceNode> node, node_for(pattern, card, host, presence));
  return node ? merge_edits(edits, {.devices = {*node}}) : Result<void>();
}

/// Patterns of the card's own nodes: a partition's, the model's where it differs, the family's.
std::vector<std::string> own_patterns(const Catalogue& catalogue, const Family& family, const CardFacts& card) {
  if (!card.partition.empty()) {
    return family.inject.partition;
  }
  const ChipModel* model = catalogue.find(card.chip);
  return model != nullptr && !model->node.empty() ? std::vector<std::string>{model->node} : family.inject.device;
}

/// The family's variables for these cards; a variable with a value that not every card has is left out.
void add_variables(OciEdits& edits, const Family& family, const std::vector<const CardFacts*>& cards) {
  const bool has_uuids =
      std::all_of(cards.begin(), cards.end(), [](const CardFacts* card) { return !card->uuid.empty(); });
  for (const EnvRule& rule : family.inject.env) {
    std::vector<std::string> values;
    for (std::size_t i = 0; i < cards.size(); ++i) {
      if (rule.value == EnvValue::kUuid && has_uuids) {
        values.push_back(cards[i]->uuid);
      } else if (rule.value == EnvValue::kUuid || rule.value == EnvValue::kOrdinal) {
        values.push_back(std::to_string(i));
      } else if (const auto value = cards[i]->values.find(rule.literal); value != cards[i]->values.end()) {
        values.push_back(value->second);
      }
    }
    if (rule.value == EnvValue::kLiteral) {
      edits.env[rule.name] = rule.literal;
    } else if (values.size() == cards.size()) {
      edits.env[rule.name] = join(values, ",");
    }
  }
}

void add_mounts(OciEdits& edits, const Family& family, const HostCards& host) {
  for (const std::string& path : family.inject.mounts) {
    if (host.present_paths.contains(path)) {
      edits.mounts.push_back({.host_path = path, .container_path = path});
    }
  }
}

/// All granted cards of one family by the family's rule.
Result<OciEdits> edits_by_rule(const Catalogue& catalogue, const HostCards& host, const Family& family,
                               const std::vector<const CardFacts*>& cards) {
  OciEdits edits;
  for (const CardFacts* card : cards) {
    const std::vector<std::string> patterns = own_patterns(catalogue, family, *card);
    if (patterns.empty()) {
      return make_error(ErrorCode::kUnsupported,
                        fmt::format("no rule to show partition {} of a {} card", card->partition, family.id));
    }
    for (const std::string& pattern : patterns) {
      TRY(add_node(edits, pattern, *card, host, Presence::kNeeded));
    }
    for (const std::string& pattern : family.inject.optional) {
      TRY(add_node(edits, pattern, *card, host, Presence::kOptional));
    }
  }
  for (const std::string& pattern : family.inject.control) {
    TRY(add_node(edits, pattern, *cards.front(), host, Presence::kNeeded));
  }
  add_mounts(edits, family, host);
  add_variables(edits, family, cards);
  edits.remarks.push_back(
      fmt::format("{}: nodes and variables by the rule of family {}", cards.front()->chip, family.id));
  return edits;
}

Result<OciEdits> edits_from_sysfs(const HostCards& host, const CardFacts& card) {
  if (card.device_nodes.empty() && !host.is_assumed) {
    return make_error(ErrorCode::kUnsupported,
                      fmt::format("no rule to show a \"{}\" card to a container, and {} has no device node of its own; "
                                  "load its driver, or write a CDI spec",
                                  card.chip, card.device));
  }
  OciEdits edits{.remarks = {fmt::format("{}: {}", card.chip, kNoRuleRemark)}};
  for (const std::string& node : card.device_nodes) {
    edits.devices.push_back({.path = node});
  }
  return edits;
}

Result<OciEdits> edits_of_cpu(const CardFacts& card) {
  const auto number = parse_int(std::string_view(card.device).substr(kCpuDevice.size()));
  if (!number || *number < 0 || *number > kMaxCpu) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("CPU card has device \"{}\"; expected \"cpu:N\"", card.device));
  }
  return OciEdits{.cpu_set = {static_cast<std::uint32_t>(*number)}};
}

/// Paths by which a container would see this card.
std::vector<std::string> own_paths(const Catalogue& catalogue, const CardFacts& card) {
  std::vector<std::string> paths = card.device_nodes;
  const Family* family = family_of(catalogue, card);
  if (family != nullptr && family->inject.has_rule()) {
    std::vector<std::string> patterns = own_patterns(catalogue, *family, card);
    patterns.insert(patterns.end(), family->inject.optional.begin(), family->inject.optional.end());
    for (const std::string& pattern : patterns) {
      for (const Choice& choice : choices_of(pattern)) {
        if (choice.host.find('{') == std::string_view::npos) {
          continue;  // Shared by the family.
        }
        if (const auto path = fill_in(choice.host, card)) {
          paths.push_back(*path);
        }
      }
    }
  }
  return paths;
}

/// Would mounting `mount` show the node at `path`?
bool shows(const std::string& mount, const std::string& path) {
  return path == mount || mount == "/" || path.starts_with(mount + "/");
}

/// The last line of defence: nothing of a card that was not granted may be in the edits.
Result<void> check_nothing_more(const Catalogue& catalogue, const HostCards& host,
                                const std::vector<const CardFacts*>& granted, const OciEdits& edits) {
  std::set<std::string> allowed;
  for (const CardFacts* card : granted) {
    for (std::string& path : own_paths(catalogue, *card)) {
      allowed.insert(std::move(path));
    }
  }
  for (const CardFacts& card : host.cards) {
    if (std::find(granted.begin(), granted.end(), &card) != granted.end()) {
      continue;
    }
    for (const std::string& path : own_paths(catalogue, card)) {
      const bool has_node = !allowed.contains(path) &&
                            std::any_of(edits.devices.begin(), edits.devices.end(), [&](const DeviceNode& node) {
                              return (node.host_path.empty() ? node.path : node.host_path) == path;
                            });
      const bool has_mount = std::any_of(edits.mounts.begin(), edits.mounts.end(),
                                         [&](const EditMount& mount) { return shows(mount.host_path, path); });
      if (has_node || has_mount) {
        return make_error(ErrorCode::kFailedPrecondition,
                          fmt::format("showing the granted cards would also show {} of card {}, which is not granted; "
                                      "correct its CDI spec or the catalogue",
                                      path, card.device));
      }
    }
  }
  return {};
}

/// How jobs on parts of these cards are kept apart; empty for whole cards.
std::vector<std::string> isolation_remarks(const std::vector<const CardFacts*>& granted, MilliCards per_card) {
  std::vector<std::string> remarks;
  for (const CardFacts* card : granted) {
    if (per_card.value < 1000 && !is_cpu(*card)) {
      remarks.push_back(
          fmt::format("{}: {} of a card, isolation {}", card->device, format_milli(per_card.value), card->isolation));
    }
  }
  return remarks;
}

/// Edits of each source, in a fixed order.
Result<OciEdits> gather(const Catalogue& catalogue, const HostCards& host,
                        const std::vector<const CardFacts*>& granted) {
  OciEdits edits;
  std::vector<std::string> cdi_devices;
  std::vector<std::pair<const Family*, std::vector<const CardFacts*>>> by_family;
  for (const CardFacts* card : granted) {
    const Family* family = family_of(catalogue, *card);
    if (is_cpu(*card)) {
      TRY_ASSIGN(const OciEdits cpu, edits_of_cpu(*card));
      TRY(merge_edits(edits, cpu));
    } else if (!card->cdi_devices.empty()) {
      cdi_devices.push_back(card->cdi_devices.front());
    } else if (family == nullptr || !family->inject.has_rule()) {
      TRY_ASSIGN(const OciEdits nodes, edits_from_sysfs(host, *card));
      TRY(merge_edits(edits, nodes));
    } else {
      const auto at = std::find_if(by_family.begin(), by_family.end(),
                                   [family](const auto& group) { return group.first == family; });
      auto& group = at != by_family.end() ? *at : by_family.emplace_back(family, std::vector<const CardFacts*>{});
      group.second.push_back(card);
    }
  }
  for (const auto& [family, cards] : by_family) {
    TRY_ASSIGN(const OciEdits by_rule, edits_by_rule(catalogue, host, *family, cards));
    TRY(merge_edits(edits, by_rule));
  }
  if (!cdi_devices.empty()) {
    TRY_ASSIGN(OciEdits by_cdi, cdi_edits(host.cdi, cdi_devices));
    by_cdi.remarks.push_back(fmt::format("by CDI: {}", join(cdi_devices, ", ")));
    TRY(merge_edits(edits, by_cdi));
  }
  return edits;
}

void number(CardFacts& card, std::uint32_t i) {
  constexpr std::uint32_t kFirstRenderNode = 128;  // DRM_MINOR_RENDER << 6, linux drivers/gpu/drm/drm_drv.c
  for (const char* name : {"index", "minor", "n", "phyid", "group", "card", "module", "instance"}) {
    card.values[name] = std::to_string(i);
  }
  card.values["render"] = std::to_string(kFirstRenderNode + i);
}

}  // namespace

std::set<std::string> paths_to_look_for(const Catalogue& catalogue, const std::vector<CardFacts>& cards) {
  std::set<std::string> paths;
  for (const CardFacts& card : cards) {
    const Family* family = family_of(catalogue, card);
    if (family == nullptr || !family->inject.has_rule()) {
      continue;
    }
    paths.insert(family->inject.mounts.begin(), family->inject.mounts.end());
    const std::vector<std::string> own = own_patterns(catalogue, *family, card);
    for (const auto* patterns : {&own, &family->inject.control, &family->inject.optional}) {
      for (const std::string& pattern : *patterns) {
        for (const Choice& choice : choices_of(pattern)) {
          if (const auto path = fill_in(choice.host, card)) {
            paths.insert(*path);
          }
        }
      }
    }
  }
  return paths;
}

Result<OciEdits> edits_for(const Catalogue& catalogue, const HostCards& host, const std::vector<std::string>& granted,
                           MilliCards per_card) {
  std::vector<const CardFacts*> cards;
  for (const std::string& device : granted) {
    const auto at = std::find_if(host.cards.begin(), host.cards.end(),
                                 [&](const CardFacts& card) { return card.device == device; });
    if (at == host.cards.end()) {
      return make_error(ErrorCode::kNotFound, fmt::format("granted card {} is not on this machine", device));
    }
    cards.push_back(&*at);
  }
  TRY_ASSIGN(OciEdits edits, gather(catalogue, host, cards));
  TRY(check_nothing_more(catalogue, host, cards, edits));
  TRY(merge_edits(edits, {.remarks = isolation_remarks(cards, per_card)}));
  return edits;
}

HostCards assumed_host(const Catalogue& catalogue, std::string_view chip, std::uint32_t count) {
  HostCards host{.is_assumed = true};
  const ChipModel* model = catalogue.find(chip);
  const bool is_cpu_model = chip == kCpuFamily || (model != nullptr && catalogue.family_of(*model).id == kCpuFamily);
  for (std::uint32_t i = 0; i < count; ++i) {
    CardFacts card{.chip = std::string(chip)};
    card.device = is_cpu_model ? fmt::format("{}{}", kCpuDevice, i) : fmt::format("assumed:{}", i);
    if (model != nullptr) {
      card.family = catalogue.family_of(*model).id;
    }
    number(card, i);
    host.cards.push_back(std::move(card));
  }
  return host;
}

Result<CdiSpec> make_cdi_spec(const Catalogue& catalogue, const HostCards& host, const Family& family) {
  if (!family.inject.has_rule()) {
    return make_error(
        ErrorCode::kUnsupported,
        fmt::format("nothing is known of how to show cards of family {}, so there is no spec to write", family.id));
  }
  CdiSpec spec{.kind = family.cdi_kind.empty() ? "busbar.io/" + family.id : family.cdi_kind};
  for (const CardFacts& card : host.cards) {
    if (family_of(catalogue, card) != &family) {
      continue;
    }
    OciEdits own;
    for (const std::string& pattern : own_patterns(catalogue, family, card)) {
      TRY(add_node(own, pattern, card, host, Presence::kNeeded));
    }
    for (const std::string& pattern : family.inject.optional) {
      if (pattern.find('{') != std::string::npos) {
        TRY(add_node(own, pattern, card, host, Presence::kOptional));
      } else {
        TRY(add_node(spec.common, pattern, card, host, Presence::kOptional));
      }
    }
    const auto index = card.values.find("index");
    const std::string name = index == card.values.end() ? std::to_string(spec.devices.size()) : index->second;
    spec.devices.push_back({.name = name, .edits = own});
    if (!card.uuid.empty()) {
      spec.devices.push_back({.name = card.uuid, .edits = std::move(own)});
    }
    if (spec.devices.size() <= 2) {
      for (const std::string& pattern : family.inject.control) {
        TRY(add_node(spec.common, pattern, card, host, Presence::kNeeded));
      }
    }
  }
  if (spec.devices.empty()) {
    return make_error(ErrorCode::kNotFound, fmt::format("this machine has no card of family {}", family.id));
  }
  add_mounts(spec.common, family, host);
  for (const EnvRule& rule : family.inject.env) {
    if (rule.value == EnvValue::kLiteral) {
      spec.common.env[rule.name] = rule.literal;
    }
  }
  return spec;
}

}  // namespace busbar::chip
