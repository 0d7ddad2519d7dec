#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace busbar::sched::place {

/// The best node for each shape, kept while nodes change: scores are computed when somebody asks for the shape, and
/// only those of nodes that changed since the last time.
///
/// One tournament tree a shape; a log of changed nodes, of which each shape remembers how far it has read. Lower scores
/// are better; of equal ones the node with the lowest index wins, so that equal nodes are filled one after the other
/// instead of all a little. Cost: one score and O(log nodes) for each node changed since, O(1) otherwise.
class ScoreBoard {
 public:
  using Score = std::int64_t;
  static constexpr Score kNever = INT64_MAX;

  explicit ScoreBoard(std::size_t nodes) : nodes_(nodes), seen_in_(nodes) {
    while (width_ < nodes_) {
      width_ *= 2;
    }
  }

  std::size_t add_shape() {
    shapes_.emplace_back();
    return shapes_.size() - 1;
  }

  void clear_shapes() { shapes_.clear(); }

  void changed(std::size_t node) {
    log_.push_back(static_cast<std::uint32_t>(node));
    if (log_.size() >= 2 * kLogFactor * width_) {
      const std::size_t cut = log_.size() / 2;
      log_.erase(log_.begin(), log_.begin() + static_cast<std::ptrdiff_t>(cut));
      log_start_ += cut;
    }
  }
  void all_changed() {
    for (Shape& shape : shapes_) {
      shape.is_built = false;
    }
  }

  /// `score(node)`: of one task of this shape on the node, kNever if it does not fit. nullopt: it fits nowhere.
  template <class ScoreOf>
  std::optional<std::size_t> best(std::size_t shape_index, const ScoreOf& score) {
    Shape& shape = shapes_[shape_index];
    const std::uint64_t end = log_start_ + log_.size();
    if (!shape.is_built || shape.read < log_start_ || end - shape.read >= nodes_) {
      rebuild(shape, score);
    } else {
      ++query_;
      for (std::uint64_t i = shape.read; i < end; ++i) {
        const std::size_t node = log_[i - log_start_];
        if (seen_in_[node] != query_) {
          seen_in_[node] = query_;
          update(shape, node, score(node));
        }
      }
    }
    shape.read = end;
    if (shape.tree.empty() || shape.tree[1] == kNever) {
      return std::nullopt;
    }
    std::size_t at = 1;
    while (at < width_) {
      at = shape.tree[2 * at] <= shape.tree[2 * at + 1] ? 2 * at : 2 * at + 1;
    }
    return at - width_;
  }

  /// As of the last best().
  Score score_of(std::size_t shape, std::size_t node) const { return shapes_[shape].tree[width_ + node]; }

 private:
  static constexpr std::size_t kLogFactor = 4;

  struct Shape {
    bool is_built = false;
    std::uint64_t read = 0;   ///< Changes seen.
    std::vector<Score> tree;  ///< [1] the root, [width_ + i] node i.
  };

  template <class ScoreOf>
  void rebuild(Shape& shape, const ScoreOf& score) {
    shape.tree.assign(2 * width_, kNever);
    for (std::size_t node = 0; node < nodes_; ++node) {
      shape.tree[width_ + node] = score(node);
    }
    for (std::size_t at = width_ - 1; at > 0; --at) {
      shape.tree[at] = std::min(shape.tree[2 * at], shape.tree[2 * at + 1]);
    }
    shape.is_built = true;
  }

  void update(Shape& shape, std::size_t node, Score score) {
    std::size_t at = width_ + node;
    shape.tree[at] = score;
    while (at > 1) {
      at /= 2;
      const Score least = std::min(shape.tree[2 * at], shape.tree[2 * at + 1]);
      if (shape.tree[at] == least) {
        return;
      }
      shape.tree[at] = least;
    }
  }

  std::size_t nodes_ = 0;
  std::uint64_t query_ = 0;
  std::vector<std::uint64_t> seen_in_;  ///< Last query that scored the node.
  std::size_t width_ = 1;
  std::vector<Shape> shapes_;
  std::vector<std::uint32_t> log_;
  std::uint64_t log_start_ = 0;
};

}  // namespace busbar::sched::place
