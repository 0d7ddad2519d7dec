#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace busbar {

/// One-based place in a text; 0 means unknown.
struct TextPosition {
  int line = 0;
  int column = 0;
  friend bool operator==(const TextPosition&, const TextPosition&) = default;
};

/// A parsed YAML 1.2 document (JSON included) that remembers where everything stood. Scalars stay text: the reader of
/// a field decides the type, so `time_limit: 0-04:00:00` is never an accidental integer. A plain value.
struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  struct Entry;

  Kind kind = Kind::kNull;
  TextPosition position;
  std::string scalar;           ///< kScalar only.
  bool is_quoted = false;       ///< 'x' or "x" or a block scalar: never null, number or boolean.
  std::vector<YamlNode> items;  ///< kSequence only.
  std::vector<Entry> entries;   ///< kMap only, in file order; duplicate keys are refused by the parser.

  /// nullptr when absent or not a map.
  const YamlNode* find(std::string_view key) const;
};

struct YamlNode::Entry {
  std::string key;
  TextPosition key_position;
  YamlNode value;
};

struct YamlError {
  TextPosition position;
  std::string message;
};

/// One document. Refuses: several documents, duplicate keys, non-scalar keys, aliases that expand beyond 10,000 nodes,
/// nesting deeper than 64, NUL bytes. Anchors, aliases and `<<` merges work.
tl::expected<YamlNode, YamlError> parse_yaml(std::string_view text);

}  // namespace busbar
