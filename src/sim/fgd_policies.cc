#include "sim/fgd_policies.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "sim/fgd_core.h"
#include "sim/fgd_moves.h"
#include "sim/random.h"

namespace busbar::sim {
namespace {

using sched::place::ExpectedShape;
using sched::place::fits;
using sched::place::kPackCard;
using sched::place::Packer;
using sched::place::PackNode;
using sched::place::PackShape;
using sched::place::ScoreBoard;
using Score = ScoreBoard::Score;

// What the published simulator takes for the largest node.
constexpr double kMaxNodeCpus = 128'000;
constexpr double kMaxNodeMilli = 8'000;
constexpr Score kMaxScore = 100;

std::int64_t free_milli(const PackNode& node) {
  std::int64_t sum = 0;
  for (const std::uint16_t free : node.cards) {
    sum += free;
  }
  return sum;
}

/// A node's score for a shape that fits; the board takes the lowest, so published scores are negated.
class Scorer {
 public:
  virtual ~Scorer() = default;
  virtual Score score(const PackNode& node, const PackShape& shape) const = 0;
  virtual std::uint16_t card(const PackNode& node, const PackShape& shape) const { return tightest_card(node, shape); }
};

class ScoredPolicy : public PackPolicy {
 public:
  ScoredPolicy(const PackWorld& world, std::unique_ptr<Scorer> scorer)
      : nodes_(world.nodes.begin(), world.nodes.end()), scorer_(std::move(scorer)), board_(nodes_.size()) {
    for (const ExpectedShape& expected : world.shapes) {
      shapes_.push_back(expected.shape);
      board_.add_shape();
    }
  }

  std::optional<Choice> place(std::size_t shape_index) override {
    const PackShape& shape = shapes_[shape_index];
    const auto node = board_.best(shape_index, [&](std::size_t i) {
      return fits(nodes_[i], shape) ? scorer_->score(nodes_[i], shape) : ScoreBoard::kNever;
    });
    if (!node.has_value()) {
      return std::nullopt;
    }
    const Choice choice = {.node = *node,
                           .card = shape.is_fraction() ? scorer_->card(nodes_[*node], shape) : std::uint16_t{0}};
    take(nodes_[choice.node], shape, choice.card);
    board_.changed(choice.node);
    return choice;
  }

 private:
  std::vector<PackNode> nodes_;
  std::vector<PackShape> shapes_;
  std::unique_ptr<Scorer> scorer_;
  ScoreBoard board_;
};

class FgdScorer : public Scorer {
 public:
  explicit FgdScorer(std::span<const ExpectedShape> shapes) : typical_(typical_of(shapes)) {}

  Score score(const PackNode& node, const PackShape& shape) const override { return best(node, shape).first; }
  std::uint16_t card(const PackNode& node, const PackShape& shape) const override { return best(node, shape).second; }

 private:
  struct Typical {
    PackShape shape = {};
    double share = 0;
  };

  // The most popular shapes that make up 95 % of the pods; the publication knows no memory here.
  static std::vector<Typical> typical_of(std::span<const ExpectedShape> shapes) {
    std::map<PackShape, std::int64_t> counts;
    std::int64_t all = 0;
    for (const ExpectedShape& expected : shapes) {
      PackShape shape = expected.shape;
      shape.memory = 0;
      counts[shape] += expected.weight;
      all += expected.weight;
    }
    std::vector<std::pair<std::int64_t, PackShape>> order;
    for (const auto& [shape, count] : counts) {
      order.emplace_back(count, shape);
    }
    std::ranges::sort(order, std::greater<>());
    std::vector<Typical> typical;
    std::int64_t kept = 0;
    for (const auto& [count, shape] : order) {
      if (kept * 100 >= all * 95) {
        break;
      }
      kept += count;
      typical.push_back({.shape = shape, .share = static_cast<double>(count)});
    }
    for (Typical& one : typical) {
      one.share /= static_cast<double>(kept);
    }
    return typical;
  }

  // F_n(M) of the publication: what of the free cards one random task of the load could not use.
  double fragmentation(const PackNode& node) const {
    const std::int64_t free = free_milli(node);
    if (free == 0) {
      return 0;
    }
    double sum = 0;
    for (const Typical& one : typical_) {
      std::int64_t unusable = free;
      if (one.shape.cards > 0 && fits(node, one.shape)) {
        unusable = 0;
        for (const std::uint16_t card : node.cards) {
          unusable += card < one.shape.milli ? card : 0;
        }
      }
      sum += one.share * static_cast<double>(unusable);
    }
    return sum;
  }

  static Score rounded(double drop_milli) {
    return -static_cast<Score>(static_cast<double>(kMaxScore) / (1 + std::exp(-drop_milli / kPackCard)));
  }

  std::pair<Score, std::uint16_t> best(const PackNode& node, const PackShape& shape) const {
    PackNode blind = node;
    blind.memory = INT64_MAX;
    const double before = fragmentation(blind);
    PackNode after = blind;
    if (!shape.is_fraction()) {
      take(after, shape, 0);
      return {rounded(before - fragmentation(after)), std::uint16_t{0}};
    }
    std::pair<Score, std::uint16_t> best = {ScoreBoard::kNever, std::uint16_t{0}};
    for (std::size_t i = 0; i < node.cards.size(); ++i) {
      const bool is_same_as_earlier = std::find(node.cards.begin(), node.cards.begin() + static_cast<std::ptrdiff_t>(i),
                                                node.cards[i]) != node.cards.begin() + static_cast<std::ptrdiff_t>(i);
      if (node.cards[i] >= shape.milli && !is_same_as_earlier) {
        after = blind;
        take(after, shape, static_cast<std::uint16_t>(i));
        const Score score = rounded(before - fragmentation(after));
        if (score < best.first) {
          best = {score, static_cast<std::uint16_t>(i)};
        }
      }
    }
    return best;
  }

  std::vector<Typical> typical_;
};

class BestFitScorer : public Scorer {
 public:
  Score score(const PackNode& node, const PackShape& shape) const override {
    const double rest = static_cast<double>(node.cpus - shape.cpus) / kMaxNodeCpus / 2 +
                        static_cast<double>(free_milli(node) - shape.card_milli()) / kMaxNodeMilli / 2;
    return -static_cast<Score>((1 - rest) * static_cast<double>(kMaxScore));
  }
};

class RandomPolicy : public PackPolicy {
 public:
  explicit RandomPolicy(const PackWorld& world) : nodes_(world.nodes.begin(), world.nodes.end()), random_(world.seed) {
    for (const ExpectedShape& expected : world.shapes) {
      shapes_.push_back(expected.shape);
    }
  }

  std::optional<Choice> place(std::size_t shape_index) override {
    const PackShape& shape = shapes_[shape_index];
    std::vector<std::size_t> fitting;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (fits(nodes_[i], shape)) {
        fitting.push_back(i);
      }
    }
    if (fitting.empty()) {
      return std::nullopt;
    }
    Choice choice = {.node = fitting[random_.below(fitting.size())]};
    if (shape.is_fraction()) {
      std::vector<std::uint16_t> cards;
      for (std::size_t i = 0; i < nodes_[choice.node].cards.size(); ++i) {
        if (nodes_[choice.node].cards[i] >= shape.milli) {
          cards.push_back(static_cast<std::uint16_t>(i));
        }
      }
      choice.card = cards[random_.below(cards.size())];
    }
    take(nodes_[choice.node], shape, choice.card);
    return choice;
  }

 private:
  std::vector<PackNode> nodes_;
  std::vector<PackShape> shapes_;
  Random random_;
};

/// The core's packing. Online: it expects what it has seen, thought over again each time that its experience has
/// doubled.
class BusbarPolicy : public PackPolicy {
 public:
  BusbarPolicy(const PackWorld& world, bool is_online)
      : packer_({world.nodes.begin(), world.nodes.end()}), is_online_(is_online) {
    for (const ExpectedShape& expected : world.shapes) {
      shapes_.push_back(packer_.add_shape(expected.shape));
      seen_.push_back({.shape = expected.shape});
    }
    if (!is_online_) {
      packer_.expect(world.shapes);
    }
  }

  std::optional<Choice> place(std::size_t shape_index) override {
    if (is_online_) {
      ++seen_[shape_index].weight;
      if (++count_ == next_lesson_) {
        packer_.expect(seen_);
        next_lesson_ *= 2;
      }
    }
    const auto choice = packer_.choose(shapes_[shape_index]);
    if (choice.has_value()) {
      packer_.place(shapes_[shape_index], *choice);
    }
    return choice;
  }

 private:
  Packer packer_;
  bool is_online_;
  std::vector<Packer::ShapeIndex> shapes_;
  std::vector<ExpectedShape> seen_;
  std::uint64_t count_ = 0;
  std::uint64_t next_lesson_ = 64;
};

std::unique_ptr<Scorer> make_scorer(std::string_view name, const PackWorld& world) {
  if (name == "fgd") return std::make_unique<FgdScorer>(world.shapes);
  if (name == "bestfit") return std::make_unique<BestFitScorer>();
  return nullptr;
}

}  // namespace

std::uint16_t tightest_card(const PackNode& node, const PackShape& shape) {
  std::size_t best = node.cards.size();
  for (std::size_t i = 0; i < node.cards.size(); ++i) {
    if (node.cards[i] >= shape.milli && (best == node.cards.size() || node.cards[i] < node.cards[best])) {
      best = i;
    }
  }
  return static_cast<std::uint16_t>(best);
}

std::span<const std::string_view> pack_policy_names() {
  static constexpr std::array<std::string_view, 8> kNames = {"busbar",      "busbar-online", "busbar-moves", "core",
                                                             "core-online", "fgd",           "bestfit",      "random"};
  return kNames;
}

std::unique_ptr<PackPolicy> make_pack_policy(std::string_view name, const PackWorld& world) {
  if (name == "busbar" || name == "busbar-online") {
    return std::make_unique<BusbarPolicy>(world, name == "busbar-online");
  }
  if (name == "busbar-moves") {
    return make_moving_policy(world);
  }
  if (name == "core" || name == "core-online") {
    return make_core_policy(world, name == "core");
  }
  if (name == "random") {
    return std::make_unique<RandomPolicy>(world);
  }
  std::unique_ptr<Scorer> scorer = make_scorer(name, world);
  return scorer == nullptr ? nullptr : std::make_unique<ScoredPolicy>(world, std::move(scorer));
}

}  // namespace busbar::sim
