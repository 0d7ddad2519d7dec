#include "chip/probe/internal/topology_file.h"

#include <fmt/format.h>

#include <utility>

#include "base/yaml.h"
#include "chip/probe/internal/sysfs_text.h"

namespace busbar::chip::probe {
namespace {

class Reader {
 public:
  explicit Reader(std::string path) { file_.path = std::move(path); }

  TopologyFile read(std::string_view text) {
    const auto document = parse_yaml(text);
    if (!document) {
      note(document.error().position, document.error().message);
    } else if (document->kind == YamlNode::Kind::kMap) {
      for (const YamlNode::Entry& entry : document->entries) read_section(entry);
    } else if (document->kind != YamlNode::Kind::kNull) {
      note(document->position, "expected a map with the keys cards and links");
    }
    return std::move(file_);
  }

 private:
  void note(TextPosition at, std::string_view message) {
    file_.problems.push_back({.path = file_.path, .message = fmt::format("line {}: {}", at.line, message)});
  }

  void read_section(const YamlNode::Entry& entry) {
    if (entry.key == "cards" && entry.value.kind == YamlNode::Kind::kMap) {
      for (const YamlNode::Entry& card : entry.value.entries) read_card(card);
    } else if (entry.key == "links" && entry.value.kind == YamlNode::Kind::kSequence) {
      for (const YamlNode& group : entry.value.items) read_group(group);
    } else {
      note(entry.key_position, fmt::format("\"{}\" is neither cards (a map) nor links (a list of lists)", entry.key));
    }
  }

  void read_card(const YamlNode::Entry& entry) {
    if (!is_pci_address(entry.key) || entry.value.kind != YamlNode::Kind::kMap) {
      return note(entry.key_position,
                  fmt::format("\"{}\" must be a PCI address such as \"0000:3b:00.0\" (quoted), with "
                              "a map of chip, ignore and values",
                              entry.key));
    }
    CardOverride card{.line = entry.key_position.line};
    for (const YamlNode::Entry& field : entry.value.entries) {
      if (field.key == "chip" && field.value.kind == YamlNode::Kind::kScalar) {
        card.chip = field.value.scalar;
      } else if (field.key == "ignore" && (field.value.scalar == "true" || field.value.scalar == "false")) {
        card.is_ignored = field.value.scalar == "true";
      } else if (field.key == "values" && field.value.kind == YamlNode::Kind::kMap) {
        for (const YamlNode::Entry& value : field.value.entries) card.values[value.key] = value.value.scalar;
      } else {
        note(field.key_position, fmt::format("\"{}\" of card {} is none of chip (a model's id), ignore (true or "
                                             "false), values (a map)",
                                             field.key, entry.key));
      }
    }
    file_.cards[entry.key] = std::move(card);
  }

  void read_group(const YamlNode& group) {
    std::vector<std::string> addresses;
    for (const YamlNode& item : group.items) {
      if (is_pci_address(item.scalar)) {
        addresses.push_back(item.scalar);
      } else {
        note(item.position, fmt::format("\"{}\" is no PCI address such as \"0000:3b:00.0\"", item.scalar));
      }
    }
    if (group.kind != YamlNode::Kind::kSequence) note(group.position, "a group of linked cards is a list of addresses");
    if (!addresses.empty()) file_.links.push_back(std::move(addresses));
  }

  TopologyFile file_;
};

}  // namespace

const CardOverride* TopologyFile::find(const std::string& address) const {
  const auto found = cards.find(address);
  return found == cards.end() ? nullptr : &found->second;
}

TopologyFile parse_topology_file(std::string path, std::string_view text) {
  return Reader(std::move(path)).read(text);
}

}  // namespace busbar::chip::probe
