#include "chip_files.h"

#include <algorithm>
#include <vector>

#include "chip/builtin_catalogue.h"
#include "chip/catalogue_file.h"
#include "os/files.h"

namespace busbar {
namespace {

constexpr std::size_t kMaxFile = 1 << 20;

Result<std::vector<std::string>> yaml_files(const std::string& dir) {
  std::vector<std::string> paths;
  const auto entries = os::list_dir(dir);
  if (!entries) {
    if (entries.error().code == ErrorCode::kNotFound) return paths;
    return with_context(dir, entries.error());
  }
  for (const os::DirEntry& entry : *entries) {
    if (entry.name.ends_with(".yaml")) paths.push_back(os::join_path(dir, entry.name));
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace

Result<chip::Catalogue> read_catalogue(const std::string& overlay_dir) {
  TRY_ASSIGN(const std::vector<std::string> paths, yaml_files(overlay_dir));
  if (paths.empty()) return chip::builtin_catalogue();
  std::vector<chip::CatalogueFile> files = chip::builtin_catalogue_files();
  for (const std::string& path : paths) {
    TRY_ASSIGN(std::string text, os::read_file(path, kMaxFile));
    files.push_back({.name = path, .text = std::move(text), .is_overlay = true});
  }
  chip::ParsedCatalogue parsed = chip::parse_catalogue(files);
  if (!parsed.is_valid()) {
    return make_error(ErrorCode::kInvalidArgument,
                      "the chip catalogue is not valid:\n" + chip::format_diagnostics(parsed.diagnostics));
  }
  return std::move(parsed.catalogue);
}

Result<chip::Catalogue> catalogue_for_cli(const std::string& overlay_dir) {
  return read_catalogue(overlay_dir.empty() ? "/etc/busbar/chips.d" : overlay_dir);
}

}  // namespace busbar
