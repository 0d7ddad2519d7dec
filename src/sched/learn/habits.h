#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>

#include "sched/internal/cow_map.h"

namespace busbar::sched::learn {

/// How long jobs of one kind have run: counts by run time, in steps of half an octave from a second on.
struct Kind {
  static constexpr std::size_t kSteps = 64;

  std::array<std::uint32_t, kSteps> ends = {};
  std::array<std::uint64_t, kSteps> sum_ms = {};  ///< Of the run times of those that ended in the step.
  std::uint32_t count = 0;
  /// Derived: how urgent one card's job is that was served for a time of the step.
  std::array<std::uint64_t, kSteps> index = {};
};

/// Jobs of a queue and a size (a power of two of cards); no queue: of all queues; kAllSizes: all jobs.
struct KindKey {
  static constexpr std::int32_t kAllSizes = -1;
  std::int32_t size = kAllSizes;
  std::string queue = {};
  friend auto operator<=>(const KindKey&, const KindKey&) = default;
};

/// Whom to serve next, by what ended so far: jobs of the same queue and size tend to run alike. Part of the state:
/// hashed, in snapshots.
///
/// An index of Gittins' kind (Gittins 1979; for sizes known only by distribution: Aalto, Ayesta, Righter 2009): of all
/// times to look ahead, the best ratio of the chance that the job ends by then to the card time that it takes until
/// then, given how long it was served. A job of a kind that ends soon or not at all is so urgent at first and gives way
/// later. Kept for each queue and size (powers of two of cards), for each size, and for all; the first of these that
/// has seen enough answers. At kMostEnds all counts of a kind are halved, so that old habits fade. Integers only. Cost:
/// learn() O(steps^2), urgency() three look-ups.
class Habits {
 public:
  static constexpr std::uint32_t kEnough = 24;
  static constexpr std::uint32_t kMostEnds = 4096;
  using Kinds = internal::CowMap<KindKey, std::shared_ptr<const Kind>>;

  /// A job ended after so much time on its cards, of all its attempts together.
  void learn(const std::string& queue, std::int64_t milli_cards, std::int64_t served_ms);
  /// Larger: serve it sooner. 0: nothing is known yet.
  std::uint64_t urgency(const std::string& queue, std::int64_t milli_cards, std::int64_t served_ms) const;

  /// Urgency is the same for all that were served for times of one step.
  static std::size_t step_of(std::int64_t served_ms);
  /// When the next step begins.
  static std::int64_t next_step_ms(std::int64_t served_ms);

  const Kinds& kinds() const { return kinds_; }
  /// Of a snapshot. False: it cannot have come from learn().
  bool restore(const KindKey& key, const Kind& kind);
  std::uint64_t hash() const { return hash_sum_; }
  std::uint64_t recompute_hash() const;

 private:
  void add(const KindKey& key, std::int64_t served_ms);
  const Kind* find(const KindKey& key) const;
  void put(const KindKey& key, Kind kind);

  Kinds kinds_;
  std::uint64_t hash_sum_ = 0;
};

}  // namespace busbar::sched::learn
