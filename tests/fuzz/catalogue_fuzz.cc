#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "chip/builtin_catalogue.h"
#include "chip/injection.h"
#include "chip/match.h"

namespace {

void require(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

/// Every model of a catalogue that was accepted can be asked for and previewed without harm.
void use(const busbar::chip::Catalogue& catalogue) {
  using namespace busbar::chip;
  for (const ChipModel& model : catalogue.models()) {
    require(catalogue.find(model.id) == &model);
    require(match(catalogue, model.id, {}).has_value());
    const HostCards host = assumed_host(catalogue, model.id, 2);
    const auto edits = edits_for(catalogue, host, {host.cards[1].device});
    if (edits) {
      for (const DeviceNode& node : edits->devices) {
        require(node.path.starts_with("/dev/"));
      }
    }
  }
}

}  // namespace

/// A catalogue file alone, and the same as a site's overlay of the one that is built in. Any bytes give a catalogue or
/// errors with their place, never both.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace busbar::chip;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::vector<CatalogueFile> alone = {{.name = "fuzz.yaml", .text = text}};
  const ParsedCatalogue parsed = parse_catalogue(alone);
  if (parsed.is_valid()) {
    use(parsed.catalogue);
  } else {
    for (const CatalogueDiagnostic& diagnostic : parsed.diagnostics) {
      require(diagnostic.file == "fuzz.yaml" && !diagnostic.message.empty());
    }
  }
  // Parsing the built-in files takes most of the time, so a small part of the inputs is tried on top of them.
  if (size > 0 && data[size - 1] == '#') {
    std::vector<CatalogueFile> files = builtin_catalogue_files();
    files.push_back({.name = "fuzz.yaml", .text = text, .is_overlay = true});
    const ParsedCatalogue merged = parse_catalogue(files);
    require(!merged.is_valid() || merged.catalogue.models().size() >= builtin_catalogue().models().size());
  }
  return 0;
}
