#include <algorithm>
#include <utility>

#include "sched/internal/codec.h"
#include "sched/internal/state.h"

// What an operator sets: the policy and the queues; what queues have used; what tasks looked like.
namespace busbar::sched::internal {
namespace {

void encode_wide(BinaryWriter& out, fairshare::Wide value) {
  out.varint(static_cast<std::uint64_t>(value >> 64));
  out.varint(static_cast<std::uint64_t>(value));
}

fairshare::Wide decode_wide(FieldReader& in) {
  const fairshare::Wide high = in.raw().varint();
  return high << 64 | in.raw().varint();
}

void encode_amounts(BinaryWriter& out, const model::CardAmounts& amounts) {
  out.zigzag(amounts.all.value);
  out.varint(amounts.chips.size());
  for (const auto& [chip, milli] : amounts.chips) {
    out.text(chip);
    out.zigzag(milli.value);
  }
}

model::CardAmounts decode_amounts(FieldReader& in) {
  model::CardAmounts amounts = {.all = {in.raw().zigzag()}};
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    std::string chip = in.text();
    amounts.chips.emplace_back(std::move(chip), MilliCards{in.raw().zigzag()});
  }
  return amounts;
}

}  // namespace

void encode(BinaryWriter& out, const Policy& policy) {
  out.zigzag(policy.start_deadline_ms);
  out.varint(policy.max_infrastructure_retries);
  out.zigzag(policy.retry_backoff_base_ms);
  out.zigzag(policy.retry_backoff_max_ms);
  out.zigzag(policy.backfill_patience_ms);
  out.zigzag(policy.fair_share_half_life_ms);
  out.zigzag(policy.checkpoint_credit_ms);
  out.zigzag(policy.eviction_interval_ms);
  out.zigzag(policy.claim_timeout_ms);
  out.zigzag(policy.hold_ms);
  out.varint(policy.max_reservations);
  out.boolean(policy.may_backfill_yield);
  out.zigzag(policy.restart_cost_ms);
  out.zigzag(policy.live_resize_cost_ms);
  out.zigzag(policy.live_resize_interval_ms);
  out.varint(policy.max_moves_per_hour);
  out.varint(static_cast<std::uint64_t>(policy.order));
  out.varint(policy.learned_favour);
  out.varint(policy.chip_weights.size());
  for (const auto& [chip, weight] : policy.chip_weights) {
    out.text(chip);
    out.varint(weight);
  }
}

Policy decode_policy(FieldReader& in) {
  Policy policy;
  policy.start_deadline_ms = in.raw().zigzag();
  policy.max_infrastructure_retries = in.number32();
  policy.retry_backoff_base_ms = in.raw().zigzag();
  policy.retry_backoff_max_ms = in.raw().zigzag();
  policy.backfill_patience_ms = in.raw().zigzag();
  if (in.format() >= 2) {
    policy.fair_share_half_life_ms = in.raw().zigzag();
    policy.checkpoint_credit_ms = in.raw().zigzag();
    policy.eviction_interval_ms = in.raw().zigzag();
    policy.claim_timeout_ms = in.raw().zigzag();
    if (in.format() >= 3) {
      policy.hold_ms = in.raw().zigzag();
      policy.max_reservations = in.number32();
    }
    if (in.format() >= 4) {
      policy.may_backfill_yield = in.raw().boolean();
    }
    if (in.format() >= 6) {
      policy.restart_cost_ms = in.raw().zigzag();
      if (in.format() >= 7) {
        policy.live_resize_cost_ms = in.raw().zigzag();
        policy.live_resize_interval_ms = in.raw().zigzag();
      }
      policy.max_moves_per_hour = in.number32();
      policy.order = in.enumerator(Order::kLearned);
      policy.learned_favour = in.number32();
    }
    policy.chip_weights.clear();
    for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
      std::string chip = in.text();
      policy.chip_weights.emplace_back(std::move(chip), in.number32());
    }
  }
  return policy;
}

bool is_sane(const Policy& policy) {
  return is_sane_time(policy.start_deadline_ms) && is_sane_time(policy.retry_backoff_base_ms) &&
         is_sane_time(policy.retry_backoff_max_ms) && is_sane_time(policy.backfill_patience_ms) &&
         is_sane_time(policy.fair_share_half_life_ms) && is_sane_time(policy.checkpoint_credit_ms) &&
         is_sane_time(policy.eviction_interval_ms) && is_sane_time(policy.claim_timeout_ms) &&
         is_sane_time(policy.hold_ms) && is_sane_time(policy.restart_cost_ms) &&
         is_sane_time(policy.live_resize_cost_ms) && is_sane_time(policy.live_resize_interval_ms) &&
         std::none_of(policy.chip_weights.begin(), policy.chip_weights.end(),
                      [](const auto& chip) { return chip.second > 1'000'000; });
}

void encode(BinaryWriter& out, const model::Queue& queue) {
  out.text(queue.name);
  out.text(queue.parent);
  encode_amounts(out, queue.guarantee);
  encode_amounts(out, queue.limit);
  out.varint(queue.weight.all);
  out.varint(queue.weight.chips.size());
  for (const auto& [chip, weight] : queue.weight.chips) {
    out.text(chip);
    out.varint(weight);
  }
  out.zigzag(queue.priority);
  out.zigzag(queue.reclaim_bound_ms);
  out.varint(static_cast<std::uint64_t>(queue.enforce));
}

model::Queue decode_queue(FieldReader& in) {
  model::Queue queue;
  queue.name = in.text();
  if (in.format() < 2) {
    // One level: a limit, where any negative number was none, and a priority.
    queue.limit.all = {std::max<std::int64_t>(in.raw().zigzag(), -1)};
    queue.priority = in.signed32();
    return queue;
  }
  queue.parent = in.text();
  queue.guarantee = decode_amounts(in);
  queue.limit = decode_amounts(in);
  queue.weight.all = in.number32();
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    std::string chip = in.text();
    queue.weight.chips.emplace_back(std::move(chip), in.number32());
  }
  queue.priority = in.signed32();
  queue.reclaim_bound_ms = in.raw().zigzag();
  queue.enforce = in.enumerator(model::Enforce::kNow);
  return queue;
}

void encode(BinaryWriter& out, const fairshare::History& history) {
  encode_wide(out, history.settled);
  encode_wide(out, history.open);
  out.zigzag(history.since_ms);
}

fairshare::History decode_history(FieldReader& in) {
  fairshare::History history;
  history.settled = decode_wide(in);
  history.open = decode_wide(in);
  history.since_ms = in.raw().zigzag();
  return history;
}

namespace {

void encode_tallies(BinaryWriter& out, const auto& tallies) {
  out.varint(tallies.size());
  for (const auto& [key, tally] : tallies) {
    out.text(key);
    out.varint(tally.tasks);
    out.varint(tally.memory_mib);
  }
}

place::Experience::Lesson decode_tallies(FieldReader& in) {
  place::Experience::Lesson tallies;
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    std::string key = in.text();
    const std::uint64_t tasks = in.raw().varint();
    tallies.emplace_back(std::move(key), place::Tally{.tasks = tasks, .memory_mib = in.raw().varint()});
  }
  return tallies;
}

}  // namespace

void encode(BinaryWriter& out, const place::Experience& experience) {
  encode_tallies(out, experience.tallies());
  encode_tallies(out, experience.lesson() == nullptr ? place::Experience::Lesson{} : *experience.lesson());
  out.varint(experience.jobs());
  out.varint(experience.lessons());
}

void encode(BinaryWriter& out, const learn::Habits& habits) {
  out.varint(habits.kinds().size());
  for (const auto& [key, kind] : habits.kinds()) {
    out.zigzag(key.size);
    out.text(key.queue);
    for (std::size_t step = 0; step < learn::Kind::kSteps; ++step) {
      out.varint(kind->ends[step]);
      out.varint(kind->sum_ms[step]);
    }
  }
}

learn::Habits decode_habits(FieldReader& in) {
  learn::Habits habits;
  for (std::size_t left = in.format() >= 6 ? in.raw().count() : 0; left > 0 && in.ok(); --left) {
    learn::KindKey key = {.size = in.signed32()};
    key.queue = in.text();
    learn::Kind kind;
    for (std::size_t step = 0; step < learn::Kind::kSteps; ++step) {
      kind.ends[step] = in.number32();
      kind.sum_ms[step] = in.raw().varint();
    }
    if (!habits.restore(key, kind)) in.fail();
  }
  return habits;
}

place::Experience decode_experience(FieldReader& in) {
  if (in.format() < 5) {
    return {};
  }
  place::Experience::Lesson tallies = decode_tallies(in);
  place::Experience::Lesson lesson = decode_tallies(in);
  const std::uint64_t jobs = in.raw().varint();
  auto experience = place::Experience::restore(std::move(tallies), std::move(lesson), jobs, in.raw().varint());
  if (!experience.has_value()) {
    in.fail();
    return {};
  }
  return *std::move(experience);
}

}  // namespace busbar::sched::internal
