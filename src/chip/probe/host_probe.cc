#include "chip/probe/host_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "chip/injection.h"
#include "chip/match.h"
#include "chip/probe/internal/card_book.h"
#include "chip/probe/internal/card_facts.h"
#include "chip/probe/internal/cdi_dirs.h"
#include "chip/probe/internal/cpu_cards.h"
#include "chip/probe/internal/device_nodes.h"
#include "chip/probe/internal/host_root.h"
#include "chip/probe/internal/identify.h"
#include "chip/probe/internal/links.h"
#include "chip/probe/internal/nvml.h"
#include "chip/probe/internal/pci_scan.h"
#include "chip/probe/internal/topology_file.h"
#include "chip/probe/measured.h"
#include "os/files.h"

namespace busbar::chip::probe {
namespace {

constexpr std::size_t kMaxTopologyFile = 1 << 20;
constexpr std::string_view kNvidia = "nvidia";

void append(std::vector<engine::ProbeProblem>& to, std::vector<engine::ProbeProblem> from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

/// Device nodes by which a container would see a card.
std::vector<std::string> nodes_of(const Catalogue& catalogue, const CardFacts& card) {
  std::vector<std::string> nodes = card.device_nodes;
  const Family* family = catalogue.find_family(card.family);
  if (family == nullptr) return nodes;
  for (const std::string& pattern : card.partition.empty() ? family->inject.device : family->inject.partition) {
    if (auto path = fill_pattern(pattern, card.values)) nodes.push_back(*std::move(path));
  }
  return nodes;
}

class HostProbe final : public engine::DeviceProbe {
 public:
  HostProbe(HostProbeOptions options, std::shared_ptr<const Catalogue> catalogue)
      : options_(std::move(options)),
        catalogue_(std::move(catalogue)),
        root_(options_.root, HostRoot(options_.root, {}).is_this_machine() ? stat_device : stat_device_or_mark),
        book_(options_.state_file) {}

  Result<engine::Inventory> scan() override;
  Result<OciEdits> edits_for(const std::vector<model::Card>& granted, MilliCards per_card) override;

 private:
  TopologyFile read_topology();
  NvmlSnapshot read_nvml(const std::vector<FoundDevice>& devices);
  std::vector<SeenCard> seen_devices(const std::vector<FoundDevice>& devices);
  void set_link_groups(const std::vector<FoundDevice>& devices, const NvmlSnapshot& nvml,
                       std::vector<CardParts>& parts) const;
  Result<void> add_cpus(std::vector<SeenCard>& seen);
  void add_cdi(std::vector<engine::ProbedCard>& cards);

  const HostProbeOptions options_;
  const std::shared_ptr<const Catalogue> catalogue_;
  const HostRoot root_;
  std::mutex scan_mutex_;  ///< Held for a whole scan; guards all below but `seen_`.
  CardBook book_;
  std::unique_ptr<Nvml> nvml_;
  std::string nvml_refusal_;                       ///< Why it could not be opened; not tried again.
  std::map<std::string, NodeValues> known_nodes_;  ///< By PCI address.
  TopologyFile topology_;
  engine::Inventory inventory_;  ///< Of the last scan.
  std::vector<CdiSpec> cdi_;
  std::mutex mutex_;
  HostCards seen_;  ///< What the last scan found, so that no one waits for a slow scan to start a task.
};

TopologyFile HostProbe::read_topology() {
  if (options_.topology_file.empty()) return {};
  const auto text = os::read_file(options_.topology_file, kMaxTopologyFile);
  if (text) return parse_topology_file(options_.topology_file, *text);
  TopologyFile none{.path = options_.topology_file};
  if (text.error().code != ErrorCode::kNotFound) {
    none.problems.push_back({.path = none.path, .message = text.error().to_string()});
  }
  return none;
}

NvmlSnapshot HostProbe::read_nvml(const std::vector<FoundDevice>& devices) {
  const bool is_wanted = std::any_of(devices.begin(), devices.end(), [](const FoundDevice& found) {
    return found.identity.family != nullptr && found.identity.family->id == kNvidia && found.device.driver == kNvidia;
  });
  const std::string library = !options_.nvml_library.empty() ? options_.nvml_library
                              : root_.is_this_machine()      ? "libnvidia-ml.so.1"
                                                             : "none";
  if (!is_wanted || library == "none") return {};
  if (!nvml_ && nvml_refusal_.empty()) {
    auto opened = Nvml::open(library);
    if (opened) {
      nvml_ = *std::move(opened);
    } else {
      nvml_refusal_ = opened.error().to_string();
    }
  }
  if (nvml_) return nvml_->read();
  return {.problems = {{.path = library,
                        .message = "memory, links, health and use of NVIDIA cards are not known: " + nvml_refusal_}}};
}

void HostProbe::set_link_groups(const std::vector<FoundDevice>& devices, const NvmlSnapshot& nvml,
                                std::vector<CardParts>& parts) const {
  std::vector<LinkEnds> ends;
  for (const FoundDevice& found : devices) {
    LinkEnds end{
        .address = found.device.address, .upstream = found.device.upstream, .numa_node = found.device.numa_node};
    for (const NvmlDevice& device : nvml.devices) {
      if (device.address == end.address) end.peers = device.link_peers;
    }
    ends.push_back(std::move(end));
  }
  const std::vector<std::uint16_t> groups = link_groups(ends, topology_.links);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (SeenCard& card : parts[i].cards) card.found.card.link_group = groups[i];
  }
}

std::vector<SeenCard> HostProbe::seen_devices(const std::vector<FoundDevice>& devices) {
  NvmlSnapshot nvml = read_nvml(devices);
  append(inventory_.problems, std::move(nvml.problems));
  for (const NvmlDevice& device : nvml.devices) {
    if (device.minor >= 0) known_nodes_[device.address]["minor"] = std::to_string(device.minor);
  }
  AssignedNodes nodes = assign_nodes(root_, topology_, devices, known_nodes_);
  append(inventory_.problems, std::move(nodes.problems));
  std::vector<CardParts> parts;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    known_nodes_[devices[i].device.address] = nodes.cards[i].values;
    parts.push_back(make_cards({.root = root_,
                                .catalogue = *catalogue_,
                                .found = devices[i],
                                .nodes = std::move(nodes.cards[i]),
                                .nvml = nvml}));
    append(inventory_.problems, std::move(parts.back().problems));
  }
  set_link_groups(devices, nvml, parts);
  std::vector<SeenCard> seen;
  for (CardParts& part : parts) {
    seen.insert(seen.end(), std::make_move_iterator(part.cards.begin()), std::make_move_iterator(part.cards.end()));
  }
  return seen;
}

Result<void> HostProbe::add_cpus(std::vector<SeenCard>& seen) {
  TRY_ASSIGN(const CpuFacts cpus, read_cpu_facts(root_));
  inventory_.cpus = {static_cast<std::int64_t>(cpus.cpus.size()) * 1000};
  if (!options_.offers_cpus) return {};
  // CPU cards on one NUMA node are near each other; they have no link to the other cards' groups.
  std::uint16_t first_group = 0;
  for (const SeenCard& card : seen) {
    first_group = std::max(first_group, static_cast<std::uint16_t>(card.found.card.link_group + 1));
  }
  for (engine::ProbedCard& card : make_cpu_cards(cpus, options_.cpu_cards, *catalogue_)) {
    card.card.link_group = static_cast<std::uint16_t>(first_group + std::max<std::int16_t>(0, card.card.numa_node));
    seen.push_back({.found = std::move(card)});
  }
  return {};
}

Result<engine::Inventory> HostProbe::scan() {
  const std::lock_guard one_at_a_time(scan_mutex_);
  inventory_ = {};
  topology_ = read_topology();
  append(inventory_.problems, topology_.problems);
  PciScan scan =
      scan_pci(root_, [&](const PciDevice& device) { return is_accelerator(*catalogue_, topology_, device); });
  append(inventory_.problems, std::move(scan.problems));
  Identified identified = identify(*catalogue_, topology_, std::move(scan.devices));
  append(inventory_.problems, std::move(identified.problems));
  std::vector<SeenCard> seen = seen_devices(identified.devices);
  TRY(add_cpus(seen));
  inventory_.cards = book_.update(std::move(seen));
  append(inventory_.problems, book_.take_problems());
  add_cdi(inventory_.cards);
  auto measured = read_measured(options_.measured_file);
  if (!measured) {
    inventory_.problems.push_back({.path = options_.measured_file, .message = measured.error().to_string()});
  } else {
    for (engine::ProbedCard& card : inventory_.cards) {
      card.measured = peaks_of(*measured, card);
      for (const engine::MeasuredPeak& peak : card.measured) {
        card.card.peak_gflops.emplace_back(measured_key(peak.precision), peak.gflops);
      }
    }
  }
  const std::lock_guard lock(mutex_);
  seen_ = {.cdi = cdi_};
  for (const engine::ProbedCard& card : inventory_.cards) seen_.cards.push_back(card.facts);
  return inventory_;
}

/// Names the CDI device of each card whose family has a kind and for which a spec is here.
void HostProbe::add_cdi(std::vector<engine::ProbedCard>& cards) {
  CdiDirs dirs = read_cdi_dirs(root_);
  append(inventory_.problems, std::move(dirs.problems));
  cdi_ = std::move(dirs.specs);
  if (cdi_.empty()) return;
  std::vector<std::vector<std::string>> nodes;
  for (const engine::ProbedCard& card : cards) nodes.push_back(nodes_of(*catalogue_, card.facts));
  for (std::size_t i = 0; i < cards.size(); ++i) {
    const Family* family = catalogue_->find_family(cards[i].facts.family);
    if (family == nullptr || family->cdi_kind.empty()) continue;
    std::vector<std::string> others;
    for (std::size_t k = 0; k < cards.size(); ++k) {
      if (k != i) others.insert(others.end(), nodes[k].begin(), nodes[k].end());
    }
    std::erase_if(others, [&](const std::string& node) {
      return std::find(nodes[i].begin(), nodes[i].end(), node) != nodes[i].end();
    });
    std::string device = cdi_device_of(cdi_, family->cdi_kind, cards[i].facts, nodes[i], others);
    if (!device.empty()) cards[i].facts.cdi_devices = {std::move(device)};
  }
}

Result<OciEdits> HostProbe::edits_for(const std::vector<model::Card>& granted, MilliCards per_card) {
  HostCards host;
  {
    const std::lock_guard lock(mutex_);
    host = seen_;
  }
  std::vector<std::string> devices;
  for (const model::Card& card : granted) devices.push_back(card.device);
  for (const std::string& path : paths_to_look_for(*catalogue_, host.cards)) {
    if (root_.exists(path)) host.present_paths.insert(path);
  }
  TRY_ASSIGN(OciEdits edits, chip::edits_for(*catalogue_, host, devices, per_card));
  if (root_.is_this_machine()) return edits;
  // A tree's nodes and libraries lie below it; what the container sees keeps its name.
  for (DeviceNode& node : edits.devices) node.host_path = root_.at(node.host_path.empty() ? node.path : node.host_path);
  for (EditMount& mount : edits.mounts) mount.host_path = root_.at(mount.host_path);
  return edits;
}

}  // namespace

std::unique_ptr<engine::DeviceProbe> make_host_probe(HostProbeOptions options,
                                                     std::shared_ptr<const Catalogue> catalogue) {
  return std::make_unique<HostProbe>(std::move(options), std::move(catalogue));
}

}  // namespace busbar::chip::probe
