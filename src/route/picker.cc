#include "route/picker.h"

#include <algorithm>

namespace busbar::route {

Picker::Picker(const Service& service) : concurrency_(service.limits.concurrency) {
  for (std::uint32_t index = 0; index < service.endpoints.size(); ++index) {
    const Endpoint& endpoint = service.endpoints[index];
    if (endpoint.is_draining || endpoint.weight == 0 || endpoint.role != Role::kAny) continue;
    auto group = std::find_if(groups_.begin(), groups_.end(),
                              [&endpoint](const Group& each) { return each.revision == endpoint.revision; });
    if (group == groups_.end()) group = groups_.insert(group, Group{.revision = endpoint.revision});
    group->weight = std::max<std::uint64_t>(group->weight, endpoint.weight);
    group->endpoints.push_back(index);
  }
  for (const Group& group : groups_) weight_sum_ += group.weight;
}

std::size_t Picker::draw_group(std::uint32_t random) const {
  if (groups_.size() == 1) return 0;
  std::uint64_t left = (static_cast<std::uint64_t>(random) * weight_sum_) >> 32;
  for (std::size_t index = 0; index < groups_.size(); ++index) {
    if (left < groups_[index].weight) return index;
    left -= groups_[index].weight;
  }
  return groups_.size() - 1;
}

namespace {

/// A reader that walks over JSON without building it.
class Walker {
 public:
  explicit Walker(std::string_view text) : text_(text) {}

  char peek() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  /// The raw text between quotes, escapes as they are; nullopt if none stands here or it does not end.
  std::optional<std::string_view> string() {
    if (!take('"')) return std::nullopt;
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) return std::nullopt;
    return text_.substr(begin, at_++ - begin);
  }
  /// Over one value of any kind; false if it does not end.
  bool skip_value() {
    std::size_t depth = 0;
    do {
      const char c = peek();
      if (c == '\0') return false;
      if (c == '"') {
        if (!string()) return false;
      } else if (c == '{' || c == '[') {
        ++depth;
        ++at_;
      } else if (c == '}' || c == ']') {
        if (depth == 0) return false;
        --depth;
        ++at_;
      } else if (c == ',' || c == ':') {
        if (depth == 0) return false;
        ++at_;
      } else {
        at_ = std::min(text_.find_first_of(" \t\r\n,:{}[]\"", at_), text_.size());
      }
    } while (depth > 0);
    return true;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::optional<std::string_view> model_in_body(std::string_view body) {
  Walker walker(body);
  if (!walker.take('{')) return std::nullopt;
  std::optional<std::string_view> model;
  if (walker.take('}')) return std::nullopt;
  do {
    const std::optional<std::string_view> key = walker.string();
    if (!key || !walker.take(':')) return std::nullopt;
    // An escaped key could spell "model" for another reader.
    if (key->find('\\') != std::string_view::npos && key->size() >= 5) return std::nullopt;
    if (*key != "model") {
      if (!walker.skip_value()) return std::nullopt;
      continue;
    }
    const std::optional<std::string_view> value = walker.peek() == '"' ? walker.string() : std::nullopt;
    if (model || !value || value->find('\\') != std::string_view::npos) return std::nullopt;
    model = value;
  } while (walker.take(','));
  return walker.take('}') ? model : std::nullopt;
}

}  // namespace busbar::route
