#include "sim/learned_order.h"

#include <algorithm>
#include <bit>

namespace busbar::sim {
namespace {

/// Fewer ends say less about a kind of jobs than those of a wider kind do.
constexpr std::uint64_t kEnough = 24;
constexpr int kFractionBits = 44;

}  // namespace

LearnedOrder::LearnedOrder(std::size_t queues) : by_queue_and_size_(queues * kSizes), by_size_(kSizes) {}

std::size_t LearnedOrder::step_of(std::int64_t ms) {
  const auto seconds = static_cast<std::uint64_t>(std::clamp<std::int64_t>(ms / 1000, 1, INT64_C(1) << 31));
  const auto octave = static_cast<std::size_t>(std::bit_width(seconds) - 1);
  return std::min(2 * octave + (ms >= start_of(2 * octave + 1) ? 1 : 0), kSteps - 1);
}

std::int64_t LearnedOrder::start_of(std::size_t step) {
  constexpr std::int64_t kRootOfTwo = 1414;
  return (step % 2 == 0 ? std::int64_t{1000} : kRootOfTwo) << (step / 2);
}

std::size_t LearnedOrder::size_of(std::int64_t milli_cards) {
  const auto cards = static_cast<std::uint64_t>(std::max<std::int64_t>((milli_cards + 999) / 1000, 1));
  return std::min(static_cast<std::size_t>(std::bit_width(cards - 1)), kSizes - 1);
}

void LearnedOrder::add(Kind& kind, std::int64_t ran_ms) {
  const std::size_t step = step_of(ran_ms);
  ++kind.ends[step];
  kind.sum_ms[step] += static_cast<std::uint64_t>(std::max<std::int64_t>(ran_ms, 0));
  ++kind.count;
}

void LearnedOrder::learn(std::uint32_t queue, std::int64_t milli_cards, std::int64_t ran_ms) {
  const std::size_t size = size_of(milli_cards);
  add(by_queue_and_size_[queue * kSizes + size], ran_ms);
  add(by_size_[size], ran_ms);
  add(all_, ran_ms);
}

// Served up to the beginning of `step`, so that nothing changes within one. Beyond all that ended before, the job is
// as good as one that has run once more as long.
std::uint64_t LearnedOrder::index_of(Kind& kind, std::size_t step) {
  if (kind.index_count[step] == kind.count + 1) {
    return kind.index[step];
  }
  const auto served_ms = step == 0 ? std::uint64_t{0} : static_cast<std::uint64_t>(start_of(step));
  std::uint64_t left = 0;
  for (std::size_t at = step; at < kSteps; ++at) {
    left += kind.ends[at];
  }
  std::uint64_t best = (std::uint64_t{1} << kFractionBits) / static_cast<std::uint64_t>(2 * start_of(step)) / 2;
  best = left == 0 ? best : 0;
  std::uint64_t done = 0;
  std::uint64_t worked_ms = 0;
  for (std::size_t at = step; at < kSteps && done < left; ++at) {
    done += kind.ends[at];
    worked_ms += kind.sum_ms[at] - std::min(kind.sum_ms[at], kind.ends[at] * served_ms);
    const std::uint64_t rest_ms = (left - done) * (static_cast<std::uint64_t>(start_of(at + 1)) - served_ms);
    best = std::max(best, (done << kFractionBits) / std::max<std::uint64_t>(worked_ms + rest_ms, 1));
  }
  kind.index[step] = best;
  kind.index_count[step] = kind.count + 1;
  return best;
}

std::uint64_t LearnedOrder::index(std::uint32_t queue, std::int64_t milli_cards, std::int64_t served_ms) {
  const std::size_t size = size_of(milli_cards);
  Kind& own = by_queue_and_size_[queue * kSizes + size];
  Kind& alike = own.count >= kEnough ? own : by_size_[size].count >= kEnough ? by_size_[size] : all_;
  return index_of(alike, step_of(served_ms)) * 1000 /
         static_cast<std::uint64_t>(std::max<std::int64_t>(milli_cards, 1));
}

std::int64_t LearnedOrder::next_change_ms(std::int64_t served_ms) {
  return start_of(step_of(served_ms) + 1);
}

}  // namespace busbar::sim
