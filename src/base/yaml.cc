#include "base/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "base/text.h"

namespace busbar {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxAliasNodes = 10'000;
/// All anchored subtrees together; each is kept as a copy, so this bounds memory.
constexpr std::size_t kMaxAnchoredNodes = 100'000;
constexpr std::string_view kMergeKey = "<<";

TextPosition position_of(const YAML::Mark& mark) {
  return {.line = mark.line + 1, .column = mark.column + 1};
}

/// Builds the tree from yaml-cpp's events, which come in document order; refuses by YAML::ParserException, which
/// unwinds its parser. With the event interface the limits hold while parsing, before a large tree can exist.
class Builder final : public YAML::EventHandler {
 public:
  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (has_document_) {
      throw YAML::ParserException(mark, "the document has ended; one document a file");
    }
    has_document_ = true;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode node;
    node.position = position_of(mark);
    add(mark, {.node = std::move(node), .anchor = anchor});
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto anchored = anchors_.find(anchor);
    if (anchored == anchors_.end()) {
      throw YAML::ParserException(mark, "alias inside of what it stands for");
    }
    alias_nodes_ += anchored->second.size;
    if (alias_nodes_ > kMaxAliasNodes) {
      throw YAML::ParserException(mark, fmt::format("aliases expand to more than {} nodes", kMaxAliasNodes));
    }
    if (levels_.size() + anchored->second.height > kMaxDepth) {
      throw_too_deep(mark);
    }
    Level copy = anchored->second;
    copy.anchor = YAML::NullAnchor;
    add(mark, std::move(copy));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node;
    node.kind = YamlNode::Kind::kScalar;
    node.position = position_of(mark);
    node.scalar = value;
    node.is_quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    add(mark, {.node = std::move(node), .anchor = anchor});
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, YamlNode::Kind::kSequence, anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, YamlNode::Kind::kMap, anchor);
  }
  void OnMapEnd() override {
    merge_included(levels_.back().node);
    close();
  }

 private:
  /// A node being built, or a finished one on its way into its parent.
  struct Level {
    YamlNode node = {};
    YAML::anchor_t anchor = YAML::NullAnchor;
    std::size_t size = 1;    ///< nodes of the subtree
    std::size_t height = 0;  ///< collections on the longest path down
    YAML::Mark mark = {};
    std::set<std::string> keys = {};
    bool awaits_value = false;  ///< a map whose last entry has its key only
  };

  [[noreturn]] static void throw_too_deep(const YAML::Mark& mark) {
    throw YAML::ParserException(mark, fmt::format("nested deeper than {}", kMaxDepth));
  }

  void open(const YAML::Mark& mark, YamlNode::Kind kind, YAML::anchor_t anchor) {
    if (levels_.size() >= kMaxDepth) {
      throw_too_deep(mark);
    }
    if (!levels_.empty() && levels_.back().node.kind == YamlNode::Kind::kMap && !levels_.back().awaits_value) {
      throw YAML::ParserException(mark, "a key must be a plain word or text");
    }
    Level level{.anchor = anchor, .height = 1, .mark = mark};
    level.node.kind = kind;
    level.node.position = position_of(mark);
    levels_.push_back(std::move(level));
  }

  void close() {
    Level level = std::move(levels_.back());
    levels_.pop_back();
    level.keys.clear();
    const YAML::Mark mark = level.mark;
    add(mark, std::move(level));
  }

  void add(const YAML::Mark& mark, Level child) {
    if (child.anchor != YAML::NullAnchor) {
      anchored_nodes_ += child.size;
      if (anchored_nodes_ > kMaxAnchoredNodes) {
        throw YAML::ParserException(mark, fmt::format("anchors hold more than {} nodes", kMaxAnchoredNodes));
      }
      anchors_.insert_or_assign(child.anchor, child);
    }
    if (levels_.empty()) {
      root_ = std::move(child.node);
      return;
    }
    Level& parent = levels_.back();
    parent.size += child.size;
    parent.height = std::max(parent.height, child.height + 1);
    if (parent.node.kind == YamlNode::Kind::kSequence) {
      parent.node.items.push_back(std::move(child.node));
    } else if (parent.awaits_value) {
      parent.node.entries.back().value = std::move(child.node);
      parent.awaits_value = false;
    } else {
      add_key(mark, parent, std::move(child.node));
    }
  }

  static void add_key(const YAML::Mark& mark, Level& parent, YamlNode key) {
    if (key.kind != YamlNode::Kind::kScalar) {
      throw YAML::ParserException(mark, "a key must be a plain word or text");
    }
    if (!parent.keys.insert(key.scalar).second) {
      throw YAML::ParserException(mark, fmt::format("key \"{}\" is here twice", key.scalar));
    }
    parent.awaits_value = true;
    parent.node.entries.push_back({.key = std::move(key.scalar), .key_position = position_of(mark), .value = {}});
  }

  /// Replaces `<<: map` or `<<: [map, map]` by those maps' entries: a key of the map itself wins, then the earlier map.
  void merge_included(YamlNode& map) {
    const auto merge = std::find_if(map.entries.begin(), map.entries.end(),
                                    [](const YamlNode::Entry& entry) { return entry.key == kMergeKey; });
    if (merge == map.entries.end()) {
      return;
    }
    const TextPosition position = merge->key_position;
    YamlNode included = std::move(merge->value);
    map.entries.erase(merge);
    std::vector<YamlNode> sources;
    if (included.kind == YamlNode::Kind::kSequence) {
      sources = std::move(included.items);
    } else {
      sources.push_back(std::move(included));
    }
    std::set<std::string>& keys = levels_.back().keys;
    for (YamlNode& source : sources) {
      if (source.kind != YamlNode::Kind::kMap) {
        YAML::Mark mark;
        mark.line = position.line - 1;
        mark.column = position.column - 1;
        throw YAML::ParserException(mark, "<< takes a map or a list of maps");
      }
      for (YamlNode::Entry& entry : source.entries) {
        if (keys.insert(entry.key).second) {
          map.entries.push_back(std::move(entry));
        }
      }
    }
  }

  bool has_document_ = false;
  YamlNode root_{
      .kind = YamlNode::Kind::kNull, .position = {.line = 1, .column = 1}, .scalar = {}, .items = {}, .entries = {}};
  std::vector<Level> levels_;
  std::map<YAML::anchor_t, Level> anchors_;
  std::size_t alias_nodes_ = 0;
  std::size_t anchored_nodes_ = 0;
};

TextPosition position_at(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  return {.line = static_cast<int>(1 + std::count(before.begin(), before.end(), '\n')),
          .column = static_cast<int>(before.size() - (before.rfind('\n') + 1) + 1)};
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) {
      return &entry.value;
    }
  }
  return nullptr;
}

tl::expected<YamlNode, YamlError> parse_yaml(std::string_view text) {
  if (text.size() > kMaxBytes) {
    return tl::unexpected(YamlError{.position = {}, .message = fmt::format("longer than {} bytes", kMaxBytes)});
  }
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return tl::unexpected(YamlError{.position = position_at(text, nul), .message = "a NUL byte"});
  }
  if (const std::size_t valid = valid_utf8_prefix(text); valid < text.size()) {
    return tl::unexpected(YamlError{.position = position_at(text, valid), .message = "not UTF-8"});
  }
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Builder builder;
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take();
  } catch (const YAML::Exception& failure) {
    return tl::unexpected(YamlError{.position = position_of(failure.mark), .message = failure.msg});
  } catch (const std::exception& failure) {
    return tl::unexpected(YamlError{.position = {}, .message = failure.what()});
  }
}

}  // namespace busbar
