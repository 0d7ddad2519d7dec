#include "chip/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/text.h"

namespace busbar::chip {
namespace {

constexpr std::array<std::string_view, 5> kConfidenceNames = {"none", "community", "press", "table", "vendor"};
constexpr std::array<std::string_view, 9> kPrecisionNames = {"fp64", "fp32", "tf32", "bf16", "fp16",
                                                             "fp8",  "int8", "fp4",  "int4"};

std::uint32_t pci_key(std::uint16_t vendor, std::uint16_t device) {
  return static_cast<std::uint32_t>(vendor) << 16 | device;
}

void add_name(std::map<std::string, std::vector<std::size_t>, std::less<>>& names, std::string_view name,
              std::size_t model) {
  std::vector<std::size_t>& models = names[normal_name(name)];
  if (models.empty() || models.back() != model) {
    models.push_back(model);
  }
}

/// Names that stand for whole families. Patterns ("nvidia.com/mig-<slices>g...") and names of shares are left out.
std::vector<std::string> names_of(const Family& family) {
  std::vector<std::string> names = family.aliases;
  names.push_back(family.id);
  if (family.vendor != "various") {
    names.push_back(family.vendor);
  }
  for (const auto& [role, resources] : family.k8s) {
    for (const std::string& resource : resources) {
      const bool means_cards = role == "resource" || role == "alternative" || role == "typed" || role == "legacy";
      if (means_cards && resource.find('<') == std::string::npos) {
        names.push_back(resource);
      }
    }
  }
  return names;
}

std::optional<std::uint16_t> parse_hex16(std::string_view text) {
  std::uint32_t value = 0;
  if (text.size() != 4) {
    return std::nullopt;
  }
  for (const char c : text) {
    const bool is_letter = c >= 'a' && c <= 'f';
    if (!is_letter && (c < '0' || c > '9')) {
      return std::nullopt;
    }
    value = value * 16 + static_cast<std::uint32_t>(is_letter ? c - 'a' + 10 : c - '0');
  }
  return static_cast<std::uint16_t>(value);
}

}  // namespace

std::string_view confidence_name(Confidence confidence) {
  return kConfidenceNames[static_cast<std::size_t>(confidence)];
}

std::optional<Confidence> confidence_from_name(std::string_view name) {
  const auto at = std::find(kConfidenceNames.begin(), kConfidenceNames.end(), name);
  return at == kConfidenceNames.end() ? std::nullopt
                                      : std::optional(static_cast<Confidence>(at - kConfidenceNames.begin()));
}

std::span<const std::string_view> precision_names() {
  return kPrecisionNames;
}

std::string normal_name(std::string_view name) {
  std::string normal = to_lower(trim(name));
  std::replace_if(normal.begin(), normal.end(), [](char c) { return c == '_' || c == ' '; }, '-');
  return normal;
}

std::optional<std::int64_t> ChipModel::card_peak_gflops(std::string_view precision) const {
  for (const auto& [known, gflops] : peaks) {
    if (known == precision) {
      return gflops / cards;
    }
  }
  return std::nullopt;
}

Bytes ChipModel::card_memory() const {
  return {memory_milli_gb ? (*memory_milli_gb << 30) / 1000 / cards : 0};
}

Catalogue::Catalogue(std::vector<Family> families, std::vector<ChipModel> models,
                     std::map<std::string, std::string> sources)
    : families_(std::move(families)), models_(std::move(models)), sources_(std::move(sources)) {
  for (std::size_t i = 0; i < models_.size(); ++i) {
    const ChipModel& model = models_[i];
    CHECK(model.family < families_.size(), model.id);
    CHECK(by_id_.emplace(model.id, i).second, model.id);
    add_name(by_name_, model.id, i);
    add_name(by_name_, model.name, i);
    for (const std::string& alias : model.aliases) {
      add_name(by_name_, alias, i);
    }
    for (const std::string& name : names_of(family_of(model))) {
      add_name(by_family_name_, name, i);
    }
    for (const PciId& id : model.pci) {
      std::vector<std::size_t>& sharers = by_pci_[pci_key(id.vendor, id.device)];
      if (sharers.empty() || sharers.back() != i) {
        sharers.push_back(i);
      }
    }
  }
}

const ChipModel* Catalogue::find(std::string_view id) const {
  const auto at = by_id_.find(id);
  return at == by_id_.end() ? nullptr : &models_[at->second];
}

const Family* Catalogue::find_family(std::string_view id) const {
  const auto at =
      std::find_if(families_.begin(), families_.end(), [id](const Family& family) { return family.id == id; });
  return at == families_.end() ? nullptr : &*at;
}

std::vector<const ChipModel*> Catalogue::named(std::string_view name) const {
  const std::string normal = normal_name(name);
  if (const ChipModel* model = find(normal)) {
    return {model};
  }
  std::vector<const ChipModel*> found;
  for (const auto* names : {&by_name_, &by_family_name_}) {
    const auto at = names->find(normal);
    if (at != names->end()) {
      for (const std::size_t model : at->second) {
        found.push_back(&models_[model]);
      }
      break;
    }
  }
  return found;
}

std::vector<std::string> Catalogue::names() const {
  std::vector<std::string> names;
  for (const auto* known : {&by_name_, &by_family_name_}) {
    for (const auto& [name, models] : *known) {
      names.push_back(name);
    }
  }
  return names;
}

std::vector<const ChipModel*> Catalogue::candidates(std::uint16_t vendor, std::uint16_t device,
                                                    std::optional<std::uint16_t> subsystem) const {
  const auto at = by_pci_.find(pci_key(vendor, device));
  if (at == by_pci_.end()) {
    return {};
  }
  std::vector<const ChipModel*> exact;
  std::vector<const ChipModel*> any;
  std::vector<const ChipModel*> all;
  for (const std::size_t index : at->second) {
    const ChipModel* model = &models_[index];
    all.push_back(model);
    for (const PciId& id : model->pci) {
      if (id.vendor != vendor || id.device != device) {
        continue;
      }
      if (!id.subsystem) {
        any.push_back(model);
      } else if (id.subsystem == subsystem) {
        exact.push_back(model);
      }
    }
  }
  return !exact.empty() ? exact : !any.empty() ? any : all;
}

const Family* Catalogue::family_of_vendor(std::uint16_t pci_vendor) const {
  const Family* only = nullptr;
  for (const Family& family : families_) {
    if (family.pci_vendor == pci_vendor) {
      if (only != nullptr) {
        return nullptr;
      }
      only = &family;
    }
  }
  return only;
}

std::string undecided_chip(std::uint16_t vendor, std::uint16_t device) {
  return fmt::format("pci-{:04x}-{:04x}", vendor, device);
}

std::optional<std::pair<std::uint16_t, std::uint16_t>> parse_undecided_chip(std::string_view chip) {
  const auto parts = split(chip, '-');
  if (parts.size() != 3 || parts[0] != "pci") {
    return std::nullopt;
  }
  const auto vendor = parse_hex16(parts[1]);
  const auto device = parse_hex16(parts[2]);
  return vendor && device ? std::optional(std::pair{*vendor, *device}) : std::nullopt;
}

}  // namespace busbar::chip
