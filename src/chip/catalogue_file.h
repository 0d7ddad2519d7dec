#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/yaml.h"
#include "chip/catalogue.h"

namespace busbar::chip {

/// One catalogue file as text; whoever reads files hands it down.
struct CatalogueFile {
  std::string name = {};  ///< For messages: "catalogue/nvidia.yaml", "/etc/busbar/chips.d/site.yaml".
  std::string text = {};
  /// A site's own file: it may name families and models that exist already, and what it says of them replaces what was
  /// said before, key by key.
  bool is_overlay = false;
};

struct CatalogueDiagnostic {
  std::string file = {};
  TextPosition position = {};
  std::string message = {};
  friend bool operator==(const CatalogueDiagnostic&, const CatalogueDiagnostic&) = default;
};

/// `catalogue` is usable only without diagnostics.
struct ParsedCatalogue {
  Catalogue catalogue = {};
  std::vector<CatalogueDiagnostic> diagnostics = {};  ///< In the order of files and lines; at most kMaxDiagnostics.
  bool is_valid() const { return diagnostics.empty(); }
};
inline constexpr std::size_t kMaxCatalogueDiagnostics = 100;

/// Reads and checks catalogue files: unknown keys, ids that occur twice, sources that nobody names, numbers with units
/// or out of every plausible range. All errors in one answer, each with file and line. Overlays apply in order, after
/// the other files. Pure; safe on any bytes.
ParsedCatalogue parse_catalogue(std::span<const CatalogueFile> files);

/// "catalogue/nvidia.yaml:31:5: error: ..." one a line.
std::string format_diagnostics(const std::vector<CatalogueDiagnostic>& diagnostics);

}  // namespace busbar::chip
