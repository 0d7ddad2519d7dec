#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace busbar::sched::order {

/// What is known of a job before it runs, as far as run times go: whose it is and how large.
struct JobKind {
  std::string queue = {};
  std::uint32_t size_class = 0;  ///< Logarithm to base 2 of its cards, rounded up.
  friend auto operator<=>(const JobKind&, const JobKind&) = default;
};
std::uint32_t size_class_of(std::int64_t milli_cards);

/// Run times that like jobs had, faded with each new one, and what follows for those that run or wait.
///
/// Nothing is asked of users: jobs that end teach it. Times are counted in half octaves from one second; each kind's
/// counts lose 1/2^fade_shift at each end, so that about the last 2^fade_shift jobs speak: users send the same thing
/// many times in a row. Few ends of a kind lean on its size's, these on everybody's.
///
/// The order that minimises mean completion time when only the distribution is known is Gittins' (Gittins 1979; for
/// schedulers Scully, Harchol-Balter, Scheller-Wolf 2018): highest rate first, where the rate of a job of some age is
/// the largest ratio, over all further times t, of its chance to end within t to the time that it is expected to use in
/// t.
///
/// Integers only. Not thread-safe. Cost: ended() O(buckets); rate() O(1) while no job of the kind's size ended, else
/// O(buckets^2) once a kind.
class RunTimeModel {
 public:
  static constexpr std::size_t kBuckets = 48;  ///< Up to 194 days; longer counts as that.
  struct Settings {
    std::uint32_t fade_shift = 6;   ///< Memory of about 64 jobs a kind.
    std::uint32_t lean_jobs = 4;    ///< The coarser level counts as so many jobs.
    std::uint32_t renew_after = 8;  ///< Rates are made again after so many ends of the kind's size.
  };
  explicit RunTimeModel(Settings settings) : settings_(settings) {}

  void ended(const JobKind& kind, std::int64_t run_ms);

  /// By bucket of the time that a job has run: its chance to end per hour of run time, in 2^-20. The reference stays
  /// good, its values change with later calls for the kind.
  using RatesByAge = std::array<std::uint64_t, kBuckets>;
  const RatesByAge& rates(const JobKind& kind);
  std::uint64_t rate(const JobKind& kind, std::int64_t age_ms) { return rates(kind)[bucket_of(age_ms)]; }

  static std::size_t bucket_of(std::int64_t run_ms);
  /// Least run time of the bucket.
  static std::int64_t begin_of(std::size_t bucket);

 private:
  /// In 2^-16 jobs.
  struct Counts {
    std::array<std::uint64_t, kBuckets> of = {};
    std::uint64_t ends = 0;
  };
  struct Rates {
    RatesByAge of = {};
    std::uint64_t made_at = 0;  ///< `ends` of the size's counts, plus one; 0: never.
  };
  using Shares = std::array<std::uint64_t, kBuckets>;

  void count(Counts& counts, std::size_t bucket, std::uint32_t shift) const;
  Shares blend(const Counts* counts, const Shares& coarser) const;
  void renew(const JobKind& kind, Rates& rates) const;

  Settings settings_;
  Counts all_;
  std::map<std::uint32_t, Counts> by_size_;
  std::map<JobKind, Counts> by_kind_;
  std::map<JobKind, Rates> rates_;
};

}  // namespace busbar::sched::order
