#include <algorithm>
#include <string>

#include "model/cluster.h"

namespace busbar::model {
namespace {

constexpr std::size_t kMaxNameLength = 63;
constexpr std::size_t kMaxCardsPerNode = 1024;

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_name_character(char c) {
  return is_name_start(c) || c == '-' || c == '_' || c == '.';
}

tl::unexpected<Error> bad_node(const Node& node, const std::string& what) {
  return make_error(ErrorCode::kInvalidArgument, "node \"" + node.name + "\": " + what);
}

Result<void> validate_card(const Node& node, std::size_t position) {
  const Card& card = node.cards[position];
  const std::string which = "card " + std::to_string(position);
  if (card.index != position) {
    return bad_node(node, which + " has index " + std::to_string(card.index) + "; indices are 0, 1, 2, ... in order");
  }
  if (card.chip.empty()) {
    return bad_node(node, which + " names no chip");
  }
  if (card.memory.value < 0) {
    return bad_node(node, which + " has negative memory");
  }
  const bool has_bad_peak = std::any_of(card.peak_gflops.begin(), card.peak_gflops.end(),
                                        [](const auto& peak) { return peak.first.empty() || peak.second < 0; });
  return has_bad_peak ? Result<void>(bad_node(node, which + " has a peak without a precision or below 0"))
                      : Result<void>();
}

}  // namespace

bool is_valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameLength && is_name_start(name.front()) &&
         std::all_of(name.begin(), name.end(), is_name_character);
}

Result<void> validate(const Node& node) {
  if (!node.id.is_valid()) {
    return bad_node(node, "its id is 0, which means none");
  }
  if (!is_valid_name(node.name)) {
    return bad_node(node, "a name has 1 to 63 characters of a-z 0-9 - _ . and begins with a letter or digit");
  }
  if (node.cards.size() > kMaxCardsPerNode) {
    return bad_node(node, "more than " + std::to_string(kMaxCardsPerNode) + " cards");
  }
  if (node.cpus.value < 0 || node.memory.value < 0) {
    return bad_node(node, "negative cpus or memory");
  }
  for (std::size_t position = 0; position < node.cards.size(); ++position) {
    TRY(validate_card(node, position));
  }
  const bool has_unnamed_domain =
      std::any_of(node.fabric.begin(), node.fabric.end(), [](const std::string& domain) { return domain.empty(); });
  return has_unnamed_domain ? Result<void>(bad_node(node, "a fabric domain without a name")) : Result<void>();
}

}  // namespace busbar::model
