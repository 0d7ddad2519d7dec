#include "chip/probe/internal/identify.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/text.h"

namespace busbar::chip::probe {
namespace {

constexpr std::uint32_t kProcessingAccelerator = 0x12;
constexpr std::uint32_t kDisplay = 0x03;
/// Display controllers without a screen: "3D controller" and "other".
constexpr std::uint32_t k3d = 0x02;
constexpr std::uint32_t kOtherDisplay = 0x80;

std::uint32_t base_class(const PciDevice& device) {
  return device.class_code >> 16;
}

/// A class that accelerators have; not that of VGA adapters, which every server's management chip has too.
bool has_accelerator_class(const PciDevice& device) {
  const std::uint32_t sub_class = (device.class_code >> 8) & 0xff;
  return base_class(device) == kProcessingAccelerator ||
         (base_class(device) == kDisplay && (sub_class == k3d || sub_class == kOtherDisplay));
}

std::string last_word(std::string_view name) {
  const std::size_t blank = name.rfind(' ');
  return to_lower(blank == std::string_view::npos ? name : name.substr(blank + 1));
}

/// The one candidate whose last word ("n300", "MI250X") is a word of the board's name.
const ChipModel* named_by_board(const std::vector<const ChipModel*>& candidates, const std::string& board) {
  std::set<std::string> words;
  const std::string lower = to_lower(board);
  for (const std::string_view word : split(lower, ' ')) words.emplace(word);
  const ChipModel* found = nullptr;
  for (const ChipModel* model : candidates) {
    if (!words.contains(last_word(model->name))) continue;
    if (found != nullptr) return nullptr;
    found = model;
  }
  return found;
}

/// The family of all candidates; nullptr if they differ.
const Family* common_family(const Catalogue& catalogue, const std::vector<const ChipModel*>& candidates) {
  if (candidates.empty()) return nullptr;
  const std::size_t family = candidates.front()->family;
  const bool is_common =
      std::all_of(candidates.begin(), candidates.end(), [&](const ChipModel* each) { return each->family == family; });
  return is_common ? &catalogue.families()[family] : nullptr;
}

Identity identify_by_ids(const Catalogue& catalogue, const PciDevice& device) {
  const auto candidates = catalogue.candidates(device.vendor, device.device, device.subsystem_device);
  Identity identity{.family = common_family(catalogue, candidates)};
  if (candidates.empty()) {
    identity.family = catalogue.family_of_vendor(device.vendor);
  } else if (candidates.size() == 1) {
    identity.model = candidates.front();
  } else if (!(identity.model = named_by_board(candidates, device.product_name))) {
    for (const ChipModel* model : candidates) identity.candidates.push_back(model->id);
  }
  return identity;
}

class Identifier {
 public:
  Identifier(const Catalogue& catalogue, const TopologyFile& topology, std::vector<PciDevice> devices)
      : catalogue_(catalogue), topology_(topology), devices_(std::move(devices)) {
    for (std::size_t i = 0; i < devices_.size(); ++i) by_address_[devices_[i].address] = i;
  }

  Identified run() {
    for (const PciDevice& device : devices_) {
      const CardOverride* word = topology_.find(device.address);
      if ((word != nullptr && word->is_ignored) || is_carved_up(device)) continue;
      add(device, identity_of(device, word));
    }
    return std::move(result_);
  }

 private:
  /// Its virtual functions are here, and are the cards.
  bool is_carved_up(const PciDevice& device) const {
    return device.virtual_functions > 0 && std::any_of(devices_.begin(), devices_.end(), [&](const PciDevice& other) {
             return other.physical_function == device.address;
           });
  }

  Identity identity_of(const PciDevice& device, const CardOverride* word) {
    Identity identity = identify_by_ids(catalogue_, device);
    const auto parent = by_address_.find(device.physical_function);
    if (parent != by_address_.end()) {
      const PciDevice& physical = devices_[parent->second];
      if (identity.model == nullptr && identity.candidates.empty()) {
        identity = identify_by_ids(catalogue_, physical);
      }
      identity.is_slice = physical.virtual_functions > 1;
    }
    if (word == nullptr || word->chip.empty()) return identity;
    const ChipModel* model = catalogue_.find(word->chip);
    if (model == nullptr) {
      result_.problems.push_back(
          {.path = topology_.path,
           .message = fmt::format("line {}: no model \"{}\" in the catalogue", word->line, word->chip)});
      return identity;
    }
    return {.family = &catalogue_.family_of(*model), .model = model};
  }

  void add(const PciDevice& device, Identity identity) {
    for (FoundDevice& found : result_.devices) {
      const bool is_same_package = found.device.slot() == device.slot() && found.identity.model != nullptr &&
                                   found.identity.model == identity.model && device.physical_function.empty() &&
                                   found.device.physical_function.empty() && found.device.device != device.device;
      if (!is_same_package) continue;
      if (device.nodes.size() > found.device.nodes.size()) found.device = device;
      return;
    }
    result_.devices.push_back({.device = device, .identity = std::move(identity)});
  }

  const Catalogue& catalogue_;
  const TopologyFile& topology_;
  const std::vector<PciDevice> devices_;
  std::map<std::string, std::size_t> by_address_;
  Identified result_;
};

}  // namespace

std::string Identity::chip(const PciDevice& device) const {
  return model != nullptr && !is_slice ? model->id : undecided_chip(device.vendor, device.device);
}

bool is_accelerator(const Catalogue& catalogue, const TopologyFile& topology, const PciDevice& device) {
  if (topology.find(device.address) != nullptr || base_class(device) == kProcessingAccelerator) return true;
  if (!catalogue.candidates(device.vendor, device.device).empty()) return true;
  return has_accelerator_class(device) && catalogue.family_of_vendor(device.vendor) != nullptr;
}

Identified identify(const Catalogue& catalogue, const TopologyFile& topology, std::vector<PciDevice> devices) {
  return Identifier(catalogue, topology, std::move(devices)).run();
}

}  // namespace busbar::chip::probe
