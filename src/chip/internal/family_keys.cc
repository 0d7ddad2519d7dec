#include "chip/internal/family_keys.h"

#include <fmt/format.h>

#include <array>

#include "base/text.h"

namespace busbar::chip::internal {
namespace {

void read_text(FileReader& reader, std::string& into, const YamlNode& node, std::string_view key) {
  if (auto text = reader.text(node, key)) {
    into = *std::move(text);
  }
}

constexpr std::array<std::string_view, 10> kClasses = {"gpu", "npu", "tpu", "gcu",  "xpu",
                                                       "ipu", "lpu", "rdu", "fpga", "cpu"};

void read_class(FileReader& reader, FamilyDraft& draft, const YamlNode& node) {
  const auto text = reader.text(node, "class");
  if (text && std::find(kClasses.begin(), kClasses.end(), *text) == kClasses.end()) {
    reader.error(node.position, fmt::format("class \"{}\" is none of {}", *text, fmt::join(kClasses, ", ")));
  } else if (text) {
    draft.family.chip_class = *text;
  }
}

void read_pci_class(FileReader& reader, FamilyDraft& draft, const YamlNode& node) {
  const auto text = reader.text(node, "pci_class");
  if (!text) {
    return;
  }
  const std::string_view digits = *text;
  if (digits.size() != 8 || !digits.starts_with("0x")) {
    reader.error(node.position, fmt::format("pci_class \"{}\" is not 0x and six hexadecimal digits", *text));
    return;
  }
  const auto high = reader.hex16(digits.substr(2, 4), node.position, "pci_class");
  const auto low = reader.hex16("00" + std::string(digits.substr(6)), node.position, "pci_class");
  if (high && low) {
    draft.family.pci_class = static_cast<std::uint32_t>(*high) << 8 | *low;
  }
}

const std::array kNodesKeys = {
    Key<FamilyNodes>{"device",
                     [](FileReader& r, FamilyNodes& n, const YamlNode& v) { n.device = r.texts(v, "device"); }},
    Key<FamilyNodes>{"control",
                     [](FileReader& r, FamilyNodes& n, const YamlNode& v) { n.control = r.texts(v, "control"); }},
    Key<FamilyNodes>{"optional",
                     [](FileReader& r, FamilyNodes& n, const YamlNode& v) { n.optional = r.texts(v, "optional"); }},
    Key<FamilyNodes>{
        "virtual", [](FileReader& r, FamilyNodes& n, const YamlNode& v) { n.virtual_device = r.texts(v, "virtual"); }},
    Key<FamilyNodes>{"legacy",
                     [](FileReader& r, FamilyNodes& n, const YamlNode& v) { n.legacy = r.texts(v, "legacy"); }},
    Key<FamilyNodes>{"vfio", [](FileReader& r, FamilyNodes& n, const YamlNode& v) { n.vfio = r.texts(v, "vfio"); }}};

constexpr std::array<std::string_view, 11> kK8sRoles = {"resource",   "alternative", "partition",     "shared",
                                                        "monitoring", "per_chip",    "typed",         "virtual",
                                                        "per_card",   "legacy",      "virtual_memory"};

void read_k8s(FileReader& reader, FamilyDraft& draft, const YamlNode& node) {
  if (!reader.is_map(node, "k8s")) {
    return;
  }
  draft.family.k8s.clear();
  const std::vector<std::string> known(kK8sRoles.begin(), kK8sRoles.end());
  for (const YamlNode::Entry& entry : node.entries) {
    if (std::find(known.begin(), known.end(), entry.key) == known.end()) {
      reader.unknown_key(entry, "k8s", known);
    } else {
      draft.family.k8s.emplace_back(entry.key, reader.texts(entry.value, entry.key));
    }
  }
}

const std::array kEnvKeys = {
    Key<Family>{"container",
                [](FileReader& r, Family& f, const YamlNode& v) { f.container_env = r.texts(v, "container"); }},
    Key<Family>{"process", [](FileReader& r, Family& f, const YamlNode& v) { f.process_env = r.texts(v, "process"); }}};

const std::array kContainerKeys = {
    Key<Family>{"cdi_kind",
                [](FileReader& r, Family& f, const YamlNode& v) { read_text(r, f.cdi_kind, v, "cdi_kind"); }},
    Key<Family>{"generator",
                [](FileReader& r, Family& f, const YamlNode& v) { read_text(r, f.cdi_generator, v, "generator"); }},
    Key<Family>{"runtime",
                [](FileReader& r, Family& f, const YamlNode& v) { read_text(r, f.vendor_runtime, v, "runtime"); }},
    Key<Family>{"mounts", [](FileReader& r, Family& f, const YamlNode& v) { f.mounts = r.texts(v, "mounts"); }}};

const std::array kCommKeys = {
    Key<Family>{"library",
                [](FileReader& r, Family& f, const YamlNode& v) { read_text(r, f.comm_library, v, "library"); }},
    Key<Family>{"torch_backend",
                [](FileReader& r, Family& f, const YamlNode& v) { read_text(r, f.torch_backend, v, "torch_backend"); }},
    Key<Family>{"torch_device",
                [](FileReader& r, Family& f, const YamlNode& v) { read_text(r, f.torch_device, v, "torch_device"); }}};

const std::array kDetectKeys = {
    Key<Family>{"file", [](FileReader& r, Family& f, const YamlNode& v) { read_text(r, f.detect_file, v, "file"); }},
    Key<Family>{"key", [](FileReader& r, Family& f, const YamlNode& v) { read_text(r, f.detect_key, v, "key"); }}};

/// "ordinal", "uuid", "{value}", or "=text" for the text itself.
void read_env_rules(FileReader& reader, InjectionRule& rule, const YamlNode& node) {
  if (!reader.is_map(node, "inject.env")) {
    return;
  }
  rule.env.clear();
  for (const YamlNode::Entry& entry : node.entries) {
    const auto text = reader.text(entry.value, entry.key);
    if (!text) {
      continue;
    }
    EnvRule env{.name = entry.key};
    if (text->starts_with('=')) {
      env.value = EnvValue::kLiteral;
      env.literal = text->substr(1);
    } else if (text->size() > 2 && text->starts_with('{') && text->ends_with('}')) {
      env.value = EnvValue::kValue;
      env.literal = text->substr(1, text->size() - 2);
    } else if (*text == "uuid") {
      env.value = EnvValue::kUuid;
    } else if (*text != "ordinal") {
      reader.error(entry.value.position,
                   fmt::format("{}: \"{}\" is none of ordinal, uuid, {{VALUE}}, =TEXT", entry.key, *text));
      continue;
    }
    rule.env.push_back(std::move(env));
  }
}

bool is_below(std::string_view path, std::string_view root) {
  return path.starts_with(root) && path.size() > root.size() && path.find("/../") == std::string_view::npos &&
         !path.ends_with("/..");
}

/// Device nodes are given to containers, so a pattern must not be able to name anything else.
std::vector<std::string> read_paths(FileReader& reader, const YamlNode& node, std::string_view key,
                                    std::string_view root) {
  std::vector<std::string> patterns = reader.texts(node, key);
  for (const std::string& pattern : patterns) {
    for (const std::string_view choice : split(pattern, '|')) {
      const std::size_t arrow = choice.find("->");
      const bool is_good = is_below(choice.substr(0, arrow), root) &&
                           (arrow == std::string_view::npos || is_below(choice.substr(arrow + 2), root));
      if (!is_good) {
        reader.error(node.position, fmt::format("inject.{}: \"{}\" is not a path below {}", key, pattern, root));
      }
    }
  }
  return patterns;
}

struct InjectDraft {
  InjectionRule& rule;
  std::map<std::string, Place>& source_places;
};

const std::array kInjectKeys = {
    Key<InjectDraft>{"device", [](FileReader& r, InjectDraft& d,
                                  const YamlNode& v) { d.rule.device = read_paths(r, v, "device", "/dev/"); }},
    Key<InjectDraft>{"partition", [](FileReader& r, InjectDraft& d,
                                     const YamlNode& v) { d.rule.partition = read_paths(r, v, "partition", "/dev/"); }},
    Key<InjectDraft>{"control", [](FileReader& r, InjectDraft& d,
                                   const YamlNode& v) { d.rule.control = read_paths(r, v, "control", "/dev/"); }},
    Key<InjectDraft>{"optional", [](FileReader& r, InjectDraft& d,
                                    const YamlNode& v) { d.rule.optional = read_paths(r, v, "optional", "/dev/"); }},
    Key<InjectDraft>{"mounts", [](FileReader& r, InjectDraft& d,
                                  const YamlNode& v) { d.rule.mounts = read_paths(r, v, "mounts", "/"); }},
    Key<InjectDraft>{"env", [](FileReader& r, InjectDraft& d, const YamlNode& v) { read_env_rules(r, d.rule, v); }},
    Key<InjectDraft>{"sources", [](FileReader& r, InjectDraft& d, const YamlNode& v) {
                       d.rule.sources = r.source_keys(v, "inject.sources", d.source_places);
                     }}};

void read_inject(FileReader& reader, FamilyDraft& draft, const YamlNode& node) {
  InjectDraft inject{.rule = draft.family.inject, .source_places = draft.source_places};
  read_map<InjectDraft>(reader, node, kInjectKeys, inject, "inject");
  if (inject.rule.sources.empty()) {
    reader.error(node.position, "inject has no sources; say where the rule comes from");
  }
}

const std::array kFamilyKeys = {
    Key<FamilyDraft>{
        "vendor", [](FileReader& r, FamilyDraft& d, const YamlNode& v) { read_text(r, d.family.vendor, v, "vendor"); }},
    Key<FamilyDraft>{"class", read_class},
    Key<FamilyDraft>{
        "aliases", [](FileReader& r, FamilyDraft& d, const YamlNode& v) { d.family.aliases = r.texts(v, "aliases"); }},
    Key<FamilyDraft>{"pci_vendor",
                     [](FileReader& r, FamilyDraft& d, const YamlNode& v) {
                       const auto text = r.text(v, "pci_vendor");
                       d.family.pci_vendor = text ? r.hex16(*text, v.position, "pci_vendor") : std::nullopt;
                     }},
    Key<FamilyDraft>{"pci_class", read_pci_class},
    Key<FamilyDraft>{"bus",
                     [](FileReader& r, FamilyDraft& d, const YamlNode& v) { read_text(r, d.family.bus, v, "bus"); }},
    Key<FamilyDraft>{"driver",
                     [](FileReader& r, FamilyDraft& d, const YamlNode& v) { d.family.drivers = r.texts(v, "driver"); }},
    Key<FamilyDraft>{"nodes",
                     [](FileReader& r, FamilyDraft& d, const YamlNode& v) {
                       read_map<FamilyNodes>(r, v, kNodesKeys, d.family.nodes, "nodes");
                     }},
    Key<FamilyDraft>{"sysfs",
                     [](FileReader& r, FamilyDraft& d, const YamlNode& v) { d.family.sysfs = r.texts(v, "sysfs"); }},
    Key<FamilyDraft>{"k8s", read_k8s},
    Key<FamilyDraft>{"env", [](FileReader& r, FamilyDraft& d,
                               const YamlNode& v) { read_map<Family>(r, v, kEnvKeys, d.family, "env"); }},
    Key<FamilyDraft>{"container",
                     [](FileReader& r, FamilyDraft& d, const YamlNode& v) {
                       read_map<Family>(r, v, kContainerKeys, d.family, "container");
                     }},
    Key<FamilyDraft>{"comm", [](FileReader& r, FamilyDraft& d,
                                const YamlNode& v) { read_map<Family>(r, v, kCommKeys, d.family, "comm"); }},
    Key<FamilyDraft>{
        "slicing", [](FileReader& r, FamilyDraft& d, const YamlNode& v) { d.family.slicing = r.texts(v, "slicing"); }},
    Key<FamilyDraft>{"telemetry", [](FileReader& r, FamilyDraft& d,
                                     const YamlNode& v) { d.family.telemetry = r.texts(v, "telemetry"); }},
    Key<FamilyDraft>{"detect", [](FileReader& r, FamilyDraft& d,
                                  const YamlNode& v) { read_map<Family>(r, v, kDetectKeys, d.family, "detect"); }},
    Key<FamilyDraft>{"inject", read_inject},
    Key<FamilyDraft>{"sources",
                     [](FileReader& r, FamilyDraft& d,
                        const YamlNode& v) { d.family.sources = r.source_keys(v, "sources", d.source_places); }},
    Key<FamilyDraft>{"unverified", [](FileReader& r, FamilyDraft& d, const YamlNode& v) {
                       d.family.unverified = r.texts(v, "unverified");
                     }}};

}  // namespace

std::span<const Key<FamilyDraft>> family_keys() {
  return kFamilyKeys;
}

}  // namespace busbar::chip::internal
