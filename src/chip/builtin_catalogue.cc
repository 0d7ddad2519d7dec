#include "chip/builtin_catalogue.h"

#include "base/check.h"

namespace busbar::chip {

const Catalogue& builtin_catalogue() {
  static const Catalogue kCatalogue = [] {
    ParsedCatalogue parsed = parse_catalogue(builtin_catalogue_files());
    CHECK(parsed.is_valid(), format_diagnostics(parsed.diagnostics));
    return std::move(parsed.catalogue);
  }();
  return kCatalogue;
}

}  // namespace busbar::chip
