#include "sched/place/experience.h"

#include <algorithm>
#include <tuple>

#include "base/binary.h"
#include "base/hash.h"
#include "sched/place/placer.h"

namespace busbar::sched::place {
namespace {

constexpr std::uint64_t kFirstLesson = 64;
constexpr std::uint64_t kMostBetween = 4096;  // Jobs from one lesson to the next.
constexpr std::uint64_t kDoublings = 7;       // 64, 64, 128, ..., 4096, 4096, ...
constexpr std::uint64_t kMostWeight = 1024;   // Of one job: a huge gang is still one event.
constexpr std::uint64_t kMostTasks = kMostWeight * kMostBetween * 4;
constexpr std::uint64_t kMostMemoryMib = std::uint64_t{1} << 26;  // Of one task; submissions are bound to it.
constexpr std::int64_t kMostCpus = 1'000'000'000;
constexpr std::int64_t kMib = std::int64_t{1} << 20;

std::uint64_t jobs_until_lesson(std::uint64_t lessons) {
  return lessons == 0 ? kFirstLesson : std::min(kMostBetween, kFirstLesson << std::min(lessons - 1, kDoublings));
}

std::uint64_t hash_tally(const std::string& key, const Tally& tally) {
  return stable_hash64(key, mix64(tally.tasks) ^ mix64(~tally.memory_mib));
}

std::uint64_t hash_lesson(const Experience::Lesson& lesson) {
  std::uint64_t sum = 0;
  for (const auto& [key, tally] : lesson) {
    sum += hash_tally(key, tally);
  }
  return sum;
}

std::uint64_t tasks_of(const Experience::Lesson& lesson) {
  std::uint64_t tasks = 0;
  for (const auto& [key, tally] : lesson) {
    tasks += tally.tasks;
  }
  return tasks;
}

// The shares of kinds differ by a sixteenth or more, all differences added up.
bool differ(const Experience::Lesson& a, const Experience::Lesson& b) {
  const auto all_a = static_cast<__int128>(tasks_of(a));
  const auto all_b = static_cast<__int128>(tasks_of(b));
  __int128 sum = 0;
  auto at_a = a.begin();
  auto at_b = b.begin();
  while (at_a != a.end() || at_b != b.end()) {
    const bool takes_a = at_b == b.end() || (at_a != a.end() && at_a->first <= at_b->first);
    const bool takes_b = at_a == a.end() || (at_b != b.end() && at_b->first <= at_a->first);
    const __int128 of_a = takes_a ? static_cast<__int128>((at_a++)->second.tasks) * all_b : 0;
    const __int128 of_b = takes_b ? static_cast<__int128>((at_b++)->second.tasks) * all_a : 0;
    sum += of_a > of_b ? of_a - of_b : of_b - of_a;
  }
  return sum * 16 >= all_a * all_b;
}

bool is_ordered(const Experience::Lesson& lesson, std::size_t most) {
  const auto is_out_of_order = [](const auto& a, const auto& b) { return a.first >= b.first; };
  return lesson.size() <= most && std::adjacent_find(lesson.begin(), lesson.end(), is_out_of_order) == lesson.end() &&
         std::all_of(lesson.begin(), lesson.end(), [](const auto& entry) {
           return decode_kind(entry.first).has_value() && entry.second.tasks > 0 && entry.second.tasks <= kMostTasks &&
                  entry.second.memory_mib <= entry.second.tasks * kMostMemoryMib;
         });
}

}  // namespace

std::string encode_kind(const TaskKind& kind) {
  BinaryWriter out;
  out.varint(static_cast<std::uint64_t>(kind.cpus));
  out.varint(kind.cards);
  out.varint(kind.milli);
  out.varint(kind.chips.size());
  for (const std::string& chip : kind.chips) {
    out.text(chip);
  }
  return out.take();
}

std::optional<TaskKind> decode_kind(std::string_view key) {
  BinaryReader in(key);
  TaskKind kind;
  const std::uint64_t cpus = in.varint();
  const std::uint64_t cards = in.varint();
  const std::uint64_t milli = in.varint();
  for (std::size_t left = in.count(); left > 0 && in.ok(); --left) {
    kind.chips.push_back(in.text());
  }
  const bool is_sane = cpus <= static_cast<std::uint64_t>(kMostCpus) && cards <= UINT16_MAX &&
                       milli <= static_cast<std::uint64_t>(kWholeCard) && (cards == 0) == (milli == 0) &&
                       (milli == static_cast<std::uint64_t>(kWholeCard) || cards <= 1);
  if (!in.ok() || !in.at_end() || !is_sane) {
    return std::nullopt;
  }
  kind.cpus = static_cast<std::int64_t>(cpus);
  kind.cards = static_cast<std::uint16_t>(cards);
  kind.milli = static_cast<std::uint16_t>(milli);
  return kind;
}

TaskKind kind_of(const JobRequest& request) {
  if (request.accelerators.empty()) {
    return {.cpus = task_cpus(request, nullptr)};
  }
  const model::AcceleratorRequest& first = request.accelerators.front();
  if (first.chip == kCpuChip) {
    return {.cpus = task_cpus(request, &first)};  // CPU cards are CPUs.
  }
  const std::int64_t milli = first.per_node.value;
  const bool is_fraction = milli < kWholeCard;
  TaskKind kind = {.cpus = task_cpus(request, &first),
                   .cards = static_cast<std::uint16_t>(is_fraction ? 1 : milli / kWholeCard),
                   .milli = static_cast<std::uint16_t>(is_fraction ? milli : kWholeCard)};
  for (const model::AcceleratorRequest& one : request.accelerators) {
    if (one.per_node == first.per_node) {
      kind.chips.push_back(one.chip);
    }
  }
  std::sort(kind.chips.begin(), kind.chips.end());
  kind.chips.erase(std::unique(kind.chips.begin(), kind.chips.end()), kind.chips.end());
  if (kind.chips.front().empty()) {
    kind.chips.clear();
  }
  return kind;
}

void Experience::note(const JobRequest& request) {
  const std::uint64_t tasks = std::min<std::uint64_t>(request.min_nodes, kMostWeight);
  const auto memory_mib = static_cast<std::uint64_t>((request.memory.value + kMib - 1) / kMib);
  count(encode_kind(kind_of(request)), {.tasks = tasks, .memory_mib = tasks * memory_mib});
  if (++jobs_ >= jobs_until_lesson(lessons_)) {
    learn();
  }
}

void Experience::count(const std::string& key, Tally more) {
  if (const Tally* known = tallies_.find(key)) {
    more.tasks = std::min(more.tasks + known->tasks, kMostTasks);
    more.memory_mib = std::min(more.memory_mib + known->memory_mib, more.tasks * kMostMemoryMib);
  } else if (tallies_.size() == kMostKinds) {
    forget_rarest();
  }
  put(key, more);
}

// Nothing of it: not there any more.
void Experience::put(const std::string& key, Tally tally) {
  if (const Tally* known = tallies_.find(key)) {
    tally_sum_ -= hash_tally(key, *known);
  }
  if (tally.tasks == 0) {
    tallies_.erase(key);
    return;
  }
  tally_sum_ += hash_tally(key, tally);
  tallies_.put(key, tally);
}

void Experience::forget_rarest() {
  std::string rarest;
  std::uint64_t fewest = UINT64_MAX;
  for (const auto& [key, tally] : tallies_) {
    if (tally.tasks < fewest) {
      rarest = key;
      fewest = tally.tasks;
    }
  }
  put(rarest, {});
}

void Experience::learn() {
  Lesson fresh;
  for (const auto& [key, tally] : tallies_) {
    fresh.emplace_back(key, tally);
  }
  if (fresh.size() > kMostExpected) {
    std::sort(fresh.begin(), fresh.end(), [](const auto& a, const auto& b) {
      return std::tuple(b.second.tasks, std::string_view(a.first)) <
             std::tuple(a.second.tasks, std::string_view(b.first));
    });
    fresh.resize(kMostExpected);
    std::sort(fresh.begin(), fresh.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  }
  if (lesson_ == nullptr || differ(*lesson_, fresh)) {
    lesson_hash_ = hash_lesson(fresh);
    lesson_ = std::make_shared<const Lesson>(std::move(fresh));
  }
  jobs_ = 0;
  ++lessons_;
  if (jobs_until_lesson(lessons_) == kMostBetween) {
    halve();
  }
}

void Experience::halve() {
  Lesson all;
  for (const auto& [key, tally] : tallies_) {
    all.emplace_back(key, tally);
  }
  for (const auto& [key, tally] : all) {
    const std::uint64_t tasks = tally.tasks / 2;
    put(key, {.tasks = tasks, .memory_mib = std::min(tally.memory_mib / 2, tasks * kMostMemoryMib)});
  }
}

std::optional<Experience> Experience::restore(Lesson tallies, Lesson lesson, std::uint64_t jobs,
                                              std::uint64_t lessons) {
  const bool has_learnt = lessons > 0;
  if (!is_ordered(tallies, kMostKinds) || !is_ordered(lesson, kMostExpected) || lesson.empty() == has_learnt ||
      jobs >= jobs_until_lesson(lessons)) {
    return std::nullopt;
  }
  Experience experience;
  for (const auto& [key, tally] : tallies) {
    experience.put(key, tally);
  }
  experience.jobs_ = jobs;
  experience.lessons_ = lessons;
  if (has_learnt) {
    experience.lesson_hash_ = hash_lesson(lesson);
    experience.lesson_ = std::make_shared<const Lesson>(std::move(lesson));
  }
  return experience;
}

std::uint64_t Experience::hash() const {
  return mix64(tally_sum_ ^ mix64(lesson_hash_ ^ mix64(jobs_ ^ mix64(lessons_))));
}

std::uint64_t Experience::recompute_hash() const {
  Experience fresh;
  for (const auto& [key, tally] : tallies_) {
    fresh.tally_sum_ += hash_tally(key, tally);
  }
  fresh.lesson_hash_ = lesson_ == nullptr ? 0 : hash_lesson(*lesson_);
  fresh.jobs_ = jobs_;
  fresh.lessons_ = lessons_;
  return fresh.hash();
}

}  // namespace busbar::sched::place
