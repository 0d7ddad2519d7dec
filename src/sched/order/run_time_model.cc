#include "sched/order/run_time_model.h"

#include <algorithm>
#include <bit>

namespace busbar::sched::order {
namespace {

constexpr std::int64_t kSecondMs = 1000;
constexpr std::int64_t kRootTwoMs = 1414;  ///< Half an octave above a second.
constexpr std::uint64_t kOneJob = 1U << 16U;
constexpr std::uint64_t kWhole = 1U << 20U;  ///< Shares add up to about this.
constexpr std::uint64_t kHourMs = 3'600'000;
/// The coarser counts see every end, so they remember longer.
constexpr std::uint32_t kSizeShift = 2;
constexpr std::uint32_t kAllShift = 4;

}  // namespace

std::uint32_t size_class_of(std::int64_t milli_cards) {
  const std::int64_t cards = std::max<std::int64_t>((milli_cards + 999) / 1000, 1);
  return static_cast<std::uint32_t>(std::bit_width(static_cast<std::uint64_t>(cards - 1)));
}

std::int64_t RunTimeModel::begin_of(std::size_t bucket) {
  return bucket == 0 ? 0 : (bucket % 2 == 0 ? kSecondMs : kRootTwoMs) << (bucket / 2);
}

std::size_t RunTimeModel::bucket_of(std::int64_t run_ms) {
  const std::int64_t seconds = std::max<std::int64_t>(run_ms / kSecondMs, 1);
  const std::size_t octave = static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(seconds))) - 1;
  const std::size_t bucket = std::min(2 * octave, kBuckets - 2);
  return run_ms >= begin_of(bucket + 1) ? bucket + 1 : bucket;
}

void RunTimeModel::count(Counts& counts, std::size_t bucket, std::uint32_t shift) const {
  for (std::uint64_t& value : counts.of) {
    value -= value >> shift;
  }
  counts.of[bucket] += kOneJob;
  ++counts.ends;
}

void RunTimeModel::ended(const JobKind& kind, std::int64_t run_ms) {
  const std::size_t bucket = bucket_of(run_ms);
  count(by_kind_[kind], bucket, settings_.fade_shift);
  count(by_size_[kind.size_class], bucket, settings_.fade_shift + kSizeShift);
  count(all_, bucket, settings_.fade_shift + kAllShift);
}

RunTimeModel::Shares RunTimeModel::blend(const Counts* counts, const Shares& coarser) const {
  Shares shares = coarser;
  if (counts == nullptr) {
    return shares;
  }
  const std::uint64_t lean = std::uint64_t{settings_.lean_jobs} * kOneJob;
  std::uint64_t total = lean;
  for (const std::uint64_t value : counts->of) {
    total += value;
  }
  for (std::size_t i = 0; i < kBuckets; ++i) {
    shares[i] = (counts->of[i] * kWhole + lean * coarser[i]) / total;
  }
  return shares;
}

const RunTimeModel::RatesByAge& RunTimeModel::rates(const JobKind& kind) {
  Rates& rates = rates_[kind];
  const auto size = by_size_.find(kind.size_class);
  const std::uint64_t ends = size == by_size_.end() ? 0 : size->second.ends;
  if (rates.made_at == 0 || rates.made_at + settings_.renew_after <= ends + 1) {
    renew(kind, rates);
    rates.made_at = ends + 1;
  }
  return rates.of;
}

void RunTimeModel::renew(const JobKind& kind, Rates& rates) const {
  // Before anything has ended, every half octave is as likely as another: the rate then falls with age.
  Shares shares;
  shares.fill(kWhole / kBuckets);
  shares = blend(&all_, shares);
  const auto size = by_size_.find(kind.size_class);
  shares = blend(size == by_size_.end() ? nullptr : &size->second, shares);
  const auto own = by_kind_.find(kind);
  shares = blend(own == by_kind_.end() ? nullptr : &own->second, shares);
  for (std::size_t age = 0; age < kBuckets; ++age) {
    std::uint64_t left = 0;
    for (std::size_t i = age; i < kBuckets; ++i) {
      left += shares[i];
    }
    std::uint64_t ended = 0;
    unsigned __int128 used_ms = 1;
    std::uint64_t best = 0;
    for (std::size_t i = age; i < kBuckets; ++i) {
      const auto width_ms = static_cast<std::uint64_t>(begin_of(i + 1) - begin_of(i));
      // Those that end in the bucket use half of it.
      used_ms += static_cast<unsigned __int128>(2 * left - shares[i]) * width_ms;
      left -= shares[i];
      ended += shares[i];
      const auto ratio = static_cast<unsigned __int128>(ended) * 2 * kHourMs * kWhole / used_ms;
      best = std::max(best, static_cast<std::uint64_t>(std::min<unsigned __int128>(ratio, UINT64_MAX)));
    }
    rates.of[age] = best;
  }
}

}  // namespace busbar::sched::order
