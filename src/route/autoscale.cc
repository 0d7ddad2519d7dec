#include "route/autoscale.h"

#include <algorithm>

namespace busbar::route {
namespace {

constexpr std::int64_t kBucketMs = 250;
constexpr std::int64_t kFastMs = 2'000;
constexpr std::int64_t kSlowMs = 30'000;

std::uint32_t divide_up(std::uint64_t value, std::uint64_t by) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>((value + by - 1) / by, 1'000'000));
}

}  // namespace

Autoscaler::Autoscaler(ScalePolicy policy, std::uint32_t replicas, TimeMs now_ms)
    : policy_(policy), since_ms_(now_ms), needs_{{.time_ms = now_ms, .replicas = replicas}} {}

void Autoscaler::observe(TimeMs now_ms, const LoadSample& sample) {
  const std::int64_t number = now_ms / kBucketMs;
  if (buckets_.empty() || buckets_.back().number < number) buckets_.push_back({.number = number});
  Bucket& bucket = buckets_.back();
  bucket.arrivals += sample.arrivals;
  bucket.finished += sample.finished;
  bucket.busy_us += sample.busy_us;
  bucket.running += sample.running;
  ++bucket.samples;
  waiting_ = sample.waiting;
  running_ = sample.running;
  while (buckets_.front().number < number - kSlowMs / kBucketMs) buckets_.pop_front();
}

Autoscaler::Bucket Autoscaler::sum(TimeMs now_ms, std::int64_t window_ms) const {
  Bucket total;
  for (const Bucket& bucket : buckets_) {
    if (bucket.number <= (now_ms - window_ms) / kBucketMs) continue;
    total.arrivals += bucket.arrivals;
    total.finished += bucket.finished;
    total.busy_us += bucket.busy_us;
    total.running += bucket.running;
    total.samples += bucket.samples;
  }
  return total;
}

/// A window is no longer than what has been seen.
std::int64_t Autoscaler::span_ms(TimeMs now_ms, std::int64_t window_ms) const {
  return std::clamp<std::int64_t>(now_ms - since_ms_, kBucketMs, window_ms);
}

std::uint64_t Autoscaler::concurrency_milli(TimeMs now_ms, std::uint32_t replicas) const {
  const Bucket fast = sum(now_ms, kFastMs);
  const Bucket slow = sum(now_ms, kSlowMs);
  const std::uint64_t busy_us = slow.finished == 0 ? 0 : slow.busy_us / slow.finished;
  // arrivals / ms x us = arrivals x us / (1000 us a ms): in thousandths of a request, just so.
  const auto by_law = [&](const Bucket& bucket, std::int64_t window_ms) {
    return bucket.arrivals * busy_us / static_cast<std::uint64_t>(span_ms(now_ms, window_ms));
  };
  const std::uint64_t counted = std::uint64_t{running_} * 1'000;
  const std::uint64_t mean = fast.samples == 0 ? counted : fast.running * 1'000 / fast.samples;
  const bool is_overrun = waiting_ > 0 || running_ > 2 * std::uint64_t{policy_.target} * std::max(replicas, 1u);
  return std::max(
      {by_law(fast, kFastMs), by_law(slow, kSlowMs), is_overrun ? counted + std::uint64_t{waiting_} * 1'000 : mean});
}

std::uint64_t Autoscaler::grown_concurrency_milli(TimeMs now_ms, std::int64_t within_ms) const {
  const Bucket fast = sum(now_ms, kFastMs);
  const Bucket slow = sum(now_ms, kSlowMs);
  const std::int64_t fast_ms = span_ms(now_ms, kFastMs);
  const std::int64_t slow_ms = span_ms(now_ms, kSlowMs);
  if (slow_ms < 2 * fast_ms || slow.finished == 0) return 0;
  const auto parts = static_cast<std::uint64_t>(fast_ms);
  const std::uint64_t even = slow.arrivals * parts / static_cast<std::uint64_t>(slow_ms);
  if (fast.arrivals <= even) return 0;
  const std::uint64_t more = fast.arrivals - even;
  if (more * more <= 4 * even) return 0;
  // From the middle of the long window to that of the short one, and from there on.
  const auto apart_ms = static_cast<std::uint64_t>((slow_ms - fast_ms) / 2);
  const std::uint64_t growth = more * (parts / 2 + static_cast<std::uint64_t>(within_ms)) / apart_ms;
  return (fast.arrivals + std::min(growth, fast.arrivals)) * (slow.busy_us / slow.finished) / parts;
}

std::uint32_t Autoscaler::hold(Needs& needs, TimeMs now_ms, std::uint32_t need) const {
  while (!needs.empty() && needs.back().replicas <= need) needs.pop_back();
  needs.push_back({.time_ms = now_ms, .replicas = need});
  while (needs.front().time_ms + policy_.down_after_ms <= now_ms && needs.size() > 1) needs.pop_front();
  return std::clamp(needs.front().replicas, policy_.min, std::max(policy_.min, policy_.max));
}

std::uint32_t Autoscaler::expected(TimeMs now_ms, std::int64_t within_ms) {
  const std::uint64_t grown_milli = grown_concurrency_milli(now_ms, within_ms);
  return hold(ahead_, now_ms, divide_up(grown_milli, std::uint64_t{std::max(policy_.target, 1u)} * 1'000));
}

std::uint32_t Autoscaler::desired(TimeMs now_ms, std::uint32_t replicas) {
  std::uint32_t need =
      divide_up(concurrency_milli(now_ms, replicas), std::uint64_t{std::max(policy_.target, 1u)} * 1'000);
  if (waiting_ > 0 || running_ > 0) need = std::max(need, 1u);
  return hold(needs_, now_ms, need);
}

std::optional<TimeMs> Autoscaler::next_change_ms() const {
  std::optional<TimeMs> next;
  for (const Needs* needs : {&needs_, &ahead_}) {
    if (needs->empty() || needs->front().replicas <= policy_.min) continue;
    const TimeMs falls_ms = needs->front().time_ms + policy_.down_after_ms;
    next = std::min(next.value_or(falls_ms), falls_ms);
  }
  return next;
}

std::int64_t Autoscaler::arrivals_per_second_milli(TimeMs now_ms) const {
  return static_cast<std::int64_t>(sum(now_ms, kSlowMs).arrivals) * 1'000'000 / span_ms(now_ms, kSlowMs);
}

}  // namespace busbar::route
