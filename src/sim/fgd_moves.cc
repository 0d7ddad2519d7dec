#include "sim/fgd_moves.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace busbar::sim {
namespace {

using sched::place::ExpectedShape;
using sched::place::fits;
using sched::place::kPackCard;
using sched::place::Packer;
using sched::place::PackNode;
using sched::place::PackShape;

/// A pod where it stands, with all cards that it has there.
struct Standing {
  std::size_t shape = 0;
  std::vector<std::uint16_t> cards = {};
};

/// The cards that take() takes for the shape.
std::vector<std::uint16_t> cards_taken(const PackNode& node, const PackShape& shape, std::uint16_t card) {
  if (shape.is_fraction()) {
    return {card};
  }
  std::vector<std::uint16_t> cards;
  for (std::uint16_t i = 0; i < node.cards.size() && cards.size() < shape.cards; ++i) {
    if (node.cards[i] == kPackCard) cards.push_back(i);
  }
  return cards;
}

void give_back(PackNode& node, const PackShape& shape, const Standing& pod) {
  node.cpus += shape.cpus;
  node.memory += shape.memory;
  for (const std::uint16_t card : pod.cards) {
    node.cards[card] = static_cast<std::uint16_t>(node.cards[card] + shape.milli);
  }
}

class MovingPolicy : public PackPolicy {
 public:
  explicit MovingPolicy(const PackWorld& world)
      : packer_({world.nodes.begin(), world.nodes.end()}), standing_(world.nodes.size()) {
    for (const ExpectedShape& expected : world.shapes) {
      shapes_.push_back(packer_.add_shape(expected.shape));
    }
    packer_.expect(world.shapes);
  }

  std::optional<Choice> place(std::size_t shape) override {
    ++pods_;
    last_.clear();
    if (const auto choice = packer_.choose(shapes_[shape])) {
      put(shape, *choice);
      return choice;
    }
    return shape_of(shape).cards == 0 ? std::nullopt : make_room(shape);
  }

  std::span<const Move> moves() const override { return last_; }

 private:
  /// A pod that would have to go: (its milli-cards, node, place among those of the node).
  using Candidate = std::tuple<std::int64_t, std::size_t, std::size_t>;

  const PackShape& shape_of(std::size_t shape) const { return packer_.shape(shapes_[shape]); }

  void put(std::size_t shape, const Choice& choice) {
    standing_[choice.node].push_back(
        {.shape = shape, .cards = cards_taken(packer_.node(choice.node), shape_of(shape), choice.card)});
    packer_.place(shapes_[shape], choice);
  }

  std::vector<Candidate> candidates_for(std::size_t shape) const {
    std::vector<Candidate> candidates;
    for (std::size_t node = 0; node < standing_.size(); ++node) {
      if (!accepts_kind(shape_of(shape), packer_.node(node).kind)) {
        continue;
      }
      for (std::size_t i = 0; i < standing_[node].size(); ++i) {
        PackNode without = packer_.node(node);
        give_back(without, shape_of(standing_[node][i].shape), standing_[node][i]);
        if (fits(without, shape_of(shape))) {
          candidates.emplace_back(shape_of(standing_[node][i].shape).card_milli(), node, i);
        }
      }
    }
    std::sort(candidates.begin(), candidates.end());
    return candidates;
  }

  std::optional<Choice> make_room(std::size_t shape) {
    if ((moves_ + 1) * 100 > pods_ * kMovesPerHundredPods) {
      return std::nullopt;
    }
    for (const auto& [milli, node, at] : candidates_for(shape)) {
      if (const auto choice = exchange(shape, node, at)) {
        ++moves_;
        return choice;
      }
    }
    return std::nullopt;
  }

  // The newcomer gets its cards before the other looks for a place, so that it finds none that are taken then.
  std::optional<Choice> exchange(std::size_t shape, std::size_t node, std::size_t at) {
    const Standing pod = standing_[node][at];
    if (!packer_.choose(shapes_[pod.shape]).has_value()) {
      return std::nullopt;
    }
    const PackNode before = packer_.node(node);
    packer_.update_node(node, [&](PackNode& state) { give_back(state, shape_of(pod.shape), pod); });
    const PackShape& coming = shape_of(shape);
    const Choice choice = {.node = node,
                           .card = coming.is_fraction() ? tightest_card(packer_.node(node), coming) : std::uint16_t{0}};
    const std::vector<std::uint16_t> cards = cards_taken(packer_.node(node), coming, choice.card);
    packer_.place(shapes_[shape], choice);
    const auto elsewhere = packer_.choose(shapes_[pod.shape]);
    if (!elsewhere.has_value() || elsewhere->node == node) {
      packer_.put_node(node, before);
      return std::nullopt;
    }
    standing_[node][at] = {.shape = shape, .cards = cards};
    put(pod.shape, *elsewhere);
    last_.push_back({.shape = pod.shape, .from = node, .cards = pod.cards, .to = *elsewhere});
    return choice;
  }

  Packer packer_;
  std::vector<Packer::ShapeIndex> shapes_;
  std::vector<std::vector<Standing>> standing_;  ///< By node.
  std::uint64_t pods_ = 0;
  std::uint64_t moves_ = 0;
  std::vector<Move> last_;
};

}  // namespace

std::unique_ptr<PackPolicy> make_moving_policy(const PackWorld& world) {
  return std::make_unique<MovingPolicy>(world);
}

}  // namespace busbar::sim
