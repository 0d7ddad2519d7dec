#include "launch/internal/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace busbar::launch::internal {
namespace {

/// Beyond this a file is not a job file, and nobody reads on.
constexpr std::size_t kMaxDiagnostics = 100;

std::string shortened(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  if (text.size() <= kLongest) {
    return std::string(text);
  }
  const std::string_view head = text.substr(0, kLongest);
  return std::string(head.substr(0, valid_utf8_prefix(head))) + "...";
}

/// A message quotes what the file says: kept to one printable line of bounded length.
std::string printable(std::string_view message) {
  constexpr std::size_t kLongest = 500;
  std::string_view head = message.substr(0, kLongest);
  head = head.substr(0, valid_utf8_prefix(head));
  std::string text(head);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  return head.size() < message.size() ? text + "..." : text;
}

}  // namespace

std::string_view kind_name(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return "a text";
    case YamlNode::Kind::kSequence:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
  }
  return "nothing";
}

const Field* Section::find(std::string_view key) const {
  if (!resource_field.empty() && key.find('/') != std::string_view::npos) {
    key = resource_field;
  }
  for (const Field& field : fields) {
    if (field.name == key || std::find(field.aliases.begin(), field.aliases.end(), key) != field.aliases.end()) {
      return &field;
    }
  }
  return nullptr;
}

std::string Section::hint_for(std::string_view key) const {
  for (const ForeignKey& known : foreign) {
    if (known.name == key) {
      return std::string(known.hint);
    }
  }
  std::vector<std::string> names;
  for (const Field& field : fields) {
    if (field.is_carried_out) {
      names.push_back(field.name);
      names.insert(names.end(), field.aliases.begin(), field.aliases.end());
    }
  }
  const auto nearest = nearest_name(key, names);
  if (!nearest) {
    return {};
  }
  const std::string& name = find(*nearest)->name;
  return fmt::format("did you mean \"{}\"?", name);
}

void Reader::read_section(const Section& section, const YamlNode& map) {
  if (map.kind != YamlNode::Kind::kMap) {
    error(map, fmt::format("expected a map of fields, found {}", kind_name(map)));
    return;
  }
  const std::string outer_path = path_;
  std::map<const Field*, std::string> seen;
  for (const YamlNode::Entry& entry : map.entries) {
    path_ = outer_path.empty() ? shortened(entry.key) : outer_path + "." + shortened(entry.key);
    const Field* field = section.find(entry.key);
    if (field == nullptr) {
      // Looking for the nearest name is what costs; nobody sees the hint of the thousandth error.
      error(entry.key_position, "unknown key", is_full() ? std::string() : section.hint_for(entry.key));
      continue;
    }
    path_ = outer_path.empty() ? field->name : outer_path + "." + field->name;
    const auto [first, is_first] = seen.emplace(field, entry.key);
    if (!is_first) {
      error(entry.key_position,
            fmt::format("given twice, as \"{}\" and as \"{}\"", first->second, shortened(entry.key)),
            "keep one of them");
      continue;
    }
    if (entry.value.kind == YamlNode::Kind::kNull) {
      continue;  // A key with nothing behind it is the same as no key.
    }
    positions_[path_] = entry.value.position;
    const std::string outer_key = std::exchange(key_, entry.key);
    field->read(*this, entry.value);
    key_ = outer_key;
  }
  path_ = outer_path;
}

void Reader::read_items(const YamlNode& node, const std::function<void(Reader&, const YamlNode&)>& read) {
  if (node.kind != YamlNode::Kind::kSequence) {
    read(*this, node);
    return;
  }
  const std::string outer_path = path_;
  for (std::size_t index = 0; index < node.items.size(); ++index) {
    path_ = fmt::format("{}[{}]", outer_path, index);
    if (node.items[index].kind == YamlNode::Kind::kNull) {
      error(node.items[index], "an empty item", "delete it or give it a value");
    } else {
      positions_[path_] = node.items[index].position;
      read(*this, node.items[index]);
    }
  }
  path_ = outer_path;
}

void Reader::error(TextPosition position, std::string message, std::string hint) {
  add({.position = position, .field = path_, .message = std::move(message), .hint = std::move(hint)});
}

void Reader::error_at(std::string_view field, std::string message, std::string hint) {
  add({.position = position_of(field),
       .field = std::string(field),
       .message = std::move(message),
       .hint = std::move(hint)});
}

void Reader::warning_at(std::string_view field, std::string message, std::string hint) {
  add({.position = position_of(field),
       .field = std::string(field),
       .message = std::move(message),
       .hint = std::move(hint),
       .is_warning = true});
}

std::optional<std::string> Reader::scalar(const YamlNode& node, std::string_view expected) {
  if (node.kind != YamlNode::Kind::kScalar) {
    error(node, fmt::format("expected {}, found {}", expected, kind_name(node)));
    return std::nullopt;
  }
  return node.scalar;
}

TextPosition Reader::position_of(std::string_view field) const {
  auto found = positions_.find(field);
  if (found == positions_.end()) {
    // An item that stood alone was read under the list's own name.
    found = positions_.find(field.substr(0, field.find('[')));
  }
  return found == positions_.end() ? root_ : found->second;
}

bool Reader::is_full() const {
  return diagnostics_.size() >= kMaxDiagnostics;
}

bool Reader::has_error_at(std::string_view field) const {
  return std::any_of(diagnostics_.begin(), diagnostics_.end(), [field](const Diagnostic& diagnostic) {
    return !diagnostic.is_warning && diagnostic.field == field;
  });
}

void Reader::add(Diagnostic diagnostic) {
  has_errors_ = has_errors_ || !diagnostic.is_warning;
  if (is_full()) {
    ++left_out_;
    return;
  }
  diagnostic.field = printable(diagnostic.field);
  diagnostic.message = printable(diagnostic.message);
  diagnostics_.push_back(std::move(diagnostic));
}

std::vector<Diagnostic> Reader::take_diagnostics() {
  std::stable_sort(diagnostics_.begin(), diagnostics_.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return std::pair(a.position.line, a.position.column) < std::pair(b.position.line, b.position.column);
  });
  if (left_out_ > 0) {
    diagnostics_.push_back({.message = fmt::format("and {} more", left_out_), .hint = "mend these first"});
  }
  return std::move(diagnostics_);
}

}  // namespace busbar::launch::internal
