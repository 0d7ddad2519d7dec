#include "sched/learn/habits.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/binary.h"
#include "base/hash.h"

namespace busbar::sched::learn {
namespace {

constexpr std::int32_t kSizes = 24;
constexpr int kFractionBits = 44;
constexpr std::int64_t kLongestMs = (INT64_C(1) << 31) * 1000;

std::int64_t start_of(std::size_t step) {
  constexpr std::int64_t kRootOfTwo = 1414;
  return (step % 2 == 0 ? std::int64_t{1000} : kRootOfTwo) << (step / 2);
}

std::int32_t size_of(std::int64_t milli_cards) {
  const auto cards = static_cast<std::uint64_t>(std::max<std::int64_t>((milli_cards + 999) / 1000, 1));
  return std::min(static_cast<std::int32_t>(std::bit_width(cards - 1)), kSizes - 1);
}

std::uint64_t hash_kind(const KindKey& key, const Kind& kind) {
  BinaryWriter out;
  out.zigzag(key.size);
  out.text(key.queue);
  for (std::size_t step = 0; step < Kind::kSteps; ++step) {
    out.varint(kind.ends[step]);
    out.varint(kind.sum_ms[step]);
  }
  return stable_hash64(out.bytes());
}

void halve(Kind& kind) {
  kind.count = 0;
  for (std::size_t step = 0; step < Kind::kSteps; ++step) {
    const std::uint32_t kept = kind.ends[step] / 2;
    kind.sum_ms[step] = kind.ends[step] == 0 ? 0 : kind.sum_ms[step] / kind.ends[step] * kept;
    kind.ends[step] = kept;
    kind.count += kept;
  }
}

// Served up to the beginning of `step`, so that nothing changes within one. Beyond all that ended before, the job is
// as good as one that has run once more as long.
std::uint64_t index_of(const Kind& kind, std::size_t step) {
  const auto served_ms = step == 0 ? std::uint64_t{0} : static_cast<std::uint64_t>(start_of(step));
  std::uint64_t left = 0;
  for (std::size_t at = step; at < Kind::kSteps; ++at) {
    left += kind.ends[at];
  }
  if (left == 0) {
    return (std::uint64_t{1} << kFractionBits) / static_cast<std::uint64_t>(4 * start_of(step));
  }
  std::uint64_t best = 0;
  std::uint64_t done = 0;
  std::uint64_t worked_ms = 0;
  for (std::size_t at = step; at < Kind::kSteps && done < left; ++at) {
    done += kind.ends[at];
    worked_ms += kind.sum_ms[at] - std::min(kind.sum_ms[at], kind.ends[at] * served_ms);
    const std::uint64_t rest_ms = (left - done) * (static_cast<std::uint64_t>(start_of(at + 1)) - served_ms);
    best = std::max(best, (done << kFractionBits) / std::max<std::uint64_t>(worked_ms + rest_ms, 1));
  }
  return std::min(best, std::uint64_t{1} << kFractionBits);
}

}  // namespace

std::size_t Habits::step_of(std::int64_t served_ms) {
  const auto seconds = static_cast<std::uint64_t>(std::clamp<std::int64_t>(served_ms, 1000, kLongestMs) / 1000);
  const auto octave = static_cast<std::size_t>(std::bit_width(seconds) - 1);
  return std::min(2 * octave + (served_ms >= start_of(2 * octave + 1) ? 1 : 0), Kind::kSteps - 1);
}

std::int64_t Habits::next_step_ms(std::int64_t served_ms) {
  return start_of(step_of(served_ms) + 1);
}

const Kind* Habits::find(const KindKey& key) const {
  const std::shared_ptr<const Kind>* kind = kinds_.find(key);
  return kind == nullptr ? nullptr : kind->get();
}

void Habits::put(const KindKey& key, Kind kind) {
  for (std::size_t step = 0; step < Kind::kSteps; ++step) {
    kind.index[step] = index_of(kind, step);
  }
  if (const Kind* before = find(key)) {
    hash_sum_ -= hash_kind(key, *before);
  }
  hash_sum_ += hash_kind(key, kind);
  kinds_.put(key, std::make_shared<const Kind>(std::move(kind)));
}

void Habits::add(const KindKey& key, std::int64_t served_ms) {
  const Kind* before = find(key);
  Kind kind = before == nullptr ? Kind{} : *before;
  const std::size_t step = step_of(served_ms);
  ++kind.ends[step];
  ++kind.count;
  kind.sum_ms[step] += static_cast<std::uint64_t>(std::clamp<std::int64_t>(served_ms, 0, kLongestMs));
  if (kind.count >= kMostEnds) {
    halve(kind);
  }
  put(key, std::move(kind));
}

void Habits::learn(const std::string& queue, std::int64_t milli_cards, std::int64_t served_ms) {
  const std::int32_t size = size_of(milli_cards);
  add({.size = size, .queue = queue}, served_ms);
  add({.size = size}, served_ms);
  add({}, served_ms);
}

std::uint64_t Habits::urgency(const std::string& queue, std::int64_t milli_cards, std::int64_t served_ms) const {
  const std::int32_t size = size_of(milli_cards);
  const Kind* alike = find({.size = size, .queue = queue});
  if (alike == nullptr || alike->count < kEnough) {
    alike = find({.size = size});
  }
  if (alike == nullptr || alike->count < kEnough) {
    alike = find({});
  }
  if (alike == nullptr) {
    return 0;
  }
  // Of one card; a job that takes more must end so much sooner. One without cards counts as if it had one.
  return alike->index[step_of(served_ms)] * 1000 / static_cast<std::uint64_t>(milli_cards > 0 ? milli_cards : 1000);
}

bool Habits::restore(const KindKey& key, const Kind& kind) {
  std::uint64_t count = 0;
  for (std::size_t step = 0; step < Kind::kSteps; ++step) {
    count += kind.ends[step];
    if (kind.sum_ms[step] > std::uint64_t{kind.ends[step]} * kLongestMs) {
      return false;
    }
  }
  if (count >= kMostEnds || kinds_.contains(key)) {
    return false;
  }
  Kind counted = kind;
  counted.count = static_cast<std::uint32_t>(count);
  put(key, std::move(counted));
  return true;
}

std::uint64_t Habits::recompute_hash() const {
  std::uint64_t sum = 0;
  for (const auto& [key, kind] : kinds_) {
    sum += hash_kind(key, *kind);
  }
  return sum;
}

}  // namespace busbar::sched::learn
