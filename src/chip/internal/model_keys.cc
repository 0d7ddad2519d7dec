#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "chip/internal/family_keys.h"

namespace busbar::chip::internal {
namespace {

// More than any card has, or will have for a while: a figure above was written in the wrong unit.
constexpr std::int64_t kMostGb = 8192;
constexpr std::int64_t kMostGbps = 200'000;
constexpr std::int64_t kMostLinkGbps = 20'000;
constexpr std::int64_t kMostTera = 100'000;

void read_peaks(FileReader& reader, const YamlNode& node, std::string_view key, Peaks& peaks,
                std::optional<std::int64_t>* memory_mbps) {
  if (!reader.is_map(node, key)) {
    return;
  }
  peaks.clear();
  std::vector<std::string> known(precision_names().begin(), precision_names().end());
  for (const YamlNode::Entry& entry : node.entries) {
    if (memory_mbps != nullptr && entry.key == "memory_gbps") {
      *memory_mbps = reader.milli(entry.value, "memory_gbps", kMostGbps, "GB/s");
    } else if (std::find(known.begin(), known.end(), entry.key) == known.end()) {
      reader.unknown_key(entry, key, known);
    } else if (const auto value = reader.milli(entry.value, fmt::format("{}.{}", key, entry.key), kMostTera,
                                               entry.key.starts_with("int") ? "TOPS" : "TFLOPS")) {
      peaks.emplace_back(entry.key, *value);
    }
  }
}

void read_subsystems(FileReader& reader, ModelDraft& draft, const YamlNode& node) {
  draft.subsystems.clear();
  for (const std::string& pair : reader.texts(node, "pci_sub")) {
    const auto parts = split(pair, ':');
    if (parts.size() != 2) {
      reader.error(node.position, fmt::format("pci_sub \"{}\" is not DEVICE:SUBSYSTEM", pair));
      continue;
    }
    const auto device = reader.hex16(parts[0], node.position, "pci_sub");
    const auto subsystem = reader.hex16(parts[1], node.position, "pci_sub");
    if (device && subsystem) {
      draft.subsystems.emplace_back(*device, *subsystem);
    }
  }
}

void read_confidence(FileReader& reader, ModelDraft& draft, const YamlNode& node) {
  const auto text = reader.text(node, "confidence");
  const auto confidence = text ? confidence_from_name(*text) : std::nullopt;
  if (text && !confidence) {
    reader.error(node.position,
                 fmt::format("confidence \"{}\" is none of vendor, table, press, community, none", *text));
  }
  draft.model.confidence = confidence.value_or(Confidence::kNone);
  draft.has_confidence = true;
}

void read_ops(FileReader& reader, ModelDraft& draft, const YamlNode& node) {
  if (!reader.is_map(node, "ops_per_cycle_per_core")) {
    return;
  }
  draft.model.ops_per_cycle_per_core.clear();
  for (const YamlNode::Entry& entry : node.entries) {
    if (const auto value = reader.integer(entry.value, "ops_per_cycle_per_core", 1 << 20)) {
      draft.model.ops_per_cycle_per_core.emplace_back(entry.key, *value);
    }
  }
}

void read_model_text(FileReader& reader, std::string& into, const YamlNode& node, std::string_view key) {
  if (auto text = reader.text(node, key)) {
    into = *std::move(text);
  }
}

void read_count(FileReader& reader, std::uint32_t& into, const YamlNode& node, std::string_view key,
                std::int64_t most) {
  if (const auto value = reader.integer(node, key, most)) {
    into = static_cast<std::uint32_t>(*value);
  }
}

const std::array kModelKeys =
    {
        Key<ModelDraft>{"name", [](FileReader& r, ModelDraft& d,
                                   const YamlNode& v) { read_model_text(r, d.model.name, v, "name"); }},
        Key<ModelDraft>{"aliases", [](FileReader& r, ModelDraft& d,
                                      const YamlNode& v) { d.model.aliases = r.texts(v, "aliases"); }},
        Key<ModelDraft>{"pci",
                        [](FileReader& r, ModelDraft& d, const YamlNode& v) { d.devices = r.hex16_list(v, "pci"); }},
        Key<ModelDraft>{"pci_vf", [](FileReader& r, ModelDraft& d,
                                     const YamlNode& v) { d.virtual_functions = r.hex16_list(v, "pci_vf"); }},
        Key<ModelDraft>{"pci_sub", read_subsystems},
        Key<ModelDraft>{"pci_vendor",
                        [](FileReader& r, ModelDraft& d, const YamlNode& v) {
                          const auto text = r.text(v, "pci_vendor");
                          d.pci_vendor = text ? r.hex16(*text, v.position, "pci_vendor") : std::nullopt;
                        }},
        Key<ModelDraft>{
            "bus", [](FileReader& r, ModelDraft& d, const YamlNode& v) { read_model_text(r, d.model.bus, v, "bus"); }},
        Key<ModelDraft>{"dies", [](FileReader& r, ModelDraft& d,
                                   const YamlNode& v) { read_count(r, d.model.dies, v, "dies", 64); }},
        Key<ModelDraft>{"cards", [](FileReader& r, ModelDraft& d,
                                    const YamlNode& v) { read_count(r, d.model.cards, v, "cards", 64); }},
        Key<ModelDraft>{"memory_gb",
                        [](FileReader& r, ModelDraft& d, const YamlNode& v) {
                          d.model.memory_milli_gb = r.milli(v, "memory_gb", kMostGb, "GB");
                        }},
        Key<ModelDraft>{
            "memory_gbps", [](FileReader& r, ModelDraft& d,
                              const YamlNode&
                                  v) { d.model.memory_mbps = r.milli(v, "memory_gbps", kMostGbps, "GB/s"); }},
        Key<ModelDraft>{
            "peak",
            [](FileReader& r, ModelDraft& d, const YamlNode& v) { read_peaks(r, v, "peak", d.model.peaks, nullptr); }},
        Key<ModelDraft>{
            "measured",
            [](FileReader& r, ModelDraft& d, const YamlNode& v) {
              read_peaks(r, v, "measured", d.model.measured, &d.model.measured_memory_mbps);
            }},
        Key<ModelDraft>{
            "link",
            [](FileReader& r, ModelDraft& d, const YamlNode& v) { read_model_text(r, d.model.link, v, "link"); }},
        Key<ModelDraft>{
            "link_gbps",
            [](FileReader& r, ModelDraft& d,
               const YamlNode& v) { d.model.link_mbps = r.milli(v, "link_gbps", kMostLinkGbps, "GB/s"); }},
        Key<ModelDraft>{"mig", [](FileReader& r, ModelDraft& d, const YamlNode& v) { d.mig = r.texts(v, "mig"); }},
        Key<ModelDraft>{"vnpu", [](FileReader& r, ModelDraft& d, const YamlNode& v) { d.vnpu = r.texts(v, "vnpu"); }},
        Key<ModelDraft>{
            "cores",
            [](FileReader& r, ModelDraft& d, const YamlNode& v) { read_count(r, d.cores, v, "cores", 1024); }},
        Key<ModelDraft>{
            "slicing",
            [](FileReader& r, ModelDraft& d, const YamlNode& v) { d.model.slicing = r.texts(v, "slicing"); }},
        Key<ModelDraft>{
            "node",
            [](FileReader& r, ModelDraft& d, const YamlNode& v) {
              read_model_text(r, d.model.node, v, "node");
              if (!d.model.node.starts_with("/dev/") || d.model.node.find("..") != std::string::npos) {
                r.error(v.position, fmt::format("node \"{}\" is not a path below /dev/", d.model.node));
              }
            }},
        Key<ModelDraft>{"arch", [](FileReader& r, ModelDraft& d,
                                   const YamlNode& v) { read_model_text(r, d.model.arch, v, "arch"); }},
        Key<ModelDraft>{
            "flags", [](FileReader& r, ModelDraft& d, const YamlNode& v) { d.model.cpu_flags = r.texts(v, "flags"); }},
        Key<ModelDraft>{"ops_per_cycle_per_core", read_ops},
        Key<ModelDraft>{"confidence", read_confidence},
        Key<ModelDraft>{"sources",
                        [](FileReader& r, ModelDraft& d,
                           const YamlNode& v) { d.model.sources = r.source_keys(v, "sources", d.source_places); }},
        Key<ModelDraft>{"note", [](FileReader& r, ModelDraft& d, const YamlNode& v) {
                          read_model_text(r, d.model.note, v, "note");
                        }}};

/// "1g.10gb": one compute slice, 10 GB.
std::optional<Partition> mig_profile(std::string_view name) {
  const std::size_t dot = name.find("g.");
  if (dot == std::string_view::npos || !name.ends_with("gb") || name.size() < dot + 4) {
    return std::nullopt;
  }
  const auto slots = parse_int(name.substr(0, dot));
  const auto memory = parse_int(name.substr(dot + 2, name.size() - dot - 4));
  if (!slots || !memory || *slots < 1 || *slots > 64 || *memory < 1 || *memory > kMostGb) {
    return std::nullopt;
  }
  return Partition{.kind = Partition::Kind::kMig,
                   .name = std::string(name),
                   .slots = static_cast<std::uint32_t>(*slots),
                   .memory = {*memory << 30}};
}

/// "vir05_1c_16g": five AI cores, one CPU core, 16 GB; "vir02": two AI cores.
std::optional<Partition> vnpu_template(std::string_view name) {
  const auto parts = split(name, '_');
  if (!parts[0].starts_with("vir") || (parts.size() != 1 && parts.size() != 3)) {
    return std::nullopt;
  }
  const auto slots = parse_int(parts[0].substr(3));
  if (!slots || *slots < 1 || *slots > 1024) {
    return std::nullopt;
  }
  Partition partition{
      .kind = Partition::Kind::kVnpu, .name = std::string(name), .slots = static_cast<std::uint32_t>(*slots)};
  if (parts.size() == 3) {
    const auto memory = parts[2].ends_with("g") ? parse_int(parts[2].substr(0, parts[2].size() - 1)) : std::nullopt;
    if (!memory || *memory < 1 || *memory > kMostGb) {
      return std::nullopt;
    }
    partition.memory = {*memory << 30};
  }
  return partition;
}

void settle_partitions(FileReader& reader, ModelDraft& draft) {
  ChipModel& model = draft.model;
  model.partitions.clear();
  model.partition_slots = draft.cores;
  for (const std::string& name : draft.mig) {
    if (auto partition = mig_profile(name)) {
      // The largest profile is the whole card: 7 slices, 4 on an A30.
      model.partition_slots = std::max(model.partition_slots, partition->slots);
      model.partitions.push_back(*std::move(partition));
    } else {
      reader.error(draft.place.position, fmt::format("mig \"{}\" is not a profile like 1g.10gb", name));
    }
  }
  for (const std::string& name : draft.vnpu) {
    if (auto partition = vnpu_template(name)) {
      model.partitions.push_back(*std::move(partition));
    } else {
      reader.error(draft.place.position, fmt::format("vnpu \"{}\" is not a template like vir05_1c_16g", name));
    }
  }
  for (Partition& partition : model.partitions) {
    if (partition.slots > model.partition_slots) {
      reader.error(draft.place.position, fmt::format("partition \"{}\" needs {} slots of {}; give cores",
                                                     partition.name, partition.slots, model.partition_slots));
      continue;
    }
    partition.most_per_card = model.partition_slots / partition.slots;
  }
}

}  // namespace

std::span<const Key<ModelDraft>> model_keys() {
  return kModelKeys;
}

void settle_model(FileReader& reader, const Family& family, ModelDraft& draft) {
  ChipModel& model = draft.model;
  model.pci.clear();
  const auto vendor = draft.pci_vendor ? draft.pci_vendor : family.pci_vendor;
  if (!vendor && (!draft.devices.empty() || !draft.virtual_functions.empty())) {
    reader.error(draft.place.position,
                 fmt::format("{} has PCI ids but neither it nor its family has a pci_vendor", model.id));
    return;
  }
  for (const auto& [device, subsystem] : draft.subsystems) {
    model.pci.push_back({.vendor = *vendor, .device = device, .subsystem = subsystem});
  }
  for (const std::uint16_t device : draft.devices) {
    const bool has_subsystems = std::any_of(draft.subsystems.begin(), draft.subsystems.end(),
                                            [device](const auto& pair) { return pair.first == device; });
    if (!has_subsystems) {
      model.pci.push_back({.vendor = *vendor, .device = device});
    }
  }
  for (const std::uint16_t device : draft.virtual_functions) {
    model.pci.push_back({.vendor = *vendor, .device = device, .is_virtual_function = true});
  }
  settle_partitions(reader, draft);
}

}  // namespace busbar::chip::internal
