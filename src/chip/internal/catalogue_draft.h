#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/yaml.h"
#include "chip/catalogue.h"

/// A catalogue while its files are being read.
namespace busbar::chip::internal {

/// Where something was defined.
struct Place {
  std::size_t file = 0;
  TextPosition position = {};
};

struct FamilyDraft {
  Family family = {};
  Place place = {};
  std::map<std::string, Place> source_places = {};  ///< Keys of sources that it names.
};

/// A model with what can only be settled when all of its keys are read.
struct ModelDraft {
  ChipModel model = {};
  std::optional<std::uint16_t> pci_vendor = {};
  std::vector<std::uint16_t> devices = {};
  std::vector<std::uint16_t> virtual_functions = {};
  std::vector<std::pair<std::uint16_t, std::uint16_t>> subsystems = {};  ///< Device, subsystem device.
  std::vector<std::string> mig = {};
  std::vector<std::string> vnpu = {};
  std::uint32_t cores = 0;
  bool has_confidence = false;
  Place place = {};
  std::map<std::string, Place> source_places = {};
};

struct CatalogueDraft {
  std::vector<FamilyDraft> families = {};
  std::vector<ModelDraft> models = {};
  std::map<std::string, std::string> sources = {};
  std::map<std::string, std::size_t> family_index = {};
  std::map<std::string, std::size_t> model_index = {};
  std::map<std::string, Place> source_places = {};
};

}  // namespace busbar::chip::internal
