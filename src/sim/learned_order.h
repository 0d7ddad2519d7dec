#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace busbar::sim {

/// Whom to serve next, by what ended so far: jobs of the same queue and size tend to run alike.
///
/// An index of Gittins' kind (Gittins 1979; for sizes known only by distribution: Aalto, Ayesta, Righter 2009): of all
/// times to look ahead, the best ratio of the chance that the job ends by then to the card time that it takes until
/// then, given how long it was served. A job of a kind that ends soon or not at all is so urgent at first and gives way
/// later. Run times are kept as counts in steps of half an octave, for each queue and size, for each size, and for all;
/// the first of these that has seen enough answers. Integers only. Not thread-safe. Cost: a look-up; after each end,
/// O(steps) for each step of that kind that is asked for.
class LearnedOrder {
 public:
  explicit LearnedOrder(std::size_t queues);

  /// A job ended after so much time on its cards.
  void learn(std::uint32_t queue, std::int64_t milli_cards, std::int64_t ran_ms);
  /// Larger: serve it sooner.
  std::uint64_t index(std::uint32_t queue, std::int64_t milli_cards, std::int64_t served_ms);
  /// When its index changes next if it is served on.
  static std::int64_t next_change_ms(std::int64_t served_ms);

 private:
  static constexpr std::size_t kSteps = 64;
  static constexpr std::size_t kSizes = 16;  ///< Powers of two of cards.

  struct Kind {
    std::array<std::uint64_t, kSteps> ends = {};
    std::array<std::uint64_t, kSteps> sum_ms = {};
    std::uint64_t count = 0;
    std::array<std::uint64_t, kSteps> index = {};        ///< Of one card.
    std::array<std::uint64_t, kSteps> index_count = {};  ///< `count` that it is of.
  };

  static std::size_t step_of(std::int64_t ms);
  static std::int64_t start_of(std::size_t step);
  static std::size_t size_of(std::int64_t milli_cards);
  static void add(Kind& kind, std::int64_t ran_ms);
  static std::uint64_t index_of(Kind& kind, std::size_t step);

  std::vector<Kind> by_queue_and_size_;
  std::vector<Kind> by_size_;
  Kind all_;
};

}  // namespace busbar::sim
