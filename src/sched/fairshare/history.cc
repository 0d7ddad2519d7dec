#include "sched/fairshare/history.h"

#include <algorithm>
#include <array>

namespace busbar::sched::fairshare {
namespace {

constexpr int kRootBits = 62;
constexpr int kFractionBits = 24;
/// No half-life is longer: sums stay within 128 bits.
constexpr std::int64_t kMaxEpochs = std::int64_t{366} * 1440;

constexpr std::uint64_t integer_root(Wide value) {
  std::uint64_t root = 0;
  for (std::uint64_t bit = std::uint64_t{1} << 63; bit != 0; bit >>= 1) {
    const std::uint64_t larger = root | bit;
    if (static_cast<Wide>(larger) * larger <= value) {
      root = larger;
    }
  }
  return root;
}

/// 2^(1/2), 2^(1/4), ... with kRootBits fractional bits.
constexpr std::array<std::uint64_t, 32> make_roots() {
  std::array<std::uint64_t, 32> roots = {};
  std::uint64_t last = std::uint64_t{2} << kRootBits;
  for (std::uint64_t& root : roots) {
    root = integer_root(static_cast<Wide>(last) << kRootBits);
    last = root;
  }
  return roots;
}

constexpr std::array<std::uint64_t, 32> kRoots = make_roots();

std::int64_t floor_mod(std::int64_t value, std::int64_t by) {
  const std::int64_t rest = value % by;
  return rest < 0 ? rest + by : rest;
}

}  // namespace

std::uint64_t exp2_fixed(std::uint64_t numerator, std::uint64_t denominator) {
  const std::uint64_t fraction = (numerator << 32) / denominator;
  Wide product = Wide{1} << kRootBits;
  for (std::size_t i = 0; i < kRoots.size(); ++i) {
    if ((fraction >> (31 - i) & 1) != 0) {
      product = product * kRoots[i] >> kRootBits;
    }
  }
  return static_cast<std::uint64_t>(product >> (kRootBits - kFractionBits));
}

Decay::Decay(std::int64_t half_life_ms) {
  const std::int64_t epochs = std::clamp<std::int64_t>(half_life_ms / kEpochMs, 1, kMaxEpochs);
  sums_.reserve(static_cast<std::size_t>(epochs) + 1);
  sums_.push_back(0);
  for (std::int64_t i = 0; i < epochs; ++i) {
    sums_.push_back(sums_.back() + exp2_fixed(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(epochs)));
  }
}

// Past half-lives add up to sum(H) x (1/2 + 1/4 + ...).
Wide Decay::weight_at(std::int64_t epoch) const {
  return static_cast<Wide>(sum(floor_mod(epoch, epochs())) + sum(epochs())) * static_cast<Wide>(kEpochMs);
}

void accrue(History& history, std::int64_t rate, TimeMs now_ms) {
  history.open += static_cast<Wide>(rate) * static_cast<Wide>(now_ms - history.since_ms);
  history.since_ms = now_ms;
}

void settle(History& history, const Decay& decay, std::int64_t rate, TimeMs now_ms) {
  const std::int64_t last = epoch_of(now_ms);
  std::int64_t epoch = epoch_of(history.since_ms);
  if (epoch == last) {
    return;
  }
  // The epoch that was open, then whole ones up to the end of each half-life.
  accrue(history, rate, (epoch + 1) * kEpochMs);
  const std::int64_t half_life = decay.epochs();
  std::int64_t at = floor_mod(epoch, half_life);
  history.settled += history.open * (decay.sum(at + 1) - decay.sum(at));
  history.open = 0;
  ++epoch;
  ++at;
  while (true) {
    const std::int64_t end = std::min(half_life, at + (last - epoch));
    const Wide whole = static_cast<Wide>(rate) * static_cast<Wide>(kEpochMs);
    Wide next = history.settled + whole * (decay.sum(end) - decay.sum(at));
    epoch += end - at;
    if (end < half_life) {
      history.settled = next;
      break;
    }
    next >>= 1;
    if (at == 0 && next == history.settled) {
      // A steady state: further whole half-lives change nothing.
      epoch += (last - epoch) / half_life * half_life;
    }
    history.settled = next;
    at = 0;
  }
  history.since_ms = last * kEpochMs;
}

}  // namespace busbar::sched::fairshare
