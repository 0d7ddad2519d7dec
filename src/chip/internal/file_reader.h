#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/yaml.h"
#include "chip/catalogue_file.h"
#include "chip/internal/catalogue_draft.h"

/// Reading of values from one catalogue file, with every error noted.
namespace busbar::chip::internal {

class FileReader {
 public:
  FileReader(const CatalogueFile& file, std::size_t index, std::vector<CatalogueDiagnostic>& diagnostics)
      : file_(file), index_(index), diagnostics_(diagnostics) {}

  const CatalogueFile& file() const { return file_; }
  Place place(TextPosition position) const { return {.file = index_, .position = position}; }
  void error(TextPosition position, std::string message);

  /// An error and nullopt where the node is of another kind.
  std::optional<std::string> text(const YamlNode& node, std::string_view key);
  /// A list of scalars; a scalar alone counts as a list of one.
  std::vector<std::string> texts(const YamlNode& node, std::string_view key);
  /// A positive decimal number x 1000. `unit` is what the number counts; an error where it has a unit of its own.
  std::optional<std::int64_t> milli(const YamlNode& node, std::string_view key, std::int64_t most,
                                    std::string_view unit);
  std::optional<std::int64_t> integer(const YamlNode& node, std::string_view key, std::int64_t most);
  /// Four lower-case hexadecimal digits.
  std::optional<std::uint16_t> hex16(std::string_view digits, TextPosition position, std::string_view key);
  std::vector<std::uint16_t> hex16_list(const YamlNode& node, std::string_view key);
  /// False, with an error, if the node is no map.
  bool is_map(const YamlNode& node, std::string_view key);
  /// Sources by key, with their places for the check that each exists.
  std::vector<std::string> source_keys(const YamlNode& node, std::string_view key,
                                       std::map<std::string, Place>& places);
  void unknown_key(const YamlNode::Entry& entry, std::string_view where, std::span<const std::string> known);

 private:
  const CatalogueFile& file_;
  std::size_t index_;
  std::vector<CatalogueDiagnostic>& diagnostics_;
};

/// One key of a map and how its value gets into a T.
template <class T>
struct Key {
  std::string_view name;
  void (*read)(FileReader& reader, T& into, const YamlNode& node);
};

/// Reads every key of `map` by the table. A value that is absent (null) is an error: leave the key out.
template <class T>
void read_map(FileReader& reader, const YamlNode& map, std::span<const Key<T>> keys, T& into, std::string_view where) {
  if (!reader.is_map(map, where)) {
    return;
  }
  for (const YamlNode::Entry& entry : map.entries) {
    const Key<T>* found = nullptr;
    for (const Key<T>& key : keys) {
      found = key.name == entry.key ? &key : found;
    }
    if (found == nullptr) {
      std::vector<std::string> known;
      for (const Key<T>& key : keys) {
        known.emplace_back(key.name);
      }
      reader.unknown_key(entry, where, known);
    } else if (entry.value.kind == YamlNode::Kind::kNull) {
      reader.error(entry.key_position, std::string(entry.key) + " has no value; leave the key out if it is not known");
    } else {
      found->read(reader, into, entry.value);
    }
  }
}

}  // namespace busbar::chip::internal
