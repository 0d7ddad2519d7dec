#include "sched/place/experience.h"

#include <gtest/gtest.h>

#include "sched/test_cluster.h"

namespace busbar::sched::place {
namespace {

using testing::job;

Experience after(int jobs, std::int64_t milli) {
  Experience experience;
  for (int i = 0; i < jobs; ++i) experience.note(job(1, 1, milli));
  return experience;
}

std::uint64_t expected_of(const Experience& experience, std::int64_t milli) {
  for (const auto& [key, tally] : *experience.lesson()) {
    if (key == encode_kind(kind_of(job(1, 1, milli)))) return tally.tasks;
  }
  return 0;
}

Experience restored(const Experience& from) {
  Experience::Lesson tallies;
  for (const auto& [key, tally] : from.tallies()) tallies.emplace_back(key, tally);
  const Experience::Lesson lesson = from.lesson() == nullptr ? Experience::Lesson{} : *from.lesson();
  return *Experience::restore(tallies, lesson, from.jobs(), from.lessons());
}

TEST(TaskKind, ComesBackFromItsKey) {
  JobRequest request = job(1, 1, 500, "h100");
  request.accelerators.push_back({.chip = "a100", .per_node = {500}});
  request.accelerators.push_back({.chip = "l4", .per_node = {1000}});
  const TaskKind kind = kind_of(request);
  EXPECT_EQ(kind.chips, (std::vector<std::string>{"a100", "h100"})) << "those of the same size, by name";
  EXPECT_EQ(kind.milli, 500);
  EXPECT_EQ(decode_kind(encode_kind(kind)), kind);
  EXPECT_EQ(decode_kind("nonsense"), std::nullopt);
  EXPECT_EQ(decode_kind(""), std::nullopt);
}

TEST(TaskKind, ACpuCardIsACpu) {
  EXPECT_EQ(kind_of(job(1, 1, 2000, "cpu")), (TaskKind{.cpus = 2000}));
}

TEST(TaskKind, AnyAcceleratorNamesNone) {
  EXPECT_TRUE(kind_of(job(1, 1, 1000, "")).chips.empty());
  EXPECT_EQ(kind_of(job(1, 1, 1000, "")).cards, 1);
}

TEST(Experience, TheFirstLessonComesAfterSixtyFourJobs) {
  EXPECT_EQ(after(63, 500).lesson(), nullptr);
  EXPECT_EQ(expected_of(after(64, 500), 500), 64U);
}

TEST(Experience, WhatChangesIsLearntAndWhatDoesNotIsKept) {
  Experience experience = after(64, 500);
  const auto first = experience.lesson();
  for (int i = 0; i < 64; ++i) experience.note(job(1, 1, 500));
  EXPECT_EQ(experience.lesson(), first) << "the same shares: no new tables";
  EXPECT_EQ(experience.lessons(), 2U);
  for (int i = 0; i < 128; ++i) experience.note(job(1, 1, 250));
  EXPECT_EQ(expected_of(experience, 250), 128U);
}

TEST(Experience, OldHabitsFade) {
  Experience experience = after(4096, 500);
  for (int i = 0; i < 10 * 4096; ++i) experience.note(job(1, 1, 250));
  EXPECT_LT(expected_of(experience, 500) * 10, expected_of(experience, 250));
}

TEST(Experience, TellsSoManyKindsApartAndForgetsTheRarest) {
  Experience experience = after(10, 500);
  for (std::int64_t cpus = 1; cpus <= 2000; ++cpus) {
    JobRequest request = job(1, 1, 1000);
    request.cpus = {cpus};
    experience.note(request);
  }
  EXPECT_EQ(experience.tallies().size(), Experience::kMostKinds);
  EXPECT_TRUE(experience.tallies().contains(encode_kind(kind_of(job(1, 1, 500)))));
  EXPECT_EQ(experience.lesson()->size(), Experience::kMostExpected);
}

TEST(Experience, KeepsItsHashAndSurvivesARestart) {
  Experience experience;
  for (int i = 0; i < 9000; ++i) {
    experience.note(job(1, 1 + static_cast<std::uint32_t>(i % 3), 100 * (1 + i % 7)));
    if (i % 101 != 0) continue;
    EXPECT_EQ(experience.hash(), experience.recompute_hash());
    EXPECT_EQ(restored(experience).hash(), experience.hash());
  }
}

TEST(Experience, RefusesWhatCannotHaveBeenCounted) {
  const Experience from = after(70, 500);
  const std::string key = encode_kind(kind_of(job(1, 1, 500)));
  const Experience::Lesson good = {{key, {.tasks = 70}}};
  EXPECT_TRUE(Experience::restore(good, good, 6, 1).has_value());
  EXPECT_FALSE(Experience::restore(good, {}, 6, 1).has_value()) << "a lesson without content";
  EXPECT_FALSE(Experience::restore(good, good, 64, 1).has_value()) << "the next lesson is overdue";
  EXPECT_FALSE(Experience::restore({{"x", {.tasks = 1}}}, {}, 1, 0).has_value());
  EXPECT_FALSE(Experience::restore({{key, {.tasks = 0}}}, {}, 1, 0).has_value());
  EXPECT_FALSE(Experience::restore({{key, {.tasks = 1}}, {key, {.tasks = 1}}}, {}, 1, 0).has_value());
  EXPECT_FALSE(Experience::restore({{key, {.tasks = 1, .memory_mib = UINT64_MAX}}}, {}, 1, 0).has_value());
}

}  // namespace
}  // namespace busbar::sched::place
