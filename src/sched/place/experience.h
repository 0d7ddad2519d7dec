#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sched/events.h"
#include "sched/internal/cow_map.h"

namespace busbar::sched::place {

/// What one task asks of its node, as far as packing minds; chips by name, so that it means the same after a restart.
struct TaskKind {
  std::int64_t cpus = 0;                ///< Milli-CPUs.
  std::uint16_t cards = 0;              ///< 0: none.
  std::uint16_t milli = 0;              ///< Of each card; below 1000 `cards` is 1.
  std::vector<std::string> chips = {};  ///< Sorted; empty: any accelerator.
  friend bool operator==(const TaskKind&, const TaskKind&) = default;
};

/// Its key in an Experience: the fields as bytes.
std::string encode_kind(const TaskKind& kind);
/// nullopt: not such a key.
std::optional<TaskKind> decode_kind(std::string_view key);
/// Of the tasks of a job whose fields make sense. Alternatives of other sizes than the first one are left out.
TaskKind kind_of(const JobRequest& request);

/// Tasks of one kind.
struct Tally {
  std::uint64_t tasks = 0;
  std::uint64_t memory_mib = 0;  ///< Of all of them together.
  friend bool operator==(const Tally&, const Tally&) = default;
};

/// What tasks have looked like lately, and what is expected of those to come: what packing rests on. Part of the state:
/// hashed, in snapshots, the same wherever the same jobs were submitted.
///
/// Jobs are counted as they are submitted. After the first 64, whenever their number has doubled, and from 4,096 on
/// every 4,096 jobs, the expectation becomes what was counted, unless that differs by less than a sixteenth from what
/// is expected; from then on the counts are halved each time, so that old habits fade. Cost: O(log kinds) a job; at
/// most kMostKinds kinds are told apart, the rarest one making way.
class Experience {
 public:
  static constexpr std::size_t kMostKinds = 256;
  static constexpr std::size_t kMostExpected = 128;  ///< The most frequent ones.

  using Tallies = internal::CowMap<std::string, Tally>;
  using Lesson = std::vector<std::pair<std::string, Tally>>;  ///< By key.

  /// The job's fields must make sense.
  void note(const JobRequest& request);

  const Tallies& tallies() const { return tallies_; }
  std::uint64_t jobs() const { return jobs_; }        ///< Since the last lesson was due.
  std::uint64_t lessons() const { return lessons_; }  ///< That were due.
  /// What is expected; nullptr: nothing yet. Another one is another object.
  const std::shared_ptr<const Lesson>& lesson() const { return lesson_; }

  /// nullopt if it cannot have come from note().
  static std::optional<Experience> restore(Lesson tallies, Lesson lesson, std::uint64_t jobs, std::uint64_t lessons);

  /// Kept as counts change.
  std::uint64_t hash() const;
  std::uint64_t recompute_hash() const;

 private:
  void count(const std::string& key, Tally more);
  void put(const std::string& key, Tally tally);
  void forget_rarest();
  void learn();
  void halve();

  Tallies tallies_;
  std::uint64_t tally_sum_ = 0;  ///< Of their hashes.
  std::uint64_t jobs_ = 0;
  std::uint64_t lessons_ = 0;
  std::shared_ptr<const Lesson> lesson_;
  std::uint64_t lesson_hash_ = 0;
};

}  // namespace busbar::sched::place
